"""Scaling and resizing of maps, safe for maps that are constant or blank.

Every function takes floating point tensors `(..., H, W)`, treats each map by itself, and raises a SalignError for any
other input. All but `varies` are differentiable. A map that is not finite stays not finite instead of being taken for a
constant map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import values
from salign.errors import SalignError
from salign.maps.overlay import ROUNDING


def min_max(maps: Tensor) -> Tensor:
    """Scale each map to [0, 1]; a constant map (blank included) becomes all zeros with zero gradient.

    The formula is `(x - min x) / (max x - min x)`. The gradient flows through the minimum and maximum, too.
    """
    _check(maps)
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    differs = _differs(low, high)
    return torch.where(differs, (maps - low) / torch.where(differs, high - low, 1.0), 0.0)


def sum_to_one(maps: Tensor) -> Tensor:
    """Divide each non-negative map by its sum; a blank map stays all zeros, with zero gradient."""
    _check(maps)
    values("maps", maps, "[0, inf)")
    total = maps.sum((-2, -1), keepdim=True)
    marked = total > 0
    return torch.where(marked, maps / torch.where(marked, total, 1.0), 0.0)


def varies(maps: Tensor) -> Tensor:
    """Return whether the values of each map differ, `(..., H, W)` to `(...)` bool: False for constant or blank maps."""
    _check(maps)
    return _differs(maps.amin((-2, -1)), maps.amax((-2, -1)))


def _differs(low: Tensor, high: Tensor) -> Tensor:
    vanishing = torch.finfo(low.dtype).tiny ** 0.5  # 1 / (a smaller range) is too large for a gradient
    alike = high - low <= (ROUNDING * torch.maximum(low.abs(), high.abs())).clamp(min=vanishing)
    return ~(alike & low.isfinite() & high.isfinite())


def _check(maps: Tensor) -> None:
    if not isinstance(maps, Tensor) or not maps.is_floating_point() or maps.dim() < 2 or 0 in maps.shape[-2:]:
        came = f"{maps.dtype} {tuple(maps.shape)}" if isinstance(maps, Tensor) else type(maps).__name__
        raise SalignError(f"maps: expected (..., H, W) of floating point with H, W >= 1, got {came}.")


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps to `size` = (h, w): by the mean over the covered area to shrink, bilinearly to enlarge.

    Unlike with nearest-neighbour resizing, no marked pixel is lost when a map shrinks, and the mean of the map is kept
    when the new size divides the old one.
    """
    _check(maps)
    if not isinstance(size, Sequence) or len(size) != 2 or any(isinstance(side, float) or side < 1 for side in size):
        raise SalignError(f"size: expected (height, width), whole numbers of 1 or more, got {size!r}.")
    height, width = maps.shape[-2:]
    if (height, width) == tuple(size):
        return maps
    stack = maps.reshape(-1, 1, height, width)
    shrunk = (min(height, size[0]), min(width, size[1]))
    if shrunk != (height, width):
        stack = functional.interpolate(stack, size=shrunk, mode="area")
    if shrunk != tuple(size):
        stack = functional.interpolate(stack, size=size, mode="bilinear", align_corners=False)
    return stack.reshape(*maps.shape[:-2], *size)
