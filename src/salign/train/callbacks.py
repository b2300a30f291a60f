"""Callbacks of a training: they keep the best weights, the table of figures and the resume point, and show a bar."""

from __future__ import annotations

import io
import math
import pickle
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from salign.checks import choice
from salign.collectives import anywhere
from salign.errors import Preempted, SalignError
from salign.files import replace_csv, replacing
from salign.progress import Bar, sparkline
from salign.readers import open_file


class Saved(Protocol):
    """A network that can save itself."""

    def save(self, folder: Path | str) -> Path:
        """Write everything that is needed to load the network again."""


class KeepBest(Callback):
    """Saves the network of the best epoch into `folder`.

    Args:
        folder: where the description and the weights of the network are written.
        network: the network that is saved.
        monitor: the logged figure that decides; None keeps the last epoch.
        ties: which of several equally good epochs is kept, "first" or "last".
        lowest: False if a higher figure is better, True if a lower one is.
    """

    def __init__(self, folder: Path, network: Saved, *, monitor: str | None, ties: str, lowest: bool = False) -> None:
        choice("ties", ties, ("first", "last"))
        self.folder, self.network, self.monitor, self.ties = folder, network, monitor, ties
        self.sign = -1 if lowest else 1
        self.best: float | None = None
        self.epoch: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the network if this epoch is the best so far.

        Raises:
            SalignError: the loss is NaN or infinite; the best weights so far stay saved.
        """
        loss = float(trainer.callback_metrics["train/loss"])
        if not math.isfinite(loss):
            raise SalignError(
                f"training diverged in epoch {trainer.current_epoch + 1}: the loss is {loss}. Lower train.lr and start "
                "again."
            )
        score = float(trainer.current_epoch)
        if self.monitor:
            score = self.sign * float(trainer.callback_metrics[self.monitor])
            if math.isnan(score + float(trainer.callback_metrics.get("val/loss", 0.0))):
                score = -math.inf  # worse than any epoch without NaN
        if self.best is not None and (score < self.best or (score == self.best and self.ties == "first")):
            return
        self.best, self.epoch = score, trainer.current_epoch
        self.network.save(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs: the best figure and its epoch."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best figure and its epoch in a resumed training."""
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]


class History(Callback):
    """Writes one row of figures per epoch to a CSV file; a resumed training keeps the rows of earlier epochs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and rewrite the file."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": float(trainer.current_epoch), "lr": rate, **dict(sorted(figures.items()))})
        replace_csv(self.path, pd.DataFrame(self.rows).astype({"epoch": int}))

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs: all rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of earlier epochs in a resumed training."""
        self.rows = state_dict["rows"]


class ResumePoint(Checkpoint):
    """Saves all that is needed to resume after every epoch; the file is replaced only when the new one is whole.

    Clusters announce the end of a job by SIGTERM or SIGUSR1. After such a signal, the training is also saved when the
    step at work is finished, and then ends.

    Args:
        path: the file that is written.
        preemptible: whether this callback handles these signals. It must not if the program has its own handler for
            SIGTERM.
    """

    def __init__(self, path: Path, *, preemptible: bool = False) -> None:
        self.path, self.preemptible = path, preemptible
        self.signal = ""
        """Name of the signal that came; empty if none did."""

    def on_train_start(self, *_: Any) -> None:
        """Handle the signals in place of Lightning, which restores the earlier handlers when the training ends."""
        if self.preemptible:
            for name in REQUESTS:
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, _: Any) -> None:
        self.signal = signal.Signals(number).name

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and end the training if a signal asked for it and an optimiser step is finished.

        After the last batch of an epoch, nothing is done here: `on_train_epoch_end` saves then.

        Raises:
            Preempted: a signal asked for the end.
        """
        batch, batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready, int(trainer.num_training_batches)
        if anywhere(bool(self.signal)) and batch < batches and not batch % trainer.accumulate_grad_batches:
            self._save(trainer)
            self._end(f"batch {batch} of {batches} of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the training, and end it if a signal asked for it.

        Raises:
            Preempted: a signal asked for the end.
        """
        self._save(trainer)
        if anywhere(bool(self.signal)):
            self._end(f"epoch {trainer.current_epoch + 1}")

    def _end(self, done: str) -> None:
        sender = f"by {self.signal}, " if self.signal else ""
        raise Preempted(
            f"stopped, as was asked {sender}after {done}, which is saved. Go on with the same command and --resume."
        )

    def _save(self, trainer: Trainer) -> None:
        """Write the file beside its place, then move it there."""
        with replacing(self.path) if trainer.is_global_zero else nullcontext(self.path) as partial:
            trainer.save_checkpoint(partial)  # every process must call this, but only the first one writes


class PlainFile(TorchCheckpointIO):
    """Lets Lightning write the resume point directly to its path, not by way of the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the file; a full disk raises an OSError, as elsewhere."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors, numbers and text; objects that could run code are refused.

        Raises:
            SalignError: the file is damaged, or a pickle of other objects.
        """
        try:
            with open_file(path, limit=None) as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).partition("\n")[0] or "it ends too soon"
            raise SalignError(
                f"{path} is damaged ({reason}). Delete {Path(path).parent} to start again without --resume."
            ) from error


class TrainingBar(Callback):
    """Shows a bar for the whole training: epoch, time left, a validation figure, its best value and its course.

    Epochs are counted from 1 here; the files of a run count them from 0.

    Args:
        keep: tells which figure decides and is shown; if the last epoch is kept, the first logged one of `_WATCHED` is
            shown instead.
        history: has the figures of all epochs, also of those before the training was resumed.
        epochs: number of epochs.
    """

    def __init__(self, keep: KeepBest, history: History, epochs: int) -> None:
        self.keep, self.history, self.epochs = keep, history, epochs
        self.bar: Bar | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar; a resumed training begins after the epochs that are done."""
        batches = int(trainer.num_training_batches)
        self.bar = Bar("training", self.epochs * batches, done=trainer.current_epoch * batches, every_line=True)
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move the bar on by a batch."""
        if self.bar is not None:
            self.bar.advance(count=f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figure of the epoch, which `history` has already, because it comes before this callback."""
        if self.bar is not None:
            self.bar.advance(0, self.note(), f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def note(self) -> str:
        """Return the figure of the last epoch, its best value and its course as text."""
        rows = self.history.rows
        name = self.keep.monitor or next((name for name in _WATCHED if name in rows[-1]), "train/loss")
        values = [row.get(name, math.nan) for row in rows]
        sign = -1 if name.endswith("loss") else self.keep.sign
        best = max(range(len(values)), key=lambda i: (sign * values[i] if values[i] == values[i] else -math.inf, i))
        epoch = int(rows[best]["epoch"]) + 1
        return f"{name} {values[-1]:.3f}, best {values[best]:.3f} in epoch {epoch} {sparkline(values)}"

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        self.on_exception()

    def on_exception(self, *_: Any) -> None:
        """Remove the bar when the training is stopped by an error or a signal."""
        if self.bar is not None:
            self.bar.stop()


REQUESTS = ("SIGTERM", "SIGUSR1") if hasattr(signal, "SIGUSR1") else ("SIGTERM",)
"""The signals by which a system asks for the end of a training."""
_WATCHED = ("val/auroc", "val/accuracy", "val/loss")
"""Figures of which the bar shows the first that is logged, if no figure decides which epoch is kept."""
