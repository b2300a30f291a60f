"""Time and peak memory of cloning 1,000 colour images of 96 pixels per class.

    python benchmarks/clones.py --json clones.json   # about a minute on a busy core

The set has two classes of smooth random images. The time includes reading, drawing and writing, but not importing.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from timing import environment

from salign import Manifest
from salign.data.clone import clone_set

CLASSES = ("a", "b")


def write_set(folder: Path, images: int, side: int) -> Manifest:
    """Random colours on a coarse grid, enlarged: images whose pixels vary together."""
    rng, rows = np.random.default_rng(0), []
    for name in CLASSES:
        for i in range(images):
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            path = folder / f"{name}{i:05d}.png"
            Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR).save(path, compress_level=1)
            rows.append((path.stem, path.name, name, "train"))
    return Manifest.of(pd.DataFrame(rows, columns=["id", "path", "label", "split"]).assign(saliency=""), folder)


def main() -> None:
    """Measure both orders on one set, and print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="images per class")
    parser.add_argument("--side", type=int, default=96, help="pixels")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "set").mkdir()
        manifest = write_set(folder / "set", options.images, options.side)
        clone_set(manifest.take([0, 1, options.images, options.images + 1]), folder / "warm", order=1, seed=0)
        for order in (1, 2):
            begun, used = time.perf_counter(), time.process_time()
            clone_set(manifest, folder / f"order{order}", order=order, seed=0)  # type: ignore[arg-type]
            figures[f"order {order}: seconds"] = round(time.perf_counter() - begun, 1)
            figures[f"order {order}: seconds of a processor"] = round(time.process_time() - used, 1)
            figures["peak memory, GiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    for key, value in figures.items():
        print(f"{key:<36}{value}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "environment": environment()}, indent=1))


if __name__ == "__main__":
    main()
