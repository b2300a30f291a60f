"""Two pictures through a map: one where it is high, the other where it is low."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salign.checks import instance, number
from salign.errors import SalignError
from salign.maps.tensor_ops import min_max, varies


def blend(images: Tensor, backgrounds: Tensor, maps: Tensor) -> Tensor:
    """`w * image + (1 - w) * other`, `w` being the min-max scaled map.

    Args:
        images: `(..., 3, H, W)` floating point.
        backgrounds: the same shape.
        maps: `(..., 1, H, W)`, any scale. A blank or all-equal map marks no region: the image stays as it is.

    Returns:
        `(..., 3, H, W)`.
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
    """Blur `(..., 3, H, W)` with a Gaussian of `sigma` pixels, above 0.

    It reaches 3 sigma, or to the opposite edge of a smaller image; beyond the edges the image is mirrored.
    """
    _check("images", images)
    number("sigma", sigma, "(0, inf)")
    down, right = (2 * min(math.ceil(3 * sigma), side - 1) + 1 for side in images.shape[-2:])
    with torch.autocast(images.device.type, enabled=False):
        # One axis at a time: torchvision's kernel is square, which takes at least 15 times as long at sigma 16.
        return F.gaussian_blur_image(F.gaussian_blur_image(images, [right, 1], [sigma]), [1, down], [sigma])


def _check(name: str, value: object) -> None:
    instance(name, value, Tensor, "a tensor (..., H, W)")
    if isinstance(value, Tensor) and (value.dim() < 3 or not value.is_floating_point()):
        raise SalignError(
            f"{name}: expected floating point (..., C, H, W), got {value.dtype} {tuple(value.shape)}; 8-bit values are "
            "divided by 255."
        )
