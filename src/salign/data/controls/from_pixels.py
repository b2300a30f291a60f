"""Maps made without people, which mark where the pixels of the training images tell classes apart, or vary most."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from salign.data.reading.transforms import build_transform
from salign.maps.tensor_ops import min_max, resize
from salign.progress import track

if TYPE_CHECKING:
    from salign.data.reading.dataset import MapChange, SaliencyDataset

SIDE = 16
"""Images are shrunk to this many pixels a side, which is 768 values, so that their covariance can be estimated."""

Pixels = NDArray[np.float64]


def lda_maps(pixels: Pixels, labels: NDArray[np.int64], classes: int) -> Pixels:
    """Compute, by linear discriminant analysis of pixels, a map for each class of how much each place weighs for it.

    The weights of class k are `w_k = S^-1 (m_k - m)`, where `m_k` is the mean image of class k, `m` is the mean of all
    images, and `S` is the covariance of the images about the means of their classes, shrunk by the method of Ledoit and
    Wolf (2004). The value of a place is the length of `w_k` there over the colours. The idea is from arXiv 2606.13528
    (maps by PCA and LDA that guide as people's do), of which only the abstract was available; the formula is our own.

    Args:
        pixels: `(N, C, H, W)`.
        labels: `(N,)`, in [0, classes).
        classes: K.

    Returns:
        `(K, H, W)`, not negative; zeros where all images are alike, and for a class without an image.
    """
    rows = pixels.reshape(len(pixels), -1)
    members = labels[:, None] == np.arange(classes)
    means = (members.T @ rows) / np.maximum(members.sum(0), 1)[:, None]
    covariance, _ = ledoit_wolf(rows - means[labels], assume_centered=True)
    apart = np.where(members.any(0)[:, None], means - rows.mean(0), 0)
    directions = np.linalg.lstsq(covariance, apart.T, rcond=None)[0].T
    return _lengths(directions, pixels.shape[1:])


def pca_maps(pixels: Pixels) -> Pixels:
    """Compute, by principal component analysis of pixels, a map of how much each place weighs in the first component.

    The first component is the direction in which all images vary most about their mean. The value of a place is the
    length of the component there over the colours. See `lda_maps` for the source.

    Args:
        pixels: `(N, C, H, W)`.

    Returns:
        `(1, H, W)`, not negative.
    """
    rows = pixels.reshape(len(pixels), -1)
    centred = rows - rows.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return _lengths(directions[:, -1:].T, pixels.shape[1:])


def learn_maps(method: str, dataset: SaliencyDataset, *, progress: bool = False) -> MapChange:
    """Look at all training images once, to give each image a map made from pixels, whether somebody marked it or not.

    Args:
        method: "lda", which gives an image the map of its class, or "pca", which gives all images the same map.
        dataset: the training images.
        progress: show a bar.

    Returns:
        A function from the map (of which only the size matters) and the id of an image to its new map.
    """
    plain = dataset.with_transform(build_transform(SIDE))
    images = [plain[i].images.numpy() for i in track(range(len(plain)), "looking at pixels for maps", show=progress)]
    pixels = np.stack(images).astype(np.float64)
    labels = np.zeros(len(plain), np.int64) if method == "pca" else dataset.labels.numpy()
    maps = pca_maps(pixels) if method == "pca" else lda_maps(pixels, labels, len(dataset.classes))
    numbers = dict(zip(dataset.manifest.table["id"].tolist(), labels.tolist(), strict=True))
    return functools.partial(_map_of, min_max(torch.from_numpy(maps).float()), numbers)


def _map_of(maps: Tensor, numbers: Mapping[str, int], values: Tensor, name: str) -> Tensor:
    """Return the map made for the image called `name`, `(H, W)` like `values`."""
    return resize(maps[numbers[name]], (values.shape[0], values.shape[1]))


def _lengths(directions: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Return the lengths of the directions over the colours: `(K, C H W)` -> `(K, H, W)`."""
    lengths: Pixels = np.sqrt((directions.reshape(len(directions), *shape) ** 2).sum(1))
    return lengths
