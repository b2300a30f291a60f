"""Changed copies of images, whose random numbers follow from one number per image alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors
from salign.types import Batch


def random_numbers(draw: Tensor, count: int) -> Tensor:
    """Return `(B, count)` float32 numbers, uniform in [0, 1); each row follows from the number of its image alone.

    Args:
        draw: `(B,)` int64, a number drawn for each image, as in `Batch.draw`.
        count: how many numbers each image gets.
    """
    tensors(draw=(draw, "int64 (B,)"))
    rows = [torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in draw.tolist()]
    return torch.stack(rows).to(draw.device)


def draws_of(batch: Batch) -> Tensor:
    """Return the number that was drawn for each image, `(B,)` int64.

    Where no numbers were drawn, as in validation, the manifest rows take their place.
    """
    return batch.index if batch.draw is None else batch.draw


def neighbours(draw: Tensor, steps: int = 1) -> Tensor:
    """Return the positions of other images of the batch, one for each image, `(B,)` int64.

    The images are sorted by their draws; the neighbour of an image stands `steps` places further on, and the first
    image follows the last.
    """
    order = draw.argsort(stable=True)
    positions = torch.empty_like(order)
    positions[order] = order.roll(-steps)
    return positions


def cutmix(images: Tensor, partners: Tensor, numbers: Tensor) -> Tensor:
    """Put a box of another image into each image (CutMix, Yun et al. 2019, arXiv 1905.04899, eq. 2).

    The box covers the share `1 - lambda` of the area, with `lambda ~ U(0, 1)`, and has the aspect ratio of the image.
    Its centre is uniform; what would lie outside of the image is cut off.

    Args:
        images: `(B, 3, H, W)`; they are not changed.
        partners: `(B, 3, H, W)`, the images that the boxes come from.
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
    """Return which rows or columns lie in a box, `(B, size)` bool.

    Args:
        size: number of rows or columns.
        share: `(B,)`, the length of the box as a share of `size`.
        centre: `(B,)`, the centre of the box as a share of `size`.
    """
    half, middle = (size * share).long() // 2, (size * centre).long()
    pixels = torch.arange(size, device=share.device)
    return (pixels >= (middle - half)[:, None]) & (pixels < (middle + half)[:, None])


def random_view(images: Tensor, numbers: Tensor) -> Tensor:
    """Cut a part out of each image, enlarge it, and change its brightness and contrast (after MoCo v2).

    The part covers 20 to 100 % of the area, has the aspect ratio of the image, and lies anywhere in it. Brightness and
    contrast are each multiplied by a factor from 0.6 to 1.4; contrast is the difference of each pixel from the image's
    mean. Nothing is mirrored; `data.augment` does that.

    Args:
        images: `(B, 3, H, W)` in [0, 1]; they are not changed.
        numbers: `(B, 5)` in [0, 1), which decide area, row, column, brightness and contrast.

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
    """Return `weight * images + (1 - weight) * partners` (mixup, Zhang et al. 2018, arXiv 1710.09412).

    Args:
        images: `(B, 3, H, W)`.
        partners: `(B, 3, H, W)`.
        weight: `(B,)` in [0, 1].
    """
    weight = weight.view(-1, 1, 1, 1).to(images)
    return weight * images + (1 - weight) * partners


def add_noise(images: Tensor, draw: Tensor, deviation: float) -> Tensor:
    """Add Gaussian noise to images and clamp them to [0, 1].

    Args:
        images: `(B, 3, H, W)` in [0, 1]; they are not changed.
        draw: `(B,)` int64, the numbers from which the noise of each image follows.
        deviation: standard deviation of the noise, 0 or more.
    """
    number("deviation", deviation, "[0, inf)")
    shape = images.shape[1:]
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in draw.tolist()]
    return (images + deviation * torch.stack(noise).to(images)).clamp(0, 1)
