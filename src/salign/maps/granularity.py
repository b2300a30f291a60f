"""The grain of a map, i.e. how finely it says where people looked: as painted, with filled areas, or as boxes.

Crum, Webster and Czajka, "Grains of Saliency" (IJCB 2024), trained with human maps of three grains: boundary, area and
features of interest (BOI, AOI, FOI). Their code does not say how the two coarser grains are made. Here both are made
from the marked pixels, which are those at or above half of the map's maximum (as in
`salign.evaluate.agreement.marked`). In a painted map these are the painted pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from salign.checks import choice, values
from salign.maps import GRAINS
from salign.maps.tensor_ops import varies

_TOUCHING = np.ones((3, 3), dtype=bool)


def features(maps: Tensor) -> Tensor:
    """Return the maps as they were painted, soft values included. `(..., H, W)` to the same shape."""
    _check(maps)
    return maps


def area(maps: Tensor) -> Tensor:
    """Mark also what the marked pixels enclose, so that an outline becomes the area inside it.

    A pixel is enclosed if it cannot be reached from the border of the image by steps up, down, left and right through
    pixels that are not marked. An outline whose pixels touch only at corners therefore counts as closed.

    Args:
        maps: `(..., H, W)` >= 0.

    Returns:
        The same shape, 0 or 1; a blank map stays blank.
    """
    return _each(maps, ndimage.binary_fill_holes)


def boundary(maps: Tensor, *, together: bool = False) -> Tensor:
    """Mark the bounding box of each marked region; regions that touch, even at a corner, are one region.

    Args:
        maps: `(..., H, W)` >= 0.
        together: whether to draw a single box around all regions of a map instead.

    Returns:
        The same shape, 1 in the boxes and 0 elsewhere; a blank map stays blank.
    """

    def boxes(marked: np.ndarray) -> np.ndarray:
        regions = marked.astype(np.int8) if together else ndimage.label(marked, _TOUCHING)[0]
        filled = np.zeros_like(marked)
        for box in ndimage.find_objects(regions):
            filled[box] = True
        return filled

    return _each(maps, boxes)


def coarsen(maps: Tensor, grain: str, *, together: bool = False) -> Tensor:
    """Return maps at one of `GRAINS`.

    Args:
        maps: `(..., H, W)` >= 0.
        grain: the name of the grain.
        together: as for `boundary`; it has no effect on the other grains.

    Raises:
        SalignError: there is no such grain, or the maps are not `(..., H, W)` floating point, finite and >= 0.
    """
    choice("grain", grain, GRAINS)
    return boundary(maps, together=together) if grain == "boundary" else GRAINS[grain](maps)


def _check(maps: Tensor) -> None:
    varies(maps)  # raises for anything but floating point (..., H, W)
    values("maps", maps, "[0, inf)")


def _each(maps: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply `change` to the marked pixels of each map, `(H, W)` bool to bool, and return the results as 0 and 1."""
    _check(maps)
    values = maps.detach().cpu().numpy()
    changed = np.zeros(values.shape, dtype=bool)
    for index in np.ndindex(values.shape[:-2]):
        top = values[index].max(initial=0)
        if top > 0:
            changed[index] = change((values[index] >= top / 2) & (values[index] > 0))
    return torch.from_numpy(changed).to(maps)
