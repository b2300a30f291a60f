"""A running average of the weights, which is what validation measures and what a run keeps."""

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

    This is the exponential moving average of Polyak averaging, from the first step's weights on. The running statistics
    of batch norm are averaged, too. From validation to the end of an epoch the network has the average, so that what
    stands before this callback saves it; then it has its own weights again.

    Args:
        network: what is trained.
        decay: in (0, 1); 0.999 looks back about a thousand steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        number("decay", decay, "(0, 1)")
        self.network, self.steps = network, 0
        self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Be where the network is."""
        self.averaged.to(pl_module.device)
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Take the weights into the average, if there was a step."""
        if trainer.global_step > self.steps:
            self.steps = trainer.global_step
            self.averaged.update_parameters(self.network)

    def on_validation_start(self, *_: Any) -> None:
        """Give the network the average."""
        self._swap()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Give the network its own weights back."""
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
        """What resuming needs."""
        return {"averaged": self.averaged.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.averaged.load_state_dict(state_dict["averaged"])
