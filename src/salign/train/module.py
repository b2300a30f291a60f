"""The training loop as a Lightning module, which is the same for all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from salign.checks import choice
from salign.collectives import over_processes, share, sharing_batch, synced_batch_norm
from salign.losses.base import going_back
from salign.train.steps import Step
from salign.train.tasks import Task
from salign.types import Batch

_WITHIN = "within_epoch"
Schedule = Literal["constant", "step", "cosine", "one_cycle"]


class Training(LightningModule):
    """The loop of every training; the learning rate is set for each step.

    At the beginning of each epoch, torch's random generator is seeded by (seed, epoch, process). Resuming therefore
    changes nothing, whatever dropout or stochastic depth drew before.

    Args:
        task: what is learned.
        steps: the steps that change each training batch before the loss, in order.
        optimizer: makes the optimiser from the list of parameters that learn.
        rate: factor of the learning rate as a function of the share of the training that is done, in [0, 1].
        seed: decides dropout and whatever else is drawn from torch's generator.
        channels_last: keep images and weights in the memory format channels_last; else they are contiguous.
    """

    def __init__(
        self,
        task: Task,
        steps: Iterable[Step] = (),
        *,
        optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
        rate: Callable[[float], float],
        seed: int,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.task = task
        self.steps = nn.ModuleList(steps)
        task.lay_out(torch.channels_last if channels_last else torch.contiguous_format)
        self.make_optimizer, self.rate, self.seed = optimizer, rate, seed
        self.within: dict[str, Any] | None = None
        """Sums and random states of the batches before, for a training that is resumed within an epoch; else None."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimiser, and a scheduler whose learning rate is a function of the step alone."""
        optimizer = self.make_optimizer([weight for weight in self.parameters() if weight.requires_grad])
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate(min(step / steps, 1.0)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Within an epoch, add the random state and what was measured since the epoch began.

        The measured sums are those of all processes, the random state is that of the first, which writes the file.
        """
        loop = self.trainer.fit_loop.epoch_loop
        if loop.batch_progress.current.ready % int(self.trainer.num_training_batches):
            sums = {name: (result.value, result.cumulated_batch_size) for name, result in self._means().items()}
            summed = {name: [over_processes(each)[0] for each in both] for name, both in sums.items()}
            if self.within is not None:  # stopped a second time before `on_train_batch_end` added the earlier sums
                earlier = self.within["sums"]
                summed = {
                    name: [x + y for x, y in zip(both, earlier[name], strict=True)] for name, both in summed.items()
                }
            cuda = [torch.cuda.get_rng_state()] if self.device.type == "cuda" else []
            checkpoint[_WITHIN] = {"sums": summed, "random": [torch.get_rng_state(), *cuda]}

    def _means(self) -> dict[str, Any]:
        """Return the results that Lightning sums up for the means over the epoch, by name."""
        results = self.trainer.fit_loop.epoch_loop._results
        return {name: result for name, result in results.items() if result.meta.on_epoch}

    def on_train_start(self) -> None:
        """Prepare to go on within an epoch, because Lightning does not call `on_train_epoch_start` again for it."""
        if self.within is None:
            return
        self.task.begin_epoch(self.current_epoch)
        if self.global_rank:
            self._seed(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)
            self.within = None
            return
        cpu, *cuda = self.within["random"]
        torch.set_rng_state(cpu)
        if cuda and self.device.type == "cuda":
            torch.cuda.set_rng_state(cuda[0])

    def on_train_batch_end(self, *_: Any) -> None:
        """Add what was measured in this epoch before the training was stopped."""
        if self.within is not None:
            for name, result in self._means().items():
                value, size = self.within["sums"].get(name, (0.0, 0))
                result.value, result.cumulated_batch_size = value + result.value, size + result.cumulated_batch_size
            self.within = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take what was saved within an epoch, and rename the parts of the task that version 0.1 named otherwise."""
        names = {"classifier": "task.network", "net": "task.network", "loss": "task.loss"}
        state = {key.partition(".")[::2]: value for key, value in checkpoint["state_dict"].items()}
        self.within = checkpoint.get(_WITHIN)
        checkpoint["state_dict"] = {f"{names.get(part, part)}.{rest}": value for (part, rest), value in state.items()}

    def on_train_epoch_start(self) -> None:
        """Seed torch's generator for this epoch, and tell the task that the epoch begins."""
        self._seed()
        self.task.begin_epoch(self.current_epoch)

    def _seed(self, *batch: int) -> None:
        stream = np.random.SeedSequence([self.seed, self.current_epoch, self.global_rank, *batch])
        torch.manual_seed(int(stream.generate_state(1)[0]))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch after all steps; log the mean of the loss and of its parts over the epoch."""
        loaded, steps = len(batch.labels), cast(list[Step], list(self.steps))
        for step in steps:
            batch = step(batch, self.task.network, self.current_epoch)
        for step in steps:
            step.learn(batch, self.current_epoch)
        with sharing_batch(len(batch.labels)) as images, synced_batch_norm():
            total, parts = self.task(batch)
            total = share() * total
            named = {"train/loss": total.detach(), **{f"train/{name}": share() * part for name, part in parts.items()}}
            if batch.fooled is not None:
                named["train/fooled"] = share() * batch.fooled.float().mean()
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=images, sync_dist=True)
        if any(step.selects for step in steps):
            selected = len(batch.labels) / loaded
            self.log("train/selected", selected, on_step=False, on_epoch=True, batch_size=loaded, sync_dist=True)
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def on_train_epoch_end(self) -> None:
        """Gather the figures of the epoch in every process, because all must take part even if only one writes them."""
        _ = self.trainer.callback_metrics

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Do what Lightning does, but explain the error if the loss cannot train this network."""
        with going_back():
            super().backward(loss, *args, **kwargs)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the loss of a validation batch; the task collects what its metrics need."""
        loss = self.task.validate(batch)
        self.log("val/loss", loss, on_epoch=True, batch_size=len(batch.labels), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole validation set."""
        self.log_dict({f"val/{name}": value for name, value in self.task.metrics().items()}, prog_bar=True)


def learning_rate(
    schedule: Schedule, *, epochs: int, step_epochs: int = 12, step_factor: float = 0.1
) -> Callable[[float], float]:
    """Return the factor of the learning rate as a function of the share of the training that is done, in [0, 1].

    Args:
        schedule: "constant" is 1 throughout. "step" is multiplied by `step_factor` every `step_epochs` epochs. "cosine"
            falls from 1 to 0 along half a cosine (Loshchilov & Hutter 2017). "one_cycle" rises from 0.04 to 1 along
            half a cosine over the first 30 % of the training, then falls to 0 along half a cosine (after Smith & Topin
            2018).
        epochs: number of epochs of the training.
        step_epochs: see "step".
        step_factor: see "step".
    """
    choice("schedule", schedule, Schedule)
    if schedule == "constant":
        return lambda done: 1.0
    if schedule == "step":
        return lambda done: step_factor ** (int(done * epochs + 1e-9) // step_epochs)
    if schedule == "cosine":
        return lambda done: (1 + math.cos(math.pi * done)) / 2
    rise, start = 0.3, 0.04
    return lambda done: (
        1 + (start - 1) * (1 + math.cos(math.pi * done / rise)) / 2
        if done < rise
        else (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2
    )
