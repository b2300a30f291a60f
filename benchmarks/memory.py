"""Peak memory at 1,000 and at 20,000 images: checking and loading an epoch, training an epoch, predicting a folder.

    python benchmarks/memory.py --json memory.json   # about 8 minutes on 2 busy cores

The larger set consists of the smaller one's files under more names (hard links), so that only the number of images
differs. Every measurement runs in a new process; the resident memory of the process and its workers is added up several
times a second. Memory pages that workers share with their parent are counted once per process, so that the sum is an
upper bound.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import environment

from salign import Classifier, Manifest, Recipe
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.shortcuts.decoy import CLASSES, write_decoy_digits
from salign.runs.fit import fit
from salign.runs.predict import predict_folder
from salign.train.prepare import prepare

SIDE = 64
FILES = 1000
"""Different training images at most; the rest are links to them."""
ALLOWED = 1.10
"""How much more the larger set may take."""


def write_set(source: Path, folder: Path, images: int) -> None:
    """`images` training rows whose files are links to those of `source`; the other splits stay as they are."""
    table = Manifest.read(source / "manifest.csv").table.drop(columns="row").astype(object)
    training, others = table[table["split"] == "train"], table[table["split"] != "train"]
    rows = pd.concat([training.iloc[[k % len(training) for k in range(images)]], others], ignore_index=True)
    rows["id"] = [f"image_{k:06d}" for k in range(len(rows))]
    for column, kind in (("path", "images"), ("saliency", "maps")):
        names = [f"{kind}/{split}/{name}.png" for split, name in zip(rows["split"], rows["id"], strict=True)]
        for old, new in zip(rows[column], names, strict=True):
            (folder / new).parent.mkdir(parents=True, exist_ok=True)
            try:
                (folder / new).hardlink_to(source / old)
            except OSError:  # a file system without links, or too many of one file
                shutil.copyfile(source / old, folder / new)
        rows[column] = names
    rows.to_csv(folder / "manifest.csv", index=False)


def recipe(folder: Path, workers: int) -> Recipe:
    """One epoch of a tiny network."""
    return Recipe.build(
        {
            "name": "memory",
            "data": {
                "manifest": str(folder / "manifest.csv"),
                "test": ["test_iid"],
                "image_size": SIDE,
                "workers": workers,
            },
            "model": {"backbone": "test_resnet", "weights": None, "output_stride": 8},
            "train": {"epochs": 1, "batch_size": 50, "precision": "float32", "memory_format": "contiguous"},
        }
    )


def load_epoch(folder: Path, workers: int) -> int:
    """What `salign train` does to its data, without the network."""
    data = prepare(recipe(folder, workers).data)
    module = SaliencyDataModule(train=data.train, val=data.val, batch_size=50, workers=workers, seed=0)
    return sum(len(batch.labels) for batch in module.train_dataloader())


def train_epoch(folder: Path, workers: int) -> int:
    """One epoch, with its checkpoint, predictions and figures."""
    built = recipe(folder, workers)
    fit(built, folder / "runs", progress=False, say=lambda line: None)
    return len(prepare(built.data).train)


def predict_images(folder: Path, workers: int) -> int:
    """Table and maps of a whole folder."""
    classifier = Classifier("test_resnet", CLASSES, image_size=SIDE, output_stride=8)
    done, _ = predict_folder(
        classifier, folder / "images" / "train", folder / "out.csv", maps=folder / "out", workers=workers
    )
    return done


TASKS = {"load an epoch": load_epoch, "train an epoch": train_epoch, "predict a folder": predict_images}


def peak_of(command: list[str]) -> tuple[int, float]:
    """Highest sum of resident bytes of a process and all below it, and its seconds."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        family = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, _resident(family))
            time.sleep(0.02)
        said = running.stdout.read() if running.stdout else b""
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}: {said.decode()}")
    return peak, time.perf_counter() - started


def _resident(family: psutil.Process) -> int:
    total = 0
    try:
        members = [family, *family.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:  # it ended after it was listed
            continue
    return total


def measure(folder: Path, tasks: list[str], counts: list[int], workers: int, rounds: int) -> list[dict[str, Any]]:
    """One row per task: the median of the rounds, which alternate between the counts."""
    source = folder / "source"
    write_decoy_digits(source, train=min(counts[0], FILES), val=200, test=200, size=SIDE)
    for count in counts:
        write_set(source, folder / str(count), count)
    plan = [(task, turn, count) for task in tasks for turn in range(rounds) for count in counts]
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for task, _, count in track(plan, "measuring", transient=True):
        for left in ("runs", "out"):
            shutil.rmtree(folder / str(count) / left, ignore_errors=True)
        command = [sys.executable, __file__, "--child", task, str(folder / str(count)), "--workers", str(workers)]
        found.setdefault((task, count), []).append(peak_of(command))
    rows = []
    for task in tasks:
        peaks = {count: sorted(peak for peak, _ in found[task, count])[rounds // 2] for count in counts}
        growth = peaks[counts[-1]] - peaks[counts[0]]
        rows.append(
            {
                "task": task,
                "workers": workers,
                "peak_bytes": {str(count): [peak for peak, _ in found[task, count]] for count in counts},
                "seconds": {str(count): [seconds for _, seconds in found[task, count]] for count in counts},
                "median_peak_bytes": {str(count): peak for count, peak in peaks.items()},
                "ratio": peaks[counts[-1]] / peaks[counts[0]],
                "bytes_per_further_image": growth / (counts[-1] - counts[0]),
            }
        )
    return rows


def show(rows: list[dict[str, Any]], counts: list[int]) -> Table:
    table = Table(title=f"peak resident memory, workers included ({rows[0]['workers']} workers)")
    for column in ("task", *(f"{count:,} images" for count in counts), "ratio", "bytes / further image", "allowed"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for row in rows:
        peaks = [f"{row['median_peak_bytes'][str(count)] / 2**20:.0f} MiB" for count in counts]
        verdict = f"{'yes' if row['ratio'] <= ALLOWED else 'NO'} (<= {ALLOWED:.2f})"
        table.add_row(row["task"], *peaks, f"{row['ratio']:.3f}", f"{row['bytes_per_further_image']:.0f}", verdict)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=[1000, 20000])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each; the median is shown")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, metavar=("TASK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        torch.set_num_threads(1)
        task, folder = options.child
        print(TASKS[task](Path(folder), options.workers))
        return
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.tasks, options.images, options.workers, options.rounds)
    Console(width=120).print(show(rows, options.images))
    if options.json:
        figures = {"environment": before, "load_after": os.getloadavg(), "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
