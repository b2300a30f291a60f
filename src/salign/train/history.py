"""What a run keeps of its epochs: the predictions of the validation images, and the weights if they are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from pyarrow.parquet import ParquetWriter
from torch import Tensor

from salign.checks import tensors
from salign.data.manifest.labels import multi_hot
from salign.errors import SalignError
from salign.evaluate.constant import TINY
from salign.evaluate.predictions import PROB
from salign.files import replacing
from salign.readers import read_parquet, read_row_groups
from salign.train.callbacks import Saved
from salign.train.snapshots import snapshot, step_snapshot

HISTORY = "history.parquet"
"""This file in the folder of a run has the predictions of the validation images in every epoch."""
_PARTS = "history"
"""This folder has a file of predictions for each epoch while the training lasts."""
Spacing = list[int] | dict[Literal["even", "log", "steps"], int]


def learned_and_forgotten(correct: Tensor) -> tuple[Tensor, Tensor]:
    """Compute, for each epoch, the shares of images learned and forgotten from there to the end (arXiv 2310.11094).

    `learned[e]` is the share of images that are answered wrong in epoch `e` and right in the last epoch.
    `forgotten[e]` is the share that is answered right in epoch `e` and wrong in the last epoch. So
    `accuracy[last] = accuracy[e] + learned[e] - forgotten[e]`.

    Args:
        correct: `(E, N)` bool, whether each of `N` images is answered right in each of `E` epochs.

    Returns:
        `learned` and `forgotten`, each `(E,)` float64.
    """
    tensors(correct=(correct, "bool (E, N)"))
    last = correct[-1]
    return (~correct & last).double().mean(1), (correct & ~last).double().mean(1)


def read_history(run: Path | str) -> pd.DataFrame:
    """Read the predictions of the validation images in every epoch of a run.

    Returns:
        A table with a row for each epoch and image: `epoch` (from 0), `id`, `label`, and `prob_CLASS` (float16) for
        every class.

    Raises:
        SalignError: the run has no history, because an earlier version trained it or it has not finished.
    """
    return read_parquet(_whole(run)).to_pandas()


def correct_answers(run: Path | str, *, multi_label: bool) -> Tensor:
    """Find out whether each validation image is answered right in each epoch; the history is read epoch by epoch.

    Args:
        run: the folder of the run.
        multi_label: whether images may have several labels. If so, an answer is right if the classes with a probability
            above one half are exactly the labels. Else it is right if the class with the highest probability is the
            label.

    Returns:
        `(E, N)` bool for `E` epochs and `N` images.

    Raises:
        SalignError: the run has no history.
    """
    epochs: dict[int, list[np.ndarray]] = {}
    for rows in read_row_groups(_whole(run)):
        for epoch, part in rows.to_pandas().groupby("epoch"):
            epochs.setdefault(int(str(epoch)), []).append(_correct(part, multi_label))
    return torch.from_numpy(np.stack([np.concatenate(parts) for parts in epochs.values()]))


def history_ids(run: Path | str) -> list[str]:
    """Return the ids of the validation images in the history of a run, in the order of the history.

    Raises:
        SalignError: the run has no history.
    """
    rows = next(iter(read_row_groups(_whole(run)))).select(["epoch", "id"]).to_pandas()
    return [str(name) for name in rows.loc[rows["epoch"] == rows["epoch"].iloc[0], "id"]]


def _correct(rows: pd.DataFrame, multi_label: bool) -> np.ndarray:
    """Return `(N,)` bool: whether the answer in each row of a history is right."""
    classes = [name.removeprefix(PROB) for name in map(str, rows) if name.startswith(PROB)]
    probable = rows[[PROB + name for name in classes]].to_numpy(np.float32)
    if multi_label:
        labels, _ = multi_hot(rows["label"], classes)
        right: np.ndarray = ((probable > 0.5) == labels).all(1)
        return right
    return np.asarray(classes, dtype=object)[probable.argmax(1)] == rows["label"].to_numpy(dtype=object)


def _whole(run: Path | str) -> Path:
    path = Path(run) / HISTORY
    if not path.exists():
        raise SalignError(f"{path.parent} has no {HISTORY}: an earlier version trained it, or it has not finished.")
    return path


def snapshot_epochs(snapshots: Spacing | None, epochs: int) -> list[int]:
    """Return the epochs, counted from 0, after which weights are kept.

    Args:
        snapshots: a list of epochs. Or `{"even": n}` for the last epoch and `n - 1` epochs before it at even distances,
            or `{"log": n}` for `n` epochs up to the last at distances that grow by a constant factor; epochs that
            coincide are kept once. None and `{"steps": n}` keep no epochs.
        epochs: how many epochs the training has.
    """
    if snapshots is None or "steps" in snapshots:
        return []
    if isinstance(snapshots, list):
        return sorted(epoch for epoch in set(snapshots) if 0 <= epoch < epochs)
    ((spacing, count),) = snapshots.items()
    places = _growing(epochs, count) if spacing == "log" else np.linspace(epochs / count, epochs, count)
    return sorted({round(float(mark)) - 1 for mark in places if mark >= 0.5})


def snapshot_steps(snapshots: Spacing | None, steps: int) -> list[int]:
    """Return the optimiser steps after which weights are kept.

    Args:
        snapshots: `{"steps": n}` for step 0 and `n - 1` steps after it up to the last, at distances that grow by a
            constant factor; steps that coincide are kept once. Anything else keeps no steps.
        steps: how many optimiser steps the training has.
    """
    if not isinstance(snapshots, dict) or "steps" not in snapshots:
        return []
    return sorted({0, *(round(float(step)) for step in _growing(steps, snapshots["steps"] - 1))})


def _growing(last: int, count: int) -> NDArray[np.float64]:
    """Return `count` places from 1 to `last`, at distances that grow by a constant factor; a single one is `last`."""
    places = np.geomspace(1, last, count)
    places[-1:] = last
    return places


class KeepHistory(Callback):
    """Writes the probabilities of the validation images after each epoch, so that none are held in memory.

    Each epoch has a file of its own until `join_history` is called. So the files of a training that was stopped are
    whole, and an epoch that is repeated when the training is resumed replaces its file by an equal one.

    Args:
        folder: the folder of the run.
        classes: names of the classes in the order of the logits.
        ids: ids of the validation images in the order of the data loader.
        labels: labels of the same images, as the manifest has them.
    """

    def __init__(self, folder: Path, classes: Sequence[str], ids: Sequence[str], labels: Sequence[str | None]) -> None:
        self.folder, self.classes, self.ids, self.labels = folder, tuple(classes), list(ids), list(labels)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the probabilities that validation collected in this epoch."""
        answers: Tensor | None = pl_module.task.answers()  # type: ignore[operator, union-attr]
        if answers is None:
            return
        values = answers.half().numpy()
        table = pd.DataFrame(
            {
                "epoch": np.full(len(self.ids), trainer.current_epoch, dtype=np.int32),
                "id": self.ids,
                "label": self.labels,
                **{PROB + name: values[:, k] for k, name in enumerate(self.classes)},
            }
        )
        with replacing(_part(self.folder, trainer.current_epoch)) as partial:
            table.to_parquet(partial, index=False, compression="zstd")


