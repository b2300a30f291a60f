"""Saliency maps: the type, and scaling and resizing that are safe for constant and blank maps."""

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
"""How several people's maps become one: name -> `(A, H, W)` in [0, 1] to `(H, W)`, imported when it is looked up."""
GRAINS: LazyTable[Callable[[Tensor], Tensor]] = LazyTable(
    {
        "boundary": "salign.maps.granularity:boundary",
        "area": "salign.maps.granularity:area",
        "features": "salign.maps.granularity:features",
    }
)
"""How finely maps say where: name -> `(..., H, W)` to the same, imported when it is looked up."""

lazy_index(__name__)
