"""Batch norm and dropout on images that are not learned from: changed copies, or images that are only looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def keep_running_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context, leave the running means and variances of batch norm as they are.

    In training mode, layers still normalise by the batch at hand. The running statistics stand for the images in
    evaluation, which are not changed.
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
    """Within this context, keep every part of the network in evaluation mode; afterwards restore the mode of each.

    In evaluation mode, no image changes the answer to another.
    """
    modes = [(part, part.training) for part in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training
