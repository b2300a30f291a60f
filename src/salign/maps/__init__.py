"""Saliency maps: their type, and functions for scaling and resizing that are safe for constant and blank maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from salign.index import LazyTable, lazy_index

if TYPE_CHECKING:
    from torch import Tensor

    from salign.maps.saliency_map import SaliencyMap as SaliencyMap
    from salign.maps.tensor_ops import min_max as min_max, resize as resize, sum_to_one as sum_to_one, varies as varies

AGGREGATES: LazyTable[Callable[[Tensor], Tensor]] = LazyTable(
    {
        "union": "salign.maps.aggregate:union",
        "mean": "salign.maps.aggregate:mean",
        "majority": "salign.maps.aggregate:majority",
        "staple": "salign.maps.aggregate:staple_map",
        "weighted": "salign.maps.aggregate:weighted",
    }
)
"""The ways to combine the maps of several people into one map.

Each name stands for a function from `(A, H, W)` in [0, 1] to `(H, W)`, which is imported when it is looked up.
"""
GRAINS: LazyTable[Callable[[Tensor], Tensor]] = LazyTable(
    {
        "boundary": "salign.maps.granularity:boundary",
        "area": "salign.maps.granularity:area",
        "features": "salign.maps.granularity:features",
    }
)
"""The grains of a map, i.e. how finely it says where people looked (`salign.maps.granularity`).

Each name stands for a function from `(..., H, W)` to the same shape, which is imported when it is looked up.
"""

lazy_index(__name__)
