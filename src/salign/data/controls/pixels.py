"""Control maps made from an image's own map by changing its pixels, as a function of (seed, map, id of the image).

A map that is blank or all-equal has no shape and counts in no loss. It is never given a shape, and no other map loses
its shape.
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
"""Standard deviation of the centre prior as a share of each side: 0.23. Clarke and Tatler (Vision Research 102, 2014)
found that a horizontal variance of 0.22, with the width as [-1, 1], fits ten data sets of people looking at scenes.
(The vertical variance is 0.45 of that. On their 4:3 pictures this is 0.21 of the height, which is near enough to use
one figure for both sides.)"""

MOST_BLOBS = 3
"""The largest number of blobs in a random map; the smallest is 1."""


def inverted(seed: int, saliency: Tensor, name: str) -> Tensor:
    """Return `max + min - map`, which is 1 - map on the min-max scale; an all-equal map, also a blank one, stays."""
    low, high = saliency.aminmax()
    return (low + high - saliency).clamp(low, high)


def centre(seed: int, saliency: Tensor, name: str) -> Tensor:
    """Return the same Gaussian in the middle for every image, stretched to its shape; an all-equal map stays as it is.

    The Gaussian is symmetric once the image is made square, like the centre baseline of the MIT saliency benchmark
    (Judd, Durand and Torralba 2012). Its width is `CENTRE_SIGMA`.
    """
    if not varies(saliency):
        return saliency
    down, right = (((_pixels(side) - 0.5) / CENTRE_SIGMA).square() for side in saliency.shape)
    return torch.exp(-(down[:, None] + right) / 2)


def blobs(seed: int, saliency: Tensor, name: str) -> Tensor:
    """Return one to `MOST_BLOBS` Gaussian blobs anywhere; an all-equal map stays as it is.

    The number of blobs, their places and their proportions are a function of (seed, id). Their common scale is chosen
    so that as many pixels lie above half of the maximum as in the image's own map on the min-max scale; only pixels at
    exactly the same distance may change that number.
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
    half = distance.flatten().kthvalue(above + 1).values  # the first pixel that must not be above one half
    half = half.clamp(min=torch.finfo(half.dtype).tiny)
    return torch.exp2(-distance / half)


def boxes(seed: int, saliency: Tensor, name: str) -> Tensor:
    """Return 1 in the bounding box of each marked region and 0 elsewhere, as `salign.maps.granularity.boundary` does.

    A map whose boxes would fill the whole image stays as it is, and so does an all-equal map.
    """
    boxed = boundary(saliency)
    return boxed if varies(saliency) and varies(boxed) else saliency


def dilated(seed: int, saliency: Tensor, name: str, share: float) -> Tensor:
    """Grow the map by `share` of each side: every pixel gets the largest value within so many rows and columns of it.

    This is grey dilation by a rectangle, which for a mask is the usual dilation. The distances are rounded to pixels,
    to at least one. If the map would become all-equal, the distances are halved as often as needed. An all-equal map
    stays as it is.
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
    """Move the map by `share` of the sides in a direction that is a function of (seed, id), the same for every share.

    What leaves the image is lost, and zeros come in. With the angle t of the direction, the map moves `share * height *
    sin t` down and `share * width * cos t` to the right, rounded to pixels; the share of a side is at least one pixel.

    If nothing that was marked (at or above half of the maximum) would be left, the map moves in the opposite direction;
    if that does not help, with only the vertical move reversed; then with only the horizontal move reversed; then half
    as far, as often as needed. An all-equal map stays as it is.
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
    """Move a map `(H, W)` by whole pixels, with zeros where nothing moves to."""
    moved = torch.zeros_like(saliency)
    height, width = saliency.shape
    if abs(down) < height and abs(right) < width:
        visible = saliency[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        moved[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = visible
    return moved


def _generator(seed: int, name: str) -> np.random.Generator:
    """Return a generator that is a function of the seed and the id of the image."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def _pixels(side: int) -> Tensor:
    """Return the middles of the pixels along a side of length 1, `(side,)`."""
    return (torch.arange(side) + 0.5) / side
