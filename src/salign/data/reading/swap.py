"""Region swap: training images whose surroundings come from another image of the same class."""

from __future__ import annotations

from torch import Tensor

from salign.maps.blend import blend


def swap_outside(image: Tensor, other: Tensor, saliency: Tensor) -> Tensor:
    """Put what people marked into other surroundings: `w * image + (1 - w) * other`, `w` being the min-max scaled map.

    Surroundings that say nothing of the class together with the region teach a network not to lean on them; taken from
    the same class, they do not contradict the label either. The plain relative of background randomisation (Xiao et al.
    2021, arXiv 2006.09994, take them from any class).

    Args:
        image: `(3, H, W)` float32 in [0, 1].
        other: `(3, H, W)` float32 in [0, 1], another image.
        saliency: `(1, H, W)` float32, any scale. A blank or all-equal map marks no region: the image stays as it is.

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    return blend(image, other, saliency)
