"""Harmonization: the input gradient of the true class should be like the human map, at five scales."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import choice
from salign.losses.base import at_least_float32, averaged, human_maps, input_gradient
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, of_class, true_class
from salign.maps import varies
from salign.types import Batch, Output

LEVELS = 5
Colours = Literal["mean", "absolute"]


def harmonization(
    gradient: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, colours: Colours = "mean"
) -> Tensor:
    """Return the mean over levels i of `MSE(P_i(z+(G)), P_i(z+(H)))`, as in Fel et al. 2022 (arXiv 2211.04533).

    `G` is the gradient as one map, and `H` is the human map. `z+` scales each map to mean 0 and standard deviation 1,
    and sets what is below 0 to 0. `P_i` is level i of a pyramid of 5 levels: the map itself, then four times blurred
    (`1 4 6 4 1` in each direction) and halved.

    Three things are ours: the mean is over the annotated images (in the public code over all images, with zeros for the
    others); both maps keep the scale that `z+` gives them (in the public code the human map is stretched to the peak of
    the model's); and a constant gradient gives a map of zeros.

    Args:
        gradient: `(B, 3, H, W)` of the true class's logit.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        colours: the map is the "mean" of the signed gradients (public code), or the mean of their "absolute" values.

    Returns:
        Scalar of 0 or more. If no image counts, it is a zero that still back-propagates.
    """
    choice("colours", colours, Colours)
    human, counts = human_maps(saliency, annotated, gradient=(gradient, "float (B, 3, H, W)"))
    one_map = (gradient.abs() if colours == "absolute" else gradient).mean(1)
    difference = positive_deviation(one_map) - positive_deviation(human.to(gradient.dtype))
    levels = torch.stack([level.square().mean((1, 2)) for level in pyramid(difference)])
    return averaged(levels.mean(0), counts)


def positive_deviation(maps: Tensor) -> Tensor:
    """Scale each map `(B, H, W)` to mean 0 and standard deviation 1, and set negative values to 0.

    A constant map becomes zeros, with zero gradient.
    """
    shaped = varies(maps)[:, None, None]
    scale = maps.detach().abs().amax((1, 2), keepdim=True)  # cancels out; it keeps squares from underflow
    centred = maps / torch.where(shaped, scale, 1.0)
    centred = centred - centred.mean((1, 2), keepdim=True)
    variance = torch.where(shaped, centred.square().mean((1, 2), keepdim=True), 1.0)
    return torch.where(shaped, centred / variance.sqrt(), 0.0).relu()


def pyramid(maps: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """Return `levels` maps for each map `(B, H, W)`: the map itself, and smaller ones.

    Each level is blurred and is half as high and wide as the level before. Beyond the edges there are zeros.
    """
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=maps.dtype, device=maps.device) / 16
    across, down = row.view(1, 1, 1, 5), row.view(1, 1, 5, 1)
    levels_so_far = [maps[:, None]]
    with torch.autocast(maps.device.type, enabled=False):
        for _ in range(levels - 1):
            halved = functional.conv2d(levels_so_far[-1], across, stride=(1, 2), padding=(0, 2))
            levels_so_far.append(functional.conv2d(halved, down, stride=(2, 1), padding=(2, 0)))
    return [level[:, 0] for level in levels_so_far]


class Harmonization(GuidedLoss):
    """`CE + weight * distance of the true class's input gradient to the human map at five scales`.

    Args:
        colours: the map is the "mean" of the signed gradients over the colours (as in the public code, where it matters
            whether a brighter pixel speaks for the class), or the mean of their "absolute" values.
        weight: the term is multiplied by it; 1 is published.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"input_gradient"})
    takes_dose = False

    def __init__(
        self,
        *,
        colours: Colours = "mean",
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("colours", colours, Colours)
        self.colours = colours

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the distance of the two pyramids, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        answers = of_class(at_least_float32(output.logits), classes)
        gradient = input_gradient(answers, batch, "harmonization")
        return harmonization(gradient, batch.saliency, batch.annotated & has_class(classes), colours=self.colours)
