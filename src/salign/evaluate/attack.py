"""Adversarial perturbation: the small change of an image, of all of it or of one side of a region, that costs most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice, function, number, tensors
from salign.errors import SalignError
from salign.maps.region import region

Norm = Literal["linf", "l2"]
Where = Literal["all", "outside", "inside"]
PIXEL = 1 / 255
"""What epsilon and the step size count in: one level of an 8-bit image whose values lie in [0, 1]."""
_SMALLEST = 1e-12


def pgd(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float | None = None,
    norm: Norm = "linf",
    within: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Climb the loss by projected gradient steps (Madry et al. 2018, arXiv 1706.06083, section 2.1).

    Each step adds `step_size * sign(gradient)` ("linf") or `step_size * gradient / |gradient|` ("l2"), and goes back to
    the nearest image in the ball around the original and in [0, 1]. The network belongs into evaluation mode, or the
    images of a batch change each other; its parameters get no gradient.

    Args:
        loss: images `(B, 3, H, W)` -> what each of them loses, `(B,)`; it is called once a step.
        images: `(B, 3, H, W)` in [0, 1].
        epsilon: radius of the ball, in units of 1/255: of the largest change of a value ("linf"), or of the Euclidean
            length of the change of an image ("l2").
        steps: how many, at least 1.
        step_size: in the unit of epsilon; None = `2.5 * epsilon / steps`, which reaches every place of the ball.
        norm: "linf" or "l2".
        within: `(B, 1, H, W)` zeros and ones: where the image may change; None = everywhere.
        start: `(B, 3, H, W)`: the change to begin with, see `random_start`; None = no change.

    Returns:
        `(B, 3, H, W)` in [0, 1], without graph.

    Raises:
        SalignError: an argument of another kind, shape or range; or the gradient is not finite.
    """
    function("loss", loss)
    check_ball(epsilon=epsilon, steps=steps, step_size=step_size, norm=norm)
    tensors(
        images=(images, "float (B, C, H, W)"),
        within=(within, "real (B, 1, H, W) or None"),
        start=(start, "float (B, C, H, W) or None"),
    )
    length = PIXEL * (2.5 * epsilon / steps if step_size is None else step_size)
    allowed = 1.0 if within is None else within.to(images)
    images = images.detach()
    attacked = images if start is None else _nearest(images + allowed * start, images, epsilon * PIXEL, norm)
    for _ in range(steps):
        leaf = attacked.detach().clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
        if not bool(gradient.isfinite().all()):
            raise SalignError(
                "the gradient of the loss by an image is not finite, so that no attack knows where to go, and an image "
                "that withstands it is not shown to be robust. Are the weights whole, and did training not diverge?"
            )
        attacked = leaf.detach() + length * _steepest(allowed * gradient, norm)
        attacked = _nearest(attacked, images, epsilon * PIXEL, norm)
    return attacked


def check_ball(*, epsilon: float, steps: int, step_size: float | None, norm: str) -> None:
    """Refuse what `pgd` cannot take.

    Raises:
        SalignError: a number out of its range, or an unknown norm.
    """
    number("epsilon", epsilon, "(0, inf)")
    number("steps", steps, "[1, inf)", whole=True)
    if step_size is not None:
        number("step_size", step_size, "(0, inf)")
    choice("norm", norm, Norm)


def random_start(numbers: Tensor, *, epsilon: float, norm: Norm = "linf", within: Tensor | None = None) -> Tensor:
    """A change to begin with: uniform in the ball ("linf"), or uniform on its surface ("l2").

    In as many dimensions as an image has, nearly all of a Euclidean ball lies at its surface.

    Args:
        numbers: `(B, 3, H, W)`, uniform in [0, 1).
        epsilon: radius of the ball in units of 1/255.
        norm: "linf" or "l2".
        within: `(B, 1, H, W)` zeros and ones: where the image may change.
    """
    tensors(numbers=(numbers, "float (B, C, H, W)"), within=(within, "real (B, 1, H, W) or None"))
    number("epsilon", epsilon, "(0, inf)")
    choice("norm", norm, Norm)
    allowed = 1.0 if within is None else within.to(numbers)
    if norm == "linf":
        return epsilon * PIXEL * allowed * (2 * numbers - 1)
    normal = torch.special.ndtri(numbers.clamp(1e-6, 1 - 1e-6))
    return epsilon * PIXEL * _steepest(allowed * normal, norm)


def allowed_region(saliency: Tensor, counts: Tensor, where: Where) -> Tensor | None:
    """Where an image may be attacked: everywhere, or on one side of the human region.

    Args:
        saliency: `(B, 1, H, W)`, not negative.
        counts: `(B,)` bool: the images that have a region.
        where: "all", "outside" or "inside" of the region, as `salign.maps.region.region` marks it.

    Returns:
        `(B, 1, H, W)` zeros and ones, all zeros for an image that has no region; None = everywhere.
    """
    choice("where", where, Where)
    if where == "all":
        return None
    inside = region(saliency)
    return (inside if where == "inside" else 1 - inside) * counts.view(-1, 1, 1, 1)


def perturbation_effect(
    loss: Callable[[Tensor], Tensor], images: Tensor, attacked: Tensor, *, points: int = 8
) -> Tensor:
    """What each pixel's change adds to the loss: the mean gradient on the straight way, times the change.

    These are the integrated gradients of Sundararajan et al. 2017 (arXiv 1703.01365, eq. 1 and 3) with the original as
    the baseline: they sum to `loss(attacked) - loss(images)`, up to the error of the sum.

    Args:
        loss: images `(B, 3, H, W)` -> `(B,)`.
        images: `(B, 3, H, W)` in [0, 1].
        attacked: `(B, 3, H, W)`: the same after the attack.
        points: midpoints of as many equal parts of the way.

    Returns:
        `(B, H, W)`, positive where the change raises the loss; the colours are added up.
    """
    function("loss", loss)
    tensors(images=(images, "float (B, C, H, W)"), attacked=(attacked, "float (B, C, H, W)"))
    number("points", points, "[1, inf)", whole=True)
    change, gradients = attacked - images, torch.zeros_like(images)
    for k in range(points):
        leaf = (images + (k + 0.5) / points * change).detach().requires_grad_()
        with torch.enable_grad():
            gradients += torch.autograd.grad(loss(leaf).sum(), leaf)[0]
    return (gradients / points * change).sum(1)


def _steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of length 1 that raises the loss most."""
    if norm == "linf":
        return gradient.sign()
    return gradient / gradient.flatten(1).norm(dim=1).clamp(min=_SMALLEST).view(-1, 1, 1, 1)


def _nearest(attacked: Tensor, images: Tensor, radius: float, norm: Norm) -> Tensor:
    """Back into the ball, then into [0, 1]: the second brings no value further from the image, which lies there."""
    change = attacked - images
    if norm == "linf":
        change = change.clamp(-radius, radius)
    else:
        length = change.flatten(1).norm(dim=1).clamp(min=_SMALLEST)
        change = change * (radius / length).clamp(max=1).view(-1, 1, 1, 1)
    return (images + change).clamp(0, 1)
