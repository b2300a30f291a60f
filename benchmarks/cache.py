"""Does `data.cache` pay from the second epoch on? Images per second, read anew and from a filled cache, in turns.

    python benchmarks/cache.py --json cache.json                       # about 3 minutes on 2 cores, most to make files
    python benchmarks/cache.py --images 8 --rounds 1                   # a quick look

Photograph-like JPEG images with PNG maps, as in data_pipeline.py, go through the loader that `salign train` uses, with
the usual augmentation. The first epoch with the cache, which fills it, is timed once and reported separately.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from data_pipeline import CLASSES, Kind, write_set
from timing import environment, ratio, take_turns

from salign import Manifest
from salign.data.reading.cache import PixelCache
from salign.data.reading.datamodule import BatchLoader, SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform


def make_loader(manifest: Manifest, options: argparse.Namespace, cache: PixelCache | None) -> BatchLoader:
    data = SaliencyDataset(manifest, CLASSES, build_transform(options.size, "flip"), cache=cache)
    module = SaliencyDataModule(train=data, val=data, batch_size=options.batch, workers=options.workers, seed=0)
    return module.train_dataloader()


def seconds_of(loader: BatchLoader) -> float:
    begun = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - begun


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    manifest = write_set(folder / "set", Kind(options.side, True), options.images)
    plain = make_loader(manifest, options, None)
    cached = make_loader(manifest, options, PixelCache(folder / "pixels"))
    seconds_of(plain)  # starts the workers, and loads the files into the system's cache
    filling = seconds_of(cached)
    steps = {"read anew": lambda: seconds_of(plain), "cached": lambda: seconds_of(cached)}
    seconds = take_turns(steps, rounds=options.rounds)
    size = sum(file.stat().st_size for file in (folder / "pixels").glob("*/*"))
    return {
        "images": options.images,
        "seconds": seconds,
        "seconds_of_first_epoch": filling,
        "images_per_second": {name: options.images / median(taken) for name, taken in seconds.items()},
        "cached_over_read_anew": ratio(seconds["read anew"], seconds["cached"]),
        "first_epoch_over_read_anew": filling / median(seconds["read anew"]),
        "megabytes_per_image": size / options.images / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2000, help="pixels of the images and maps on the disk")
    parser.add_argument("--size", type=int, default=224, help="pixels the network sees")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options)
    rates = figures["images_per_second"]
    gain = figures["cached_over_read_anew"]
    print(f"{options.side} px JPEG and PNG to {options.size} px, {options.workers} workers, images per second:")
    print(f"  read anew {rates['read anew']:.1f}, cached {rates['cached']:.1f}", end="; ")
    print(f"{gain['median']:.1f} x ({gain['lowest']:.1f} to {gain['highest']:.1f})")
    print(f"  the first epoch, which fills the cache, takes {figures['first_epoch_over_read_anew']:.2f} x as long")
    print(f"  the cache holds {figures['megabytes_per_image']:.2f} MB for each image with its map")
    if options.json:
        options.json.write_text(json.dumps({"environment": before, "load_after": environment()["load"], **figures}))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
