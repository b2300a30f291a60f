"""Gaussian smoothing of maps, with the width in pixels or in degrees of visual angle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from salign.checks import number
from salign.errors import SalignError

if TYPE_CHECKING:
    from torch import Tensor


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Blur each map with a Gaussian, as if nothing were marked beyond the borders.

    The kernel is cut at 4 sigma, as in scipy. Marks near a border are partly spread beyond it and lost, so that a map
    does not become brighter at its border. The values stay in [0, max], and a blank map stays blank.

    Args:
        maps: `(..., H, W)` floating point.
        sigma: standard deviation in pixels of the map, >= 0; 0 returns the maps unchanged.

    Returns:
        The same shape and dtype, on the same device. No gradient flows back through the blur (sigma > 0).

    Raises:
        SalignError: sigma is negative or not finite, or the maps are not floating point.
    """
    import torch
    from scipy.ndimage import gaussian_filter

    number("sigma", sigma, "[0, inf)")
    if not isinstance(maps, torch.Tensor) or not maps.is_floating_point() or maps.dim() < 2:
        came = f"{maps.dtype} {tuple(maps.shape)}" if isinstance(maps, torch.Tensor) else type(maps).__name__
        raise SalignError(f"expected maps (..., H, W) of floating point, got {came}")
    if sigma == 0 or not maps.numel():
        return maps
    radius = tuple(min(math.ceil(4 * sigma), side) for side in maps.shape[-2:])  # a larger radius has no effect
    values = maps.detach().cpu().double().numpy()
    blurred = gaussian_filter(values, sigma, axes=(-2, -1), mode="constant", radius=radius)
    return torch.from_numpy(blurred).to(maps)


def pixels_per_degree(distance: float, width: float, pixels: int) -> float:
    """Return how many pixels one degree of visual angle covers at the middle of a screen.

    The formula is `2 d tan(1/2 deg) / (width / pixels)`, where `d` is the distance.

    Args:
        distance: distance from the eye to the screen, in any unit of length.
        width: width of the screen, in the same unit.
        pixels: number of pixels across the width of the screen.

    Raises:
        SalignError: an argument is not positive and finite.
    """
    if not all(0 < value < math.inf for value in (distance, width, pixels)):
        raise SalignError(f"expected distance, width and pixels > 0, got {distance}, {width} and {pixels}")
    return 2 * distance * math.tan(math.radians(0.5)) * pixels / width


def sigma_in_pixels(degrees: float, per_degree: float) -> float:
    """Convert a sigma in degrees of visual angle into pixels, given the pixels per degree.

    Eye trackers are accurate to about half a degree to one degree; most fixation maps are made with a sigma of 1 degree
    (Le Meur and Baccino, Behavior Research Methods 45, 2013).

    Raises:
        SalignError: an argument is not positive and finite.
    """
    if not (0 < degrees < math.inf and 0 < per_degree < math.inf):
        raise SalignError(f"expected degrees and pixels per degree > 0, got {degrees} and {per_degree}")
    return degrees * per_degree
