"""The region that a map marks, and an image in which that region is painted over."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors, values


def region(saliency: Tensor, *, threshold: float = 0.5, grow: float = 0.03) -> Tensor:
    """Mark where people looked as a region of 0 and 1, slightly widened so that the marked object's outline is inside.

    Args:
        saliency: `(B, 1, H, W)`, not negative.
        threshold: a pixel is marked if it reaches this share of the map's own maximum; in [0, 1]. At 0.5 these are the
            pixels that at least half of the annotators marked (in a mean of masks), and the original mask up to its
            edge (in a blurred mask).
        grow: how far the region is widened in each direction (by a square of neighbours), as a share of the image's
            longer side; in [0, 1]. 0 does not widen it.

    Returns:
        `(B, 1, H, W)` float32 of 0 and 1; all zeros for a blank map.

    Raises:
        SalignError: an argument is out of its range.
    """
    tensors(saliency=(saliency, "float (B, 1, H, W)"))
    values("saliency", saliency, "[0, inf)")
    number("threshold", threshold, "[0, 1]")
    number("grow", grow, "[0, 1]")
    marked = ((saliency >= threshold * saliency.amax((-2, -1), keepdim=True)) & (saliency > 0)).float()
    reach = round(grow * max(map(int, saliency.shape[-2:])))  # int() keeps it a number while a model is traced
    rows = functional.max_pool2d(marked, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return functional.max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def surroundings(images: Tensor, regions: Tensor) -> Tensor:
    """Paint each region over smoothly with the colours around it.

    The method is push-pull interpolation (Gortler et al. 1996, *The Lumigraph*): known pixels are averaged into ever
    coarser images, and every hole takes the finest average that has a known colour there. No texture is invented. If
    the region is the whole image, no colour is known, and the image becomes mid-grey.

    Args:
        images: `(B, 3, H, W)`.
        regions: `(B, 1, H, W)` in [0, 1]; 1 is painted over.

    Returns:
        `(B, 3, H, W)`.

    Raises:
        SalignError: an argument has another shape or type, or `regions` are not within [0, 1].
    """
    tensors(images=(images, "float (B, 3, H, W)"), regions=(regions, "float (B, 1, H, W)"))
    values("regions", regions, "[0, 1]")
    visible = 1 - regions
    return _holes_filled(images * visible, visible)


def _holes_filled(colours: Tensor, visible: Tensor) -> Tensor:
    """Fill the holes of images.

    Args:
        colours: `(B, 3, H, W)`, the colours times `visible`.
        visible: `(B, 1, H, W)` in [0, 1], how far the colour of each pixel is known.

    Returns:
        `(B, 3, H, W)` with a colour everywhere.
    """
    height, width = visible.shape[-2:]
    if height == width == 1:
        return torch.where(visible > 0, colours, 0.5)
    coarse, share = (functional.avg_pool2d(part, 2, ceil_mode=True) for part in (colours, visible))
    trusted = torch.where(share > 0, 1.0, 0.0)
    below = _holes_filled(coarse / torch.where(share > 0, share, 1.0), trusted)
    return colours + (1 - visible) * functional.interpolate(below, size=(height, width), mode="bilinear")
