"""Are shards read as fast as files, and does a training on many shards begin at once? Both are measured in turns.

    python benchmarks/shards.py --json shards.json                 # about 3 minutes on 2 cores
    python benchmarks/shards.py --images 60 --rounds 1 --shards 50   # a quick look

The same images and maps, JPEG and PNG as in data_pipeline.py, go through the loader that `salign train` uses, from
files and from shards, in turns. Without workers, processor seconds are measured, so that other work on the machine does
not count. The start is the time from the recipe to the first batch, with a manifest of many shards with one image each,
without imports.
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
from data_pipeline import CLASSES, KINDS, write_set
from timing import environment, ratio, take_turns

from salign import Manifest
from salign.data.reading.datamodule import BatchLoader, SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.data.shards import write_shards
from salign.train.prepare import prepare
from salign.train.recipe import DataRecipe


def make_loader(manifest: Manifest, options: argparse.Namespace) -> BatchLoader:
    data = SaliencyDataset(manifest, CLASSES, build_transform(options.size, "flip"))
    module = SaliencyDataModule(train=data, val=data, batch_size=options.batch, workers=options.workers, seed=0)
    return module.train_dataloader()


def drain(loader: BatchLoader) -> None:
    for _ in loader:
        pass


def measure_rate(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    files = write_set(folder / "set", KINDS[name], options.images)
    shards = Manifest.read(write_shards(files, folder / "shards", options.per_shard))
    loaders = {"files": make_loader(files, options), "shards": make_loader(shards, options)}
    steps = {what: lambda loader=loader: drain(loader) for what, loader in loaders.items()}
    clock = time.perf_counter if options.workers else time.process_time
    seconds = take_turns(steps, rounds=options.rounds, title=name, clock=clock)
    return {
        "images": name,
        "seconds": seconds,
        "images_per_second": {what: options.images / median(taken) for what, taken in seconds.items()},
        "shards_over_files": ratio(seconds["files"], seconds["shards"]),
    }


def measure_start(folder: Path, shards: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the first batch; each shard has one image, those of the first repeated under other names."""
    few = write_set(folder / "set", KINDS["256 px grey"], 20)
    table = few.table.iloc[[k % 20 for k in range(shards)]].assign(id=[str(k) for k in range(shards)])
    table["split"] = [("train", "val", "test")[k // 2 % 3] for k in range(shards)]
    manifest = write_shards(Manifest.of(table.drop(columns="row"), few.root), folder / "shards", 1)
    seconds = []
    for _ in range(options.rounds):
        begun = time.perf_counter()
        data = prepare(DataRecipe(manifest=str(manifest), image_size=options.size))
        module = SaliencyDataModule(train=data.train, val=data.val, batch_size=options.batch, workers=0, seed=0)
        next(iter(module.train_dataloader()))
        seconds.append(time.perf_counter() - begun)
    return {"shards": len(list(manifest.parent.glob("*.tar"))), "seconds_to_first_batch": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--size", type=int, default=224, help="pixels the network sees")
    parser.add_argument("--images", type=int, default=480)
    parser.add_argument("--per-shard", type=int, default=100)
    parser.add_argument("--shards", type=int, default=5000, help="of the measured start")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure_rate(name, Path(folder) / name, options) for name in options.kinds]
        start = measure_start(Path(folder) / "start", options.shards, options)
    for row in rows:
        rates, part = row["images_per_second"], row["shards_over_files"]
        print(f"{row['images']}: files {rates['files']:.0f} / s, shards {rates['shards']:.0f} / s", end="; ")
        print(f"shards / files {part['median']:.2f} ({part['lowest']:.2f} to {part['highest']:.2f})")
    print(f"first batch of {start['shards']:,} shards after {median(start['seconds_to_first_batch']):.2f} s")
    if options.json:
        figures = {"environment": before, "load_after": environment()["load"], "rows": rows, "start": start}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
