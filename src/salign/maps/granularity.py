"""How finely a map says where: as painted, the area filled, or a box around.

Crum, Webster and Czajka, "Grains of Saliency" (IJCB 2024), trained with human maps of three grains: boundary, area and
features of interest (BOI, AOI, FOI). Their code does not say how the coarser ones are made; here it is of the
pixels at or above half of the map's maximum (as `salign.evaluate.agreement.marked`), which for a painted map are those
that were painted.
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
    """As painted, soft values included. `(..., H, W)` -> the same."""
    _check(maps)
    return maps


def area(maps: Tensor) -> Tensor:
    """What was marked, with what it encloses: an outline becomes the area inside of it.

    Inside is what cannot be reached from the border of the image by steps up, down, left and right through pixels that
    are not marked; so an outline whose pixels touch at corners is closed.

    Args:
        maps: `(..., H, W)` >= 0.

    Returns:
        The same shape, 0 or 1; a blank map stays blank.
    """
    return _each(maps, ndimage.binary_fill_holes)


def boundary(maps: Tensor, *, together: bool = False) -> Tensor:
    """The bounding box of each marked region; regions that touch, at a corner too, are one.

    Args:
        maps: `(..., H, W)` >= 0.
        together: one box around all regions of a map, instead.

    Returns:
        The same shape, 1 in the boxes, else 0; a blank map stays blank.
    """

    def boxes(marked: np.ndarray) -> np.ndarray:
        regions = marked.astype(np.int8) if together else ndimage.label(marked, _TOUCHING)[0]
        filled = np.zeros_like(marked)
        for box in ndimage.find_objects(regions):
            filled[box] = True
        return filled

    return _each(maps, boxes)


def coarsen(maps: Tensor, grain: str, *, together: bool = False) -> Tensor:
    """The maps at a grain out of `GRAINS`; `together` as for `boundary`, and for nothing else.

    Raises:
        SalignError: no such grain, or the maps are not `(..., H, W)` floating point, finite and >= 0.
    """
    choice("grain", grain, GRAINS)
    return boundary(maps, together=together) if grain == "boundary" else GRAINS[grain](maps)


def _check(maps: Tensor) -> None:
    varies(maps)  # refuses what is no map
    values("maps", maps, "[0, inf)")


def _each(maps: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Change what is marked in each map, `(H, W)` bool -> bool."""
    _check(maps)
    values = maps.detach().cpu().numpy()
    changed = np.zeros(values.shape, dtype=bool)
    for index in np.ndindex(values.shape[:-2]):
        top = values[index].max(initial=0)
        if top > 0:
            changed[index] = change((values[index] >= top / 2) & (values[index] > 0))
    return torch.from_numpy(changed).to(maps)
