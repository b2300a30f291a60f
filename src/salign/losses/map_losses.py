"""Losses of a network that predicts saliency maps, between the predicted and the human map.

Every function takes logits `(B, H, W)`, whose sigmoid is the predicted map, and human maps `(B, H, W)` in [0, 1]. It
returns a scalar, the mean over images. Other arguments raise a SalignError. An image for which a loss has no meaning
does not count: a blank map, for instance, has no distribution and no correlation. If no image counts, the loss is a
zero that still back-propagates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import tensors, values
from salign.losses.base import averaged
from salign.maps import sum_to_one, varies

MapLoss = Callable[[Tensor, Tensor], Tensor]


def mse(logits: Tensor, maps: Tensor) -> Tensor:
    """Return the mean squared difference, the loss with which MENTOR (arXiv 2310.19545) trains its autoencoder."""
    _check(logits, maps)
    return functional.mse_loss(logits.sigmoid(), maps)


def bce(logits: Tensor, maps: Tensor) -> Tensor:
    """Return the binary cross-entropy per pixel, with the human map as the probability; it is least for equal maps."""
    _check(logits, maps)
    return functional.binary_cross_entropy_with_logits(logits, maps)


def kl(logits: Tensor, maps: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the predicted map from the human one, each divided by its sum, in nats.

    Jetley et al. 2016 take the softmax of the logits as the distribution. Here it is the map itself, the sigmoid, so
    that the network is trained on the map that it predicts. Blank maps do not count.
    """
    _check(logits, maps)
    expected = sum_to_one(maps).flatten(1)
    predicted = functional.logsigmoid(logits).flatten(1).log_softmax(1)
    return averaged((torch.xlogy(expected, expected) - expected * predicted).sum(1), maps.flatten(1).amax(1) > 0)


def cc(logits: Tensor, maps: Tensor) -> Tensor:
    """Return one minus Pearson's correlation over the pixels, in [0, 2]; constant maps do not count."""
    _check(logits, maps)
    predicted, human = _centred(logits.sigmoid()), _centred(maps)
    counts = varies(maps) & varies(logits)
    spread = torch.where(counts, predicted.square().sum(1) * human.square().sum(1), 1.0)
    return averaged(1 - (predicted * human).sum(1) / spread.sqrt(), counts)


def dice(logits: Tensor, maps: Tensor) -> Tensor:
    """Return one minus the soft Dice coefficient `(2 sum ph + 1) / (sum p + sum h + 1)`; a blank map counts, too.

    `p` is the predicted map and `h` is the human map. The loss follows Milletari et al. 2016, who divide by sums of
    squares and add no 1.
    """
    _check(logits, maps)
    predicted, human = logits.sigmoid().flatten(1), maps.flatten(1)
    overlap = (2 * (predicted * human).sum(1) + 1) / (predicted.sum(1) + human.sum(1) + 1)
    return (1 - overlap).mean()


def _check(logits: Tensor, maps: Tensor) -> None:
    tensors(logits=(logits, "float (B, H, W)"), maps=(maps, "float (B, H, W)"))
    values("maps", maps, "[0, 1]")


def _centred(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    return flat - flat.mean(1, keepdim=True)


MAP_LOSSES: dict[str, MapLoss] = {"mse": mse, "bce": bce, "kl": kl, "cc": cc, "dice": dice}
"""Name of a loss -> its function."""