def join_history(run: Path) -> None:
    """Join the files of the epochs of a finished training into one file, with a row group for each epoch.

    No more than one epoch is in memory. A training that an earlier version began lacks its first epochs and gets no
    history. If this function was interrupted, a second call gives the same result.
    """
    parts = run / _PARTS
    if _part(run, 0).exists() and not (run / HISTORY).exists():
        with replacing(run / HISTORY) as partial, ExitStack() as stack:
            writer: ParquetWriter | None = None
            for part in sorted(parts.glob("*.parquet")):
                rows = read_parquet(part)
                writer = writer or stack.enter_context(ParquetWriter(partial, rows.schema, compression="zstd"))
                writer.write_table(rows)
    shutil.rmtree(parts, ignore_errors=True)


def _part(run: Path, epoch: int) -> Path:
    return run / _PARTS / f"{epoch:06d}.parquet"


class StopCollapsed(Callback):
    """Stops a training that has learned nothing for some epochs in a row.

    This callback must come after `KeepHistory`, whose file of the epoch it reads.

    Args:
        folder: the folder of the run.
        classes: names of the classes in the order of the logits.
        patience: number of epochs in a row without anything learned after which the training is stopped.
        chance: the cross-entropy of chance, see `chance_of`.
    """

    def __init__(self, folder: Path, classes: Sequence[str], patience: int, *, chance: float) -> None:
        self.folder, self.classes, self.patience, self.chance = folder, tuple(classes), patience, chance
        self.epochs = 0
        """Number of epochs in a row, up to the last one, in which nothing was learned."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the training if the answers and the loss show that nothing was learned for `patience` epochs.

        Raises:
            SalignError: nothing was learned for `patience` epochs.
        """
        reason = self._reason(trainer)
        self.epochs = self.epochs + 1 if reason else 0
        if self.epochs >= self.patience:
            raise SalignError(
                f"training collapsed: {reason}, and nothing was learned in {self.epochs} epochs up to epoch "
                f"{trainer.current_epoch + 1}. Lower train.lr or the weight or dose of the loss."
            )

    def _reason(self, trainer: Trainer) -> str:
        """Return what shows that nothing was learned in this epoch; empty if something was."""
        part = read_parquet(_part(self.folder, trainer.current_epoch)).to_pandas()
        probabilities = part[[PROB + name for name in self.classes]].to_numpy(np.float64)
        if np.ptp(probabilities, axis=0).max() < TINY:
            return f"the probabilities of all {len(part)} validation images are alike"
        loss = float(trainer.callback_metrics.get("train/ce", torch.nan))
        return f"the cross-entropy of training is {loss:.3g}, and chance is {self.chance:.3g}" * (loss >= self.chance)

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs: the number of epochs without anything learned."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of epochs without anything learned in a resumed training."""
        self.epochs = state_dict["epochs"]


