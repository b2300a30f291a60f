"""Saliency maps: the type, and scaling and resizing that are safe for constant and blank maps."""

from salign.maps.saliency_map import SaliencyMap
from salign.maps.tensor_ops import min_max, resize, sum_to_one, varies

__all__ = ["SaliencyMap", "min_max", "resize", "sum_to_one", "varies"]
