"""The template of a class takes the place of each image's own map, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from salign.data.controls.from_maps import SIDE, class_templates
from salign.data.manifest import Manifest
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform


def halves(folder: Path) -> SaliencyDataset:
    """Class x is marked on the left three times and once on the right, y above; one map is blank, one is missing."""
    size = (64, 96)
    left, above = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    left[:, :48], above[:32] = 200, 100
    maps = {"a": left, "b": left, "c": left, "d": 200 - left, "e": above, "f": np.zeros(size, np.uint8), "g": None}
    rows = []
    for name, values in maps.items():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / f"{name}.png")
        if values is not None:
            Image.fromarray(values).save(folder / f"map_{name}.png")
        rows.append(
            (name, f"{name}.png", "y" if name == "e" else "x", "train", f"map_{name}.png" if values is not None else "")
        )
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"])
    return SaliencyDataset(Manifest.of(table, folder), ("x", "y"), build_transform((64, 96)))


def test_each_image_gets_the_template_of_its_class(tmp_path: Path) -> None:
    dataset = halves(tmp_path)
    change = class_templates(dataset)
    own = torch.rand(64, 96, generator=torch.Generator().manual_seed(0))
    x, y = change(own, "d"), change(own, "e")
    # The median of three equal maps and another is the map of the three: the right half of d counts for nothing.
    assert float(x[:, :44].min()) > 0.99
    assert float(x[:, 52:].max()) < 0.01
    assert float(y[:30].min()) > 0.99
    assert float(y[34:].max()) < 0.01
    assert torch.equal(change(own, "g"), x)  # by its class, were it asked
    blank = torch.zeros(64, 96)
    assert torch.equal(change(blank, "f"), blank)
    assert SIDE == 32
