"""RISE (Petsiuk, Das & Saenko 2018): the mean answer of a model when a place is left visible."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import instance, number, tensors, values
from salign.errors import SalignError
from salign.explain.state import Model, evaluating
from salign.progress import track


def rise(
    model: Model,
    images: Tensor,
    classes: Tensor,
    *,
    masks: int = 1000,
    grid: int = 7,
    keep: float = 0.5,
    fill: float = 0.0,
    generator: torch.Generator,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return `1 / (keep * N) * sum_i p(class | image * M_i) * M_i` over `N` random masks `M_i` (eq. 6).

    All images get the same masks. The model sees `batch_size` masked pictures at a time, so that memory does not grow
    with the number of masks. Unlike in the authors' code, which masks the normalised image, the image is masked in
    [0, 1]. So a hidden place is black (`fill`) here, and has the mean colour there.

    Args:
        model: images -> Output; the score is the softmax probability.
        images: `(B, 3, H, W)` in [0, 1].
        classes: `(B,)` int64.
        masks: number of masks.
        grid: number of cells along each side of a mask before it is enlarged.
        keep: probability that a cell stays visible, in (0, 1].
        fill: grey level of hidden places.
        generator: CPU generator of the masks; its state moves on. The maps do not depend on `batch_size`.
        batch_size: number of pictures per forward pass.
        progress: whether to show a progress bar.

    Returns:
        `(B, H, W)` float32: values around the mean probability, higher where seeing the place helps the class.

    Raises:
        SalignError: an argument is out of its range, the images or classes have the wrong type or shape, there is no
            such class, or each class of the model is a yes or no.
    """
    for name, value in (("masks", masks), ("grid", grid), ("batch_size", batch_size)):
        number(name, value, "[1, inf)", whole=True)
    number("keep", keep, "(0, 1]")
    number("fill", fill, "[0, 1]")
    instance("generator", generator, torch.Generator, "a torch.Generator")
    tensors(images=(images, "float (B, 3, H, W)"), classes=(classes, "int64 (B,)"))
    if getattr(model, "multi_label", False):
        raise SalignError(
            "rise explains a class by its softmax probability; here each class is a yes or no: take cam or grad_cam."
        )
    height, width = images.shape[-2:]
    cells, shifts = draw(masks, grid, keep, (height, width), generator)
    total = torch.zeros(images.shape[0], height * width, device=images.device)
    at_once = max(1, batch_size // max(1, images.shape[0]))
    with evaluating(model), torch.no_grad():
        for start in track(range(0, masks, at_once), "masks", show=progress):
            part = slice(start, start + at_once)
            visible = enlarge(cells[part].to(images.device), shifts[part].to(images.device), (height, width))
            scores = [
                _scores(model, pictures, targets, visible, fill)
                for pictures, targets in zip(images.split(batch_size), classes.split(batch_size), strict=True)
            ]
            total += torch.cat(scores) @ visible.flatten(1)
    return (total / (keep * masks)).unflatten(1, (height, width))


def draw(
    masks: int, grid: int, keep: float, size: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw `(masks, grid, grid)` cells of 0 and 1, and `(masks, 2)` shifts in pixels, below one cell each way."""
    cells = (torch.rand(masks, grid, grid, generator=generator) < keep).float()
    steps = [torch.randint(math.ceil(side / grid), (masks,), generator=generator) for side in size]
    return cells, torch.stack(steps, dim=1)


def enlarge(cells: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Make masks `(N, H, W)` in [0, 1] from cells.

    The cells are enlarged bilinearly to one cell more than the image; then each mask is cut out, moved by its shift.
    """
    grid, (height, width) = cells.shape[-1], size
    above = ((grid + 1) * math.ceil(height / grid), (grid + 1) * math.ceil(width / grid))
    large = functional.interpolate(cells[:, None], size=above, mode="bilinear", align_corners=False)[:, 0]
    device = cells.device
    rows = shifts[:, :1] + torch.arange(height, device=device)
    columns = shifts[:, 1:] + torch.arange(width, device=device)
    return large[torch.arange(len(cells), device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _scores(model: Model, images: Tensor, classes: Tensor, visible: Tensor, fill: float) -> Tensor:
    """Return the `(b, n)` probability of each image's class behind each of `n` masks."""
    pictures = fill + visible[None, :, None] * (images[:, None] - fill)
    targets = classes.repeat_interleave(len(visible))
    logits = model(pictures.flatten(0, 1)).logits.float()
    values("classes", targets, f"[0, {logits.shape[1] - 1}]")
    return logits.softmax(1).gather(1, targets[:, None]).unflatten(0, (len(images), len(visible)))[..., 0]
