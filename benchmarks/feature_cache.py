"""Epochs per second of training a head on cached features, and of training the whole network on images.

    python benchmarks/feature_cache.py --out benchmarks/results/feature_cache.json

Both use the training loop of every run, with its validation, checkpoint and metrics after each epoch. The images are
noise in PNG files. The time of an epoch is the median over the epochs after the first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.losses import LOSSES
from salign.models import Classifier
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.recipe import TrainRecipe
from salign.train.tasks import Classification
from salign.train.trainer import run_trainer, training_options

CLASSES = ("a", "b")


class Clock(KeepBest):
    """Notes when each epoch ends, all that is written then included."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.ends: list[float] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def make_set(folder: Path, count: int, size: int) -> SaliencyDataset:
    generator = np.random.default_rng(0)
    for k in range(count):
        Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    names = [str(k) for k in range(count)]
    table = pd.DataFrame({"id": names, "path": [f"{name}.png" for name in names], "split": "train"})
    table["label"] = ["ab"[k % 2] for k in range(count)]
    table.to_csv(folder / "m.csv", index=False)
    return SaliencyDataset(Manifest.read(folder / "m.csv"), CLASSES, build_transform(size))


def epoch_seconds(task: Classification, train, val, folder: Path, epochs: int, workers: int) -> float:
    folder.mkdir()
    options = TrainRecipe(epochs=epochs, precision="float32", memory_format="channels_last")
    module = Training(task, **training_options(options, 0))
    loaders = SaliencyDataModule(train=train, val=val, batch_size=options.batch_size, workers=workers, seed=0)
    clock = Clock(folder, task.network, monitor="val/auroc", ties="last")
    run_trainer(module, loaders, clock, folder, options, "cpu", progress=False)
    return median(np.diff(clock.ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--pixels", type=int, default=112)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--val", type=int, default=200)
    parser.add_argument("--epochs", type=int, nargs=2, default=[3, 40], help="of the whole network, and of the head")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_set(folder, asked.images + asked.val, asked.pixels)
        train, val = data.take(range(asked.images)), data.take(range(asked.images, asked.images + asked.val))
        for trainable, epochs, workers in (("all", asked.epochs[0], 1), ("head", asked.epochs[1], 0)):
            classifier = Classifier(asked.backbone, CLASSES, image_size=asked.pixels)
            task, given, first = Classification(classifier, LOSSES["ce"](), trainable), (train, val), 0.0
            if trainable == "head":
                begun = time.perf_counter()
                given = task.cache(train, val, [], folder / "f", print, device="cpu", workers=1)
                first = time.perf_counter() - begun
            seconds = epoch_seconds(task, *given, folder / trainable, epochs, workers)
            rows.append({"trainable": trainable, "seconds": seconds, "per_second": 1 / seconds, "cache_seconds": first})
            print(f"{trainable:>5}: {seconds:.3f} s an epoch, {1 / seconds:.2f} epochs/s; cache {first:.1f} s once")
    ratio = rows[0]["seconds"] / rows[1]["seconds"]
    print(f"{ratio:.0f} times as many epochs per second ({torch.get_num_threads()} thread(s))")
    if asked.out:
        setting = {key: value for key, value in vars(asked).items() if key != "out"}
        asked.out.write_text(json.dumps({**setting, "rows": rows, "ratio": ratio}, indent=2))


if __name__ == "__main__":
    main()
