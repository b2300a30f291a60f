"""Blending two pictures by a map: the result shows one where the map is high and the other where it is low."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salign.checks import instance, number
from salign.errors import SalignError
from salign.maps.tensor_ops import min_max, varies


def blend(images: Tensor, backgrounds: Tensor, maps: Tensor) -> Tensor:
    """Blend images with backgrounds: `w * image + (1 - w) * background`, where `w` is the min-max scaled map.

    Args:
        images: `(..., 3, H, W)` floating point.
        backgrounds: the same shape as `images`.
        maps: `(..., 1, H, W)`, on any scale. A blank or constant map marks no region, and its image is returned
            unchanged.

    Returns:
        `(..., 3, H, W)`.

    Raises:
        SalignError: an argument is not floating point, or the shapes do not match.
    """
    for name, value in (("images", images), ("backgrounds", backgrounds), ("maps", maps)):
        _check(name, value)
    if images.shape != backgrounds.shape:
        raise SalignError(f"backgrounds: expected {tuple(images.shape)}, as images, got {tuple(backgrounds.shape)}.")
    if maps.shape != (*images.shape[:-3], 1, *images.shape[-2:]):
        raise SalignError(f"maps: expected one for each of the images {tuple(images.shape)}, got {tuple(maps.shape)}.")
    weights = torch.where(varies(maps)[..., None, None], min_max(maps), 1.0)
    return backgrounds.lerp(images, weights.to(images.dtype))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blur images `(..., 3, H, W)` with a Gaussian of standard deviation `sigma` > 0, in pixels.

    The kernel reaches 3 sigma, or to the opposite edge if the image is smaller. Beyond its edges the image is mirrored.
    """
    _check("images", images)
    number("sigma", sigma, "(0, inf)")
    down, right = (2 * min(math.ceil(3 * sigma), side - 1) + 1 for side in images.shape[-2:])
    with torch.autocast(images.device.type, enabled=False):
        # Each axis is blurred by itself because torchvision would apply one square kernel to both axes, which takes at
        # least 15 times as long at sigma 16.
        return F.gaussian_blur_image(F.gaussian_blur_image(images, [right, 1], [sigma]), [1, down], [sigma])


def _check(name: str, value: object) -> None:
    instance(name, value, Tensor, "a tensor (..., H, W)")
    if isinstance(value, Tensor) and (value.dim() < 3 or not value.is_floating_point()):
        raise SalignError(
            f"{name}: expected floating point (..., C, H, W), got {value.dtype} {tuple(value.shape)}; 8-bit values are "
            "divided by 255."
        )
