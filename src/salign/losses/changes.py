"""Changed copies of images that follow from a number for each image, whatever else is in the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors
from salign.types import Batch


def random_numbers(draw: Tensor, count: int) -> Tensor:
    """`(B, count)` float32, uniform in [0, 1), of which each row follows from the number of its image alone.

    Args:
        draw: `(B,)` int64, a number drawn for each image, as in `Batch.draw`.
        count: how many numbers each image gets.
    """
    tensors(draw=(draw, "int64 (B,)"))
    rows = [torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in draw.tolist()]
    return torch.stack(rows).to(draw.device)


def draws_of(batch: Batch) -> Tensor:
    """`(B,)` int64: the numbers drawn for the images; where none were, as in validation, their manifest rows."""
    return batch.index if batch.draw is None else batch.draw


def neighbours(draw: Tensor, steps: int = 1) -> Tensor:
    """`(B,)` positions: for each image another one of the batch, the one `steps` further in the order of the draws."""
    order = draw.argsort(stable=True)
    positions = torch.empty_like(order)
    positions[order] = order.roll(-steps)
    return positions


def cutmix(images: Tensor, partners: Tensor, numbers: Tensor) -> Tensor:
    """Put a box of another image into each image (CutMix, Yun et al. 2019, arXiv 1905.04899, eq. 2).

    The box has the share `1 - lambda` of the area, `lambda ~ U(0, 1)`, and the form of the image; its centre is
    uniform, and what would lie outside of the image is cut off.

    Args:
        images: `(B, 3, H, W)`; left as they are.
        partners: `(B, 3, H, W)`, where the boxes come from.
        numbers: `(B, 3)` in [0, 1): lambda, and the centre as a share of height and width.

    Returns:
        `(B, 3, H, W)`.
    """
    shapes = {"images": (images, "float (B, C, H, W)"), "partners": (partners, "float (B, C, H, W)")}
    tensors(**shapes, numbers=(numbers, "float (B, 3)"))
    side = (1 - numbers[:, 0]).sqrt()
    inside = [_between(size, side, numbers[:, axis]) for axis, size in ((1, images.shape[2]), (2, images.shape[3]))]
    box = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(box, partners, images)


def _between(size: int, share: Tensor, centre: Tensor) -> Tensor:
    """`(B, size)` bool: which rows or columns lie in a box of this share of them, around this share of the way."""
    half, middle = (size * share).long() // 2, (size * centre).long()
    pixels = torch.arange(size, device=share.device)
    return (pixels >= (middle - half)[:, None]) & (pixels < (middle + half)[:, None])


def random_view(images: Tensor, numbers: Tensor) -> Tensor:
    """Cut a part out of each image and enlarge it, and change its brightness and contrast (after MoCo v2).

    The part has 20 to 100 % of the area, the form of the image, and lies anywhere in it. Brightness is multiplied by .6
    to 1.4, and so is what each pixel differs by from the image's mean. Nothing is mirrored; `data.augment` does that.

    Args:
        images: `(B, 3, H, W)` in [0, 1]; left as they are.
        numbers: `(B, 5)` in [0, 1): area, row, column, brightness, contrast.

    Returns:
        `(B, 3, H, W)` in [0, 1].
    """
    tensors(images=(images, "float (B, C, H, W)"), numbers=(numbers, "float (B, 5)"))
    area, row, column, brightness, contrast = numbers.to(images).T
    side = (0.2 + 0.8 * area).sqrt()
    zero = torch.zeros_like(side)
    places = [
        torch.stack([side, zero, (2 * column - 1) * (1 - side)]),
        torch.stack([zero, side, (2 * row - 1) * (1 - side)]),
    ]
    grid = functional.affine_grid(torch.stack(places).permute(2, 0, 1), list(images.shape), align_corners=False)
    parts = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    parts = parts * (0.6 + 0.8 * brightness)[:, None, None, None]
    mean = parts.mean((1, 2, 3), keepdim=True)
    return (mean + (parts - mean) * (0.6 + 0.8 * contrast)[:, None, None, None]).clamp(0, 1)


def mixup(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """`weight * images + (1 - weight) * partners` (Zhang et al. 2018, arXiv 1710.09412), `weight` `(B,)` in [0, 1]."""
    weight = weight.view(-1, 1, 1, 1).to(images)
    return weight * images + (1 - weight) * partners


def add_noise(images: Tensor, draw: Tensor, deviation: float) -> Tensor:
    """Images `(B, 3, H, W)` in [0, 1] with Gaussian noise of this standard deviation, clamped to [0, 1]."""
    number("deviation", deviation, "[0, inf)")
    shape = images.shape[1:]
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in draw.tolist()]
    return (images + deviation * torch.stack(noise).to(images)).clamp(0, 1)
