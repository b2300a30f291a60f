"""A manifest of random pictures whose maps are white on the left half."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from salign.data.manifest import COLUMNS, Manifest

RNG = np.random.default_rng(0)
SIZE = 16


def manifest_of(folder, maps, labels=None, size=(24, 32)):
    """Write one random picture per entry; an entry is the array of its map, or None."""
    rows = []
    for i, values in enumerate(maps):
        Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        if values is not None:
            Image.fromarray(values).save(folder / f"{i}_map.png")
        label = "ab"[i % 2] if labels is None else labels[i]
        rows.append((str(i), f"{i}.png", label, "train", None if values is None else f"{i}_map.png"))
    return Manifest.of(pd.DataFrame(rows, columns=list(COLUMNS)), folder, "m.csv")


def half(height, width):
    values = np.zeros((height, width), np.uint8)
    values[:, : width // 2] = 255
    return values
