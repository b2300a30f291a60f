"""How much faster several processes train than one: images per second of whole epochs, measured in turns.

    python benchmarks/devices.py --json devices.json           # 1 and 2 processes on CPUs, a thread each; 4 minutes
    python benchmarks/devices.py --repeats 1 --images 80       # a quick look

Where there are GPUs, 1, 2, 4 ... of them train. An epoch is trained, validated and saved as `salign train` does it. The
first epoch does not count, because everything starts in it. The total batch of all processes is always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timing import environment

from salign.data.shortcuts.decoy import write_decoy_digits
from salign.runs.fit import fit
from salign.train.callbacks import History
from salign.train.recipe import Recipe


def train(manifest: Path, devices: int, options: argparse.Namespace) -> float:
    """Images per second, of training and validation, with so many devices."""
    ends: list[float] = []
    written = History.on_train_epoch_end

    def noted(self: History, *arguments: Any) -> None:
        written(self, *arguments)
        ends.append(time.perf_counter())

    History.on_train_epoch_end = noted  # type: ignore[method-assign]
    content = {
        "name": "devices",
        "data": {"manifest": str(manifest), "image_size": options.size, "workers": 0, "groups": [], "test": []},
        "model": {"backbone": options.backbone, "weights": None},
        "loss": {"name": "cyborg"},
        "train": {
            "epochs": options.epochs + 1,
            "batch_size": options.batch_size,
            "devices": devices,
            "precision": "float32",
            "memory_format": "channels_last",
            "logger": "csv",
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        fit(Recipe.build(content), folder, progress=False, say=lambda line: None)
    return options.epochs * options.images / (ends[-1] - ends[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=240, help="training images; a quarter as many for validation")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=2, help="epochs that count")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("MANIFEST", "DEVICES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(train(Path(options.one[0]), int(options.one[1]), options))
        return
    gpus = torch.cuda.device_count()
    counts = [2**k for k in range(10) if 2**k <= gpus] if gpus > 1 else [1] if gpus else [1, 2]
    rates: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"train": options.images, "val": options.images // 4, "test": 20}
        manifest = write_decoy_digits(Path(folder), **sizes, size=options.size)
        own = [*sys.argv, "--one", str(manifest)]
        variables = os.environ | ({} if gpus else {"OMP_NUM_THREADS": "1"})
        for _ in range(options.repeats):
            for count in counts:
                command = [sys.executable, *own, str(count)]
                done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
                rates[count].append(float(done.stdout.split()[-1]))
    rows = []
    where = "GPU" if gpus else "CPU, a thread each"
    print(f"{options.backbone}, {options.size} px, batch {options.batch_size}, {where}")
    for count in counts:
        ratio = median(rate / one for rate, one in zip(rates[count], rates[1], strict=True))
        rows.append({"processes": count, "images_per_second": rates[count], "times": ratio})
        print(f"{count} processes: {median(rates[count]):.1f} images per second, {ratio:.2f} times one")
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
