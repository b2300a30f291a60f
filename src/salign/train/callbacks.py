"""What happens at the end of an epoch: the best weights, the table of figures and the point to resume from are kept."""

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
    """A network that knows how it is kept."""

    def save(self, folder: Path | str) -> Path:
        """Write everything needed to have it back."""


class KeepBest(Callback):
    """Saves the network of the best epoch into `folder`.

    Args:
        folder: where its description and weights go.
        network: what is saved.
        monitor: the logged figure that decides, higher is better; None keeps the last epoch.
        ties: "first" or "last" of equally good epochs.
        lowest: lower is better instead.
    """

    def __init__(self, folder: Path, network: Saved, *, monitor: str | None, ties: str, lowest: bool = False) -> None:
        choice("ties", ties, ("first", "last"))
        self.folder, self.network, self.monitor, self.ties = folder, network, monitor, ties
        self.sign = -1 if lowest else 1
        self.best: float | None = None
        self.epoch: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, and save if better.

        Raises:
            SalignError: the loss is no longer a number; the best weights so far stay where they are.
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
                score = -math.inf  # worse than any epoch whose answers are numbers
        if self.best is not None and (score < self.best or (score == self.best and self.ties == "first")):
            return
        self.best, self.epoch = score, trainer.current_epoch
        self.network.save(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]


class History(Callback):
    """Writes one row of figures per epoch to a CSV; the rows survive resuming."""

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
        """What resuming needs."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows = state_dict["rows"]


class ResumePoint(Checkpoint):
    """After every epoch, keeps all that is needed to go on; the file is replaced only when the new one is whole.

    SIGTERM and SIGUSR1, by which clusters announce the end of a job, make it keep the step at work, too, and end.

    Args:
        path: the file.
        preemptible: whether it answers these signals. They belong to who has a handler of his own for SIGTERM.
    """

    def __init__(self, path: Path, *, preemptible: bool = False) -> None:
        self.path, self.preemptible = path, preemptible
        self.signal = ""
        """The signal that came, by its name."""

    def on_train_start(self, *_: Any) -> None:
        """Listen, in the place of Lightning, which puts back at the end what was there before it."""
        if self.preemptible:
            for name in REQUESTS:
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, _: Any) -> None:
        self.signal = signal.Signals(number).name

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and end if that is asked for, and the step is over; the last batch of an epoch is saved behind it.

        Raises:
            Preempted: it was asked for.
        """
        batch, batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready, int(trainer.num_training_batches)
        if anywhere(bool(self.signal)) and batch < batches and not batch % trainer.accumulate_grad_batches:
            self._save(trainer)
            self._end(f"batch {batch} of {batches} of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and end if that is asked for.

        Raises:
            Preempted: it was asked for.
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
        """Write beside, then move into place."""
        with replacing(self.path) if trainer.is_global_zero else nullcontext(self.path) as partial:
            trainer.save_checkpoint(partial)  # every process asks, the first one writes


class PlainFile(TorchCheckpointIO):
    """How Lightning writes and reads that point: straight to its place, not through the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the file; a full disk is an OSError, as everywhere."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors, numbers and text, and nothing that runs code.

        Raises:
            SalignError: the file is damaged, or a pickle of something else.
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
    """A bar for the whole training: the epoch, the time left, a figure of validation, its best value and its course.

    Epochs are counted from 1 here; the files of a run count them from 0.

    Args:
        keep: names the figure that decides; where the last epoch is kept, one of `_WATCHED` is shown.
        history: has the figures of all epochs, those before a resumed training too.
        epochs: number of epochs.
    """

    def __init__(self, keep: KeepBest, history: History, epochs: int) -> None:
        self.keep, self.history, self.epochs = keep, history, epochs
        self.bar: Bar | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, after the epochs that a resumed training has behind it."""
        batches = int(trainer.num_training_batches)
        self.bar = Bar("training", self.epochs * batches, done=trainer.current_epoch * batches, every_line=True)
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Go on by a batch."""
        if self.bar is not None:
            self.bar.advance(count=f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figures of the epoch, which `history` has by then."""
        if self.bar is not None:
            self.bar.advance(0, self.note(), f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def note(self) -> str:
        """The figure of the last epoch, its best value and its course."""
        rows = self.history.rows
        name = self.keep.monitor or next((name for name in _WATCHED if name in rows[-1]), "train/loss")
        values = [row.get(name, math.nan) for row in rows]
        sign = -1 if name.endswith("loss") else self.keep.sign
        best = max(range(len(values)), key=lambda i: (sign * values[i] if values[i] == values[i] else -math.inf, i))
        epoch = int(rows[best]["epoch"]) + 1
        return f"{name} {values[-1]:.3f}, best {values[best]:.3f} in epoch {epoch} {sparkline(values)}"

    def on_train_end(self, *_: Any) -> None:
        """Take the bar away."""
        self.on_exception()

    def on_exception(self, *_: Any) -> None:
        """Take the bar away when training is stopped."""
        if self.bar is not None:
            self.bar.stop()


REQUESTS = ("SIGTERM", "SIGUSR1") if hasattr(signal, "SIGUSR1") else ("SIGTERM",)
"""The signals that ask for the end of a training."""
_WATCHED = ("val/auroc", "val/accuracy", "val/loss")
