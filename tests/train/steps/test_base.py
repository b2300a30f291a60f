"""What a step remembers of each training image survives a training that was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.losses import CrossEntropy
from salign.models import Classifier
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.recipe import TrainRecipe
from salign.train.steps import Step
from salign.train.tasks import Classification
from salign.train.trainer import run_trainer, training_options
from salign.types import Batch

IMAGES = 6


class Seen(Step):
    """Darkens an image the more, the more often it was seen; counts how often, and when last."""

    def remember(self, rows: int) -> None:
        self.register_buffer("times", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("last", torch.full((rows,), -1))

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        self.times[batch.index] += 1
        self.last[batch.index] = epoch
        return batch._replace(images=batch.images / self.times[batch.index].view(-1, 1, 1, 1))


def dataset(folder: Path) -> SaliencyDataset:
    rows = []
    for k in range(IMAGES):
        Image.new("RGB", (16, 16), (40 * k, 255 - 40 * k, 7 * k)).save(folder / f"{k}.png")
        rows.append((str(k), f"{k}.png", "ab"[k % 2], "train"))
    pd.DataFrame(rows, columns=["id", "path", "label", "split"]).to_csv(folder / "m.csv", index=False)
    return SaliencyDataset(Manifest.read(folder / "m.csv"), ("a", "b"), build_transform(16))


class CutOff(Exception):
    pass


def trained(folder: Path, data: SaliencyDataset, stop_after: int | None = None) -> tuple[Seen, dict[str, torch.Tensor]]:
    folder.mkdir(exist_ok=True)
    options = TrainRecipe(epochs=3, batch_size=4, precision="float32", memory_format="contiguous", select="last")
    step = Seen()
    step.remember(IMAGES)
    task = Classification(Classifier("test_resnet", ("a", "b"), image_size=16), CrossEntropy())
    module = Training(task, [step], **training_options(options, 0))
    if stop_after is not None:
        begin = module.on_train_epoch_start

        def on_train_epoch_start() -> None:
            if module.current_epoch == stop_after:
                raise CutOff
            begin()

        module.on_train_epoch_start = on_train_epoch_start  # type: ignore[method-assign]
    loaders = SaliencyDataModule(train=data, val=data, batch_size=4, workers=0, seed=0)
    keep = KeepBest(folder, task.network, monitor=None, ties="last")
    run_trainer(module, loaders, keep, folder, options, "cpu", progress=False)
    return step, task.network.state_dict()


@pytest.mark.slow
def test_a_resumed_training_remembers_what_it_had_seen(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    whole, weights = trained(tmp_path / "whole", data)
    assert whole.times.tolist() == [3] * IMAGES
    assert whole.last.tolist() == [2] * IMAGES
    with pytest.raises(CutOff):
        trained(tmp_path / "cut", data, stop_after=2)
    resumed, again = trained(tmp_path / "cut", data)
    assert resumed.times.tolist() == [3] * IMAGES
    assert all(torch.equal(again[name], value) for name, value in weights.items())
