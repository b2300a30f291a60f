"""Saliency maps: the type, and scaling and resizing that are safe for constant and blank maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.maps.saliency_map import SaliencyMap as SaliencyMap
    from salign.maps.tensor_ops import min_max as min_max, resize as resize, sum_to_one as sum_to_one, varies as varies

lazy_index(__name__)
