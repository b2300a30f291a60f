"""The region that a map marks, and an image without what lies in it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors, values


def region(saliency: Tensor, *, threshold: float = 0.5, grow: float = 0.03) -> Tensor:
    """Mark where people looked, as 0 and 1, slightly widened so that the outline is inside.

    Args:
        saliency: `(B, 1, H, W)`, not negative.
        threshold: marked is what reaches this share of the map's own maximum, in [0, 1]: with one half, where at least
            half of the annotators agreed, and the edge of a mask that was blurred.
        grow: widen by this share of the longer side, in each direction (a square of neighbours); 0 = not at all.

    Returns:
        `(B, 1, H, W)` float32; a blank map marks nothing.

    Raises:
        SalignError: an argument is out of its range.
    """
    tensors(saliency=(saliency, "float (B, 1, H, W)"))
    values("saliency", saliency, "[0, inf)")
    number("threshold", threshold, "[0, 1]")
    number("grow", grow, "[0, 1]")
    marked = ((saliency >= threshold * saliency.amax((-2, -1), keepdim=True)) & (saliency > 0)).float()
    reach = round(grow * max(map(int, saliency.shape[-2:])))  # a number in a trace, too
    rows = functional.max_pool2d(marked, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return functional.max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def surroundings(images: Tensor, regions: Tensor) -> Tensor:
    """Paint each region over, smoothly, with the colours around it.

    Push-pull interpolation (Gortler et al. 1996, *The Lumigraph*): known pixels are averaged into ever coarser images,
    and every hole takes the finest average that knows a colour there. No texture is invented. Where the region is the
    whole image nothing is known, and it becomes mid-grey.

    Args:
        images: `(B, 3, H, W)`.
        regions: `(B, 1, H, W)` in [0, 1].
    """
    tensors(images=(images, "float (B, 3, H, W)"), regions=(regions, "float (B, 1, H, W)"))
    values("regions", regions, "[0, 1]")
    visible = 1 - regions
    return _holes_filled(images * visible, visible)


def _holes_filled(colours: Tensor, visible: Tensor) -> Tensor:
    """`(B, 3, H, W)` colours times `(B, 1, H, W)` how far they are known, in [0, 1] -> colours everywhere."""
    height, width = visible.shape[-2:]
    if height == width == 1:
        return torch.where(visible > 0, colours, 0.5)
    coarse, share = (functional.avg_pool2d(part, 2, ceil_mode=True) for part in (colours, visible))
    trusted = torch.where(share > 0, 1.0, 0.0)
    below = _holes_filled(coarse / torch.where(share > 0, share, 1.0), trusted)
    return colours + (1 - visible) * functional.interpolate(below, size=(height, width), mode="bilinear")