def chance_of(labels: Tensor, classes: int, weights: Tensor | None = None) -> float:
    """Return the cross-entropy of chance: of answers that are, for every image, the frequency of each class.

    It is computed as in `salign.losses.cross_entropy`; for images with several labels it is the mean over classes.

    Args:
        labels: `(N,)` class numbers; or `(N, K)` zeros and ones if images may have several labels.
        classes: `K`.
        weights: `(N,)`, how much each image counts: how often it is drawn, times the weight of its class in the loss.
            None means that all images count alike.
    """
    counted = torch.ones(len(labels)) if weights is None else weights
    of_class = labels if labels.dim() == 2 else torch.nn.functional.one_hot(labels, classes)
    shares = counted.double() @ of_class.double() / counted.double().sum()
    entropy = torch.special.entr(shares)
    if labels.dim() == 2:
        return float((entropy + torch.special.entr(1 - shares)).mean())
    return float(entropy.sum())


class KeepSnapshots(Callback):
    """Saves the network after some epochs or steps, each time into a folder of its own that `salign.load` reads.

    Args:
        folder: the folder of the run.
        network: the network that is saved.
        spacing: the epochs or steps after which it is saved, see `snapshot_epochs` and `snapshot_steps`.
    """

    def __init__(self, folder: Path, network: Saved, spacing: Spacing | None) -> None:
        self.folder, self.network, self.spacing = folder, network, spacing
        self.steps: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out which steps are kept, and save the untrained network if step 0 is one of them."""
        self.steps = snapshot_steps(self.spacing, int(trainer.estimated_stepping_batches))
        if trainer.global_step == 0:
            self._save_step(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save the network if this is one of the steps to keep."""
        self._save_step(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the network if this is one of the epochs to keep."""
        if trainer.current_epoch in snapshot_epochs(self.spacing, trainer.max_epochs or 0):
            self.network.save(snapshot(self.folder, trainer.current_epoch))

    def _save_step(self, trainer: Trainer) -> None:
        if trainer.global_step in self.steps:
            self.network.save(step_snapshot(self.folder, trainer.global_step))
