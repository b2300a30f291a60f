"""Control maps made of an image's own: other pixels, a function of (seed, map, id of the image).

A map that is blank or all-equal has no shape and counts in no loss; it is never given one, and no other loses its own.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from salign.maps.tensor_ops import min_max, varies

CENTRE_SIGMA = math.sqrt(0.22) / 2
"""Of the centre prior, as a share of each side: 0.23. Clarke and Tatler (Vision Research 102, 2014) found a horizontal
variance of 0.22, with the width as [-1, 1], to fit ten data sets of people looking at scenes. (Vertically 0.45 of that;
on their 4:3 pictures this is 0.21 of the height, near enough to use one figure for both sides.)"""

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
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8]))
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


def _pixels(side: int) -> Tensor:
    """`(side,)`: middles of the pixels, the side being 1 long."""
    return (torch.arange(side) + 0.5) / side
