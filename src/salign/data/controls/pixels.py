"""Control maps made of an image's own: other pixels, a function of (seed, map, id of the image).

A map that is blank or all-equal has no shape and counts in no loss; it is never given one, and no other loses its own.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from salign.maps.granularity import boundary
from salign.maps.tensor_ops import min_max, varies

CENTRE_SIGMA = math.sqrt(0.22) / 2
"""Spread of the centre prior as a share of each side: 0.23. Clarke and Tatler (Vision Research 102, 2014) found a
horizontal variance of 0.22, with the width as [-1, 1], to fit ten data sets of people looking at scenes. (Vertically
0.45 of that; on their 4:3 pictures this is 0.21 of the height, near enough to use one figure for both sides.)"""

MOST_BLOBS = 3
"""A random map has one blob up to so many."""


def inverted(seed: int, saliency: Tensor, name: str) -> Tensor:
    """`max + min - map`: on the min-max scale 1 - map. An all-equal map, a blank one too, comes out as it was."""
    low, high = saliency.aminmax()
    return (low + high - saliency).clamp(low, high)


def centre(seed: int, saliency: Tensor, name: str) -> Tensor:
    """The same Gaussian in the middle for every image, stretched to its shape; an all-equal map stays as it is.

    Symmetric once the image is square, as the centre baseline of the MIT saliency benchmark (Judd, Durand and
    Torralba 2012); its width is `CENTRE_SIGMA`.
    """
    if not varies(saliency):
        return saliency
    down, right = (((_pixels(side) - 0.5) / CENTRE_SIGMA).square() for side in saliency.shape)
    return torch.exp(-(down[:, None] + right) / 2)


def blobs(seed: int, saliency: Tensor, name: str) -> Tensor:
    """One to `MOST_BLOBS` Gaussian blobs anywhere; an all-equal map stays as it is.

    How many there are, where, and their proportions are a function of (seed, id); their common scale is chosen so that
    as many pixels lie above half of the maximum as in the image's own map (to pixels at exactly the same distance).
    """
    if not varies(saliency):
        return saliency
    generator = _generator(seed, name)
    height, width = saliency.shape
    distance = torch.full((height, width), torch.inf)
    for _ in range(generator.integers(1, MOST_BLOBS, endpoint=True)):
        y, x, tall, wide = generator.uniform([0, 0, 0.5, 0.5], 1).tolist()
        down, right = ((_pixels(height) - y) / tall).square(), ((_pixels(width) - x) / wide).square()
        distance = torch.minimum(distance, down[:, None] + right)
    distance = distance - distance.min()
    above = int((min_max(saliency) > 0.5).sum())
    half = distance.flatten().kthvalue(above + 1).values  # of the first pixel that is not to be above one half
    half = half.clamp(min=torch.finfo(half.dtype).tiny)
    return torch.exp2(-distance / half)


def boxes(seed: int, saliency: Tensor, name: str) -> Tensor:
    """1 in the bounding box of each marked region, else 0, as the grain `boundary` of `salign.maps.granularity`.

    A map whose boxes would fill the whole image, and an all-equal one, stays as it is.
    """
    boxed = boundary(saliency)
    return boxed if varies(saliency) and varies(boxed) else saliency


def dilated(seed: int, saliency: Tensor, name: str, share: float) -> Tensor:
    """Grown by `share` of each side: every pixel gets the largest value within so many rows and columns of it.

    This is grey dilation by a rectangle; of a mask it is the usual one. The distances are rounded to pixels, at least
    one. A map that would become all-equal grows half as far, as often as needed; an all-equal one stays as it is.
    """
    if not varies(saliency):
        return saliency
    down, right = (max(1, math.floor(share * side + 0.5)) for side in saliency.shape)
    values = saliency.numpy()
    while down or right:
        size = (2 * down + 1, 2 * right + 1)
        grown = torch.from_numpy(ndimage.maximum_filter(values, size, mode="constant", cval=0.0))
        if varies(grown):
            return grown
        down, right = down // 2, right // 2
    return saliency


def shifted(seed: int, saliency: Tensor, name: str, share: float) -> Tensor:
    """Moved by `share` of the sides in a direction that is a function of (seed, id), the same for every share.

    What leaves is lost, zeros come in. At an angle t it is `share * height * sin t` down and `share * width * cos t` to
    the right, rounded to pixels, where a side's share is at least one pixel. If nothing that was marked (at or above
    half of the maximum) would be left, the map moves the opposite way, else mirrored upside down, else sideways, and if
    that does not help half as far, as often as needed. An all-equal map stays as it is.
    """
    if not varies(saliency):
        return saliency
    angle = _generator(seed, name).uniform(0, 2 * math.pi)
    tall, wide = (share * side for side in saliency.shape)
    while True:
        down, right = round(max(1, tall) * math.sin(angle)), round(max(1, wide) * math.cos(angle))
        for turn, flip in ((1, 1), (-1, -1), (-1, 1), (1, -1)):
            moved = _moved(saliency, turn * down, flip * right)
            if moved.max() >= saliency.max() / 2:
                return moved
        if max(tall, wide) <= 1:
            return saliency  # a picture one pixel high or wide
        tall, wide = tall / 2, wide / 2


def _moved(saliency: Tensor, down: int, right: int) -> Tensor:
    """`(H, W)` -> the same shape: moved by whole pixels, zeros where nothing comes from."""
    moved = torch.zeros_like(saliency)
    height, width = saliency.shape
    if abs(down) < height and abs(right) < width:
        visible = saliency[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        moved[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = visible
    return moved


def _generator(seed: int, name: str) -> np.random.Generator:
    """A function of the seed and the id of the image."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def _pixels(side: int) -> Tensor:
    """`(side,)`: middles of the pixels, the side being 1 long."""
    return (torch.arange(side) + 0.5) / side
