"""A running average of the weights, which validation measures and a run keeps in place of the weights themselves."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from salign.checks import number


class Averaging(Callback):
    """Averages the weights over the steps: `average <- decay * average + (1 - decay) * weights`.

    This is the exponential moving average of Polyak averaging, which begins with the weights after the first step. The
    running statistics of batch norm are averaged, too. From the start of validation to the end of an epoch, the network
    has the averaged weights, so that callbacks before this one save them. Then it has its own weights again.

    Args:
        network: the network that is trained.
        decay: in (0, 1); 0.999 averages over about the last thousand steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        number("decay", decay, "(0, 1)")
        self.network, self.steps = network, 0
        self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the average to the device of the network."""
        self.averaged.to(pl_module.device)
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Add the weights to the average, if an optimiser step was made."""
        if trainer.global_step > self.steps:
            self.steps = trainer.global_step
            self.averaged.update_parameters(self.network)

    def on_validation_start(self, *_: Any) -> None:
        """Put the averaged weights into the network."""
        self._swap()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Put the network's own weights back."""
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        own, average = (
            itertools.chain(net.parameters(), net.buffers()) for net in (self.network, self.averaged.module)
        )
        for mine, other in zip(own, average, strict=True):
            before = mine.clone()
            mine.copy_(other)
            other.copy_(before)

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs: the average."""
        return {"averaged": self.averaged.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the average in a resumed training."""
        self.averaged.load_state_dict(state_dict["averaged"])
