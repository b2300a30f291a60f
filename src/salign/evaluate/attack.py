"""Adversarial attacks: the small change of an image, or of one side of its human region, that raises the loss most."""

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
"""The unit of epsilon and of the step size: one level of an 8-bit image whose values lie in [0, 1]."""
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
    """Attack images by projected gradient ascent on the loss (PGD; Madry et al. 2018, arXiv 1706.06083, section 2.1).

    Each step adds `step_size * sign(gradient)` ("linf") or `step_size * gradient / |gradient|` ("l2"), and then returns
    to the nearest image in the ball around the original and in [0, 1]. The network must be in evaluation mode;
    otherwise the images of a batch influence each other. Its parameters get no gradient.

    Args:
        loss: images `(B, 3, H, W)` -> the loss of each image, `(B,)`; it is called once per step.
        images: `(B, 3, H, W)` in [0, 1].
        epsilon: radius of the ball, in units of 1/255. It bounds the largest change of a value ("linf"), or the
            Euclidean length of the change of an image ("l2").
        steps: number of steps, at least 1.
        step_size: length of a step, in units of 1/255; None = `2.5 * epsilon / steps`, with which the attack can reach
            every point of the ball.
        norm: "linf" or "l2".
        within: `(B, 1, H, W)` zeros and ones: 1 where the image may change; None = everywhere.
        start: `(B, 3, H, W)`: the change to start from, see `random_start`; None = no change.

    Returns:
        The attacked images `(B, 3, H, W)` in [0, 1], detached.

    Raises:
        SalignError: an argument has the wrong type, shape or range, or the gradient is not finite.
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
    """Check the settings of `pgd`.

    Raises:
        SalignError: a number is out of its range, or the norm is unknown.
    """
    number("epsilon", epsilon, "(0, inf)")
    number("steps", steps, "[1, inf)", whole=True)
    if step_size is not None:
        number("step_size", step_size, "(0, inf)")
    choice("norm", norm, Norm)


def random_start(numbers: Tensor, *, epsilon: float, norm: Norm = "linf", within: Tensor | None = None) -> Tensor:
    """Make a random change to start an attack from: uniform in the ball ("linf"), or uniform on its surface ("l2").

    The surface stands for the whole Euclidean ball, because in as many dimensions as an image has, nearly all of the
    ball lies at its surface.

    Args:
        numbers: `(B, 3, H, W)` random numbers, uniform in [0, 1).
        epsilon: radius of the ball in units of 1/255.
        norm: "linf" or "l2".
        within: `(B, 1, H, W)` zeros and ones: 1 where the image may change; None = everywhere.

    Returns:
        The change `(B, 3, H, W)`, to be added to images in [0, 1].
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
    """Return where an image may be attacked: everywhere, or on one side of the human region.

    Args:
        saliency: `(B, 1, H, W)`, not negative.
        counts: `(B,)` bool: which images have a region.
        where: "all", or "outside" or "inside" of the region that `salign.maps.region.region` marks.

    Returns:
        `(B, 1, H, W)` zeros and ones, all zeros for an image that has no region; None (everywhere) for "all".
    """
    choice("where", where, Where)
    if where == "all":
        return None
    inside = region(saliency)
    return (inside if where == "inside" else 1 - inside) * counts.view(-1, 1, 1, 1)


def perturbation_effect(
    loss: Callable[[Tensor], Tensor], images: Tensor, attacked: Tensor, *, points: int = 8
) -> Tensor:
    """Return how much each pixel's change adds to the loss.

    The effect is the change, times the mean gradient on the straight line from the original to the attacked image.
    These are the integrated gradients of Sundararajan et al. 2017 (arXiv 1703.01365, eq. 1 and 3) with the original as
    the baseline. The effects of an image sum to `loss(attacked) - loss(images)`, up to the error of approximating the
    integral by a sum.

    Args:
        loss: images `(B, 3, H, W)` -> `(B,)`.
        images: `(B, 3, H, W)` in [0, 1].
        attacked: `(B, 3, H, W)`: the same images after the attack.
        points: number of equal parts of the line; the gradient is taken at the midpoint of each part.

    Returns:
        `(B, H, W)`, positive where the change raises the loss; the effects of the colour channels are added up.
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
    """Return the change of length 1 that raises the loss most."""
    if norm == "linf":
        return gradient.sign()
    return gradient / gradient.flatten(1).norm(dim=1).clamp(min=_SMALLEST).view(-1, 1, 1, 1)


def _nearest(attacked: Tensor, images: Tensor, radius: float, norm: Norm) -> Tensor:
    """Project attacked images back into the ball, then into [0, 1].

    The second projection moves no value further away from the original image, which lies in [0, 1] itself.
    """
    change = attacked - images
    if norm == "linf":
        change = change.clamp(-radius, radius)
    else:
        length = change.flatten(1).norm(dim=1).clamp(min=_SMALLEST)
        change = change * (radius / length).clamp(max=1).view(-1, 1, 1, 1)
    return (images + change).clamp(0, 1)
