"""What is kept of every epoch: the predictions of the validation images, and, if asked for, the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from salign.checks import tensors
from salign.errors import SalignError
from salign.evaluate.predictions import PROB
from salign.files import replacing
from salign.readers import read_parquet
from salign.train.callbacks import Saved

HISTORY = "history.parquet"
"""The predictions of the validation images in every epoch."""
SNAPSHOTS = "snapshots"
"""The folder with the weights of some epochs."""
Spacing = list[int] | dict[Literal["even", "log"], int]


def learned_and_forgotten(correct: Tensor) -> tuple[Tensor, Tensor]:
    """How the images that are right at one epoch differ from those at the end (arXiv 2310.11094).

    `learned[e]` is the share of images that are wrong at epoch `e` and right at the last one, `forgotten[e]` the share
    that is right at `e` and wrong at the last; so `accuracy[last] = accuracy[e] + learned[e] - forgotten[e]`.

    Args:
        correct: `(E, N)` bool, whether each of `N` images is answered right in each of `E` epochs.

    Returns:
        `(E,)` float64 twice, learned and forgotten.
    """
    tensors(correct=(correct, "bool (E, N)"))
    last = correct[-1]
    return (~correct & last).double().mean(1), (correct & ~last).double().mean(1)


def read_history(run: Path | str) -> pd.DataFrame:
    """The predictions of the validation images in every epoch of a run.

    Returns:
        A row per epoch and image: `epoch` (from 0), `id`, `label`, and `prob_CLASS` (float16) for every class.

    Raises:
        SalignError: the run has no history, as those of earlier versions.
    """
    path = Path(run) / HISTORY
    if not path.exists():
        raise SalignError(f"{path.parent} has no {HISTORY}: an earlier version trained it, or it has not finished.")
    return read_parquet(path).to_pandas()


def correct_answers(history: pd.DataFrame) -> Tensor:
    """`(E, N)` bool: whether the class with the highest probability is the label, per epoch and image of a history.

    Where images may have several labels, the classes from a probability of one half on are all labels and no other.
    """
    classes = [name.removeprefix(PROB) for name in history.columns if name.startswith(PROB)]
    values = history[[PROB + name for name in classes]].to_numpy(np.float32)
    labels = history["label"].fillna("").astype(str).to_numpy(dtype=object)
    several = not set(labels) <= set(classes)
    if several:
        said = [
            ";".join(sorted(name for name, value in zip(classes, row, strict=True) if value > 0.5)) for row in values
        ]
    else:
        said = [classes[k] for k in values.argmax(1)]
    right = np.asarray(said, dtype=object) == labels
    return torch.from_numpy(right.reshape(history["epoch"].nunique(), -1))


def snapshot_epochs(asked: Spacing | None, epochs: int) -> list[int]:
    """The epochs, counted from 0, after which weights are kept.

    Args:
        asked: these epochs; or `{"even": n}`, the last and `n - 1` before it at even distances; or `{"log": n}`, at
            distances that grow by a constant factor; None = none.
        epochs: how many the training has.
    """
    if asked is None:
        return []
    if isinstance(asked, list):
        return sorted(epoch for epoch in set(asked) if 0 <= epoch < epochs)
    ((spacing, count),) = asked.items()
    places = np.geomspace(1, epochs, count) if spacing == "log" else np.linspace(epochs / count, epochs, count)
    return sorted({round(float(place)) - 1 for place in places if place >= 0.5})


class KeepHistory(Callback):
    """Collects the probabilities of the validation images, and writes them when the last epoch is over.

    Until then they are a part of the point to resume from.

    Args:
        folder: the file goes there.
        classes: in the order of the logits.
        ids: the validation images in their order.
        labels: those of the same images, as the manifest has them.
    """

    def __init__(self, folder: Path, classes: Sequence[str], ids: Sequence[str], labels: Sequence[str | None]) -> None:
        self.path, self.classes, self.ids, self.labels = folder / HISTORY, tuple(classes), list(ids), list(labels)
        self.epochs: list[Tensor] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take what validation collected."""
        answers: Tensor | None = pl_module.task.answers()  # type: ignore[operator, union-attr]
        if answers is None or len(self.epochs) != trainer.current_epoch:  # begun by a version that kept no history
            return
        self.epochs.append(answers.half())
        if trainer.current_epoch + 1 == trainer.max_epochs:
            self._write()

    def _write(self) -> None:
        count = len(self.epochs)
        values = torch.cat(self.epochs).numpy()
        table = pd.DataFrame(
            {
                "epoch": np.repeat(np.arange(count, dtype=np.int32), len(self.ids)),
                "id": self.ids * count,
                "label": self.labels * count,
                **{PROB + name: values[:, k] for k, name in enumerate(self.classes)},
            }
        )
        with replacing(self.path) as partial:
            table.to_parquet(partial, index=False, compression="zstd")

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.epochs = list(state_dict["epochs"])


class KeepSnapshots(Callback):
    """Saves the network after some epochs, each into a folder of its own that `salign.load` reads.

    Args:
        folder: the folder of the run.
        network: what is saved.
        epochs: counted from 0, as in the metrics.
    """

    def __init__(self, folder: Path, network: Saved, epochs: Sequence[int]) -> None:
        self.folder, self.network, self.epochs = folder, network, frozenset(epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, if this is one of them."""
        if trainer.current_epoch in self.epochs:
            self.network.save(snapshot(self.folder, trainer.current_epoch))


def snapshot(run: Path | str, epoch: int) -> Path:
    """The folder with the network after an epoch of a run, where it was kept."""
    return Path(run) / SNAPSHOTS / f"epoch_{epoch:04d}"
