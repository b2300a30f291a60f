"""Batch norm and dropout on images that the network does not learn from: changed copies, or a look before training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def keep_running_statistics(network: nn.Module) -> Iterator[None]:
    """In training mode, normalise by the batch at hand as ever, but leave running means and variances as they are.

    They stand for the images in evaluation, which are not changed.
    """
    layers = [part for part in network.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Every part in evaluation mode, so that no image changes another's answer; then each is in its own mode again."""
    modes = [(part, part.training) for part in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training
