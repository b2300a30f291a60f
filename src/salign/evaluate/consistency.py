"""How far independent runs of one arm look at the same places and give the same answers.

Boyd et al. ("Explain To Me", arXiv 2303.11969) ask it of saliency maps; the runs differ in nothing but the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salign.errors import SalignError
from salign.evaluate.agreement import Metric, distribution, metric_of
from salign.maps import min_max

SYMMETRIC = frozenset({"cc", "spearman", "sim", "ssim"})
"""Metrics that do not change when the two maps change places."""


def map_consistency(maps: Sequence[ArrayLike] | np.ndarray | Tensor, metric: str | Metric = "cc") -> Tensor:
    """Mean agreement of the maps of the same image, over all pairs of runs.

    Every map is min-max scaled, and one of the pair takes the part of the human map; both do so in turn unless the
    metric is one of `SYMMETRIC`.

    Args:
        maps: `R` runs of `(N, h, w)` maps of the same images in the same order, any scale: a `(R, N, h, w)` tensor or
            array, or a sequence, of which two runs at a time are held (so `__getitem__` may read them from the disk).
        metric: a name out of `agreement.METRICS`, or a function like those there.

    Returns:
        `(N,)` float64; pairs for which the metric is NaN (a constant map) do not count, and an image without a pair
        (one run only) is NaN.

    Raises:
        SalignError: no runs, or runs of different shapes.
    """
    if not len(maps):
        raise SalignError("consistency needs runs; got none")
    compare, both_ways = metric_of(metric), metric not in SYMMETRIC
    total = torch.zeros(len(maps[0]), dtype=torch.float64)  # type: ignore[arg-type]
    pairs = torch.zeros_like(total)
    for r in range(len(maps) - 1):
        first = _scaled(maps[r])
        for s in range(r + 1, len(maps)):
            second = _scaled(maps[s])
            if first.shape != second.shape:
                raise SalignError(
                    f"runs have maps of the same images and size; run {r} has {tuple(first.shape)} and run {s} "
                    f"{tuple(second.shape)}. Analyse all runs with the same settings"
                )
            for human, model in ((first, second), (second, first))[: 1 + both_ways]:
                values = compare(model, human)
                total += values.nan_to_num(0).cpu()
                pairs += (~values.isnan()).cpu()
    return torch.where(pairs > 0, total / pairs, math.nan)


def answer_consistency(predicted: ArrayLike) -> float:
    """Share of equal answers, averaged over images and pairs of runs.

    Args:
        predicted: `(R, N)` class numbers.

    Returns:
        In [0, 1]; NaN for fewer than two runs or no images.
    """
    table = _answers(predicted)
    _, codes = np.unique(table, return_inverse=True)
    return _agreeing_pairs(_votes(codes.reshape(table.shape), int(codes.max(initial=-1)) + 1))


def mean_map(maps: ArrayLike) -> Tensor:
    """Average `(N, h, w)` maps, each min-max scaled (a constant one to zeros) -> `(h, w)` float64 in [0, 1].

    Raises:
        SalignError: there are no maps.
    """
    scaled = _scaled(maps)
    if not len(scaled):
        raise SalignError("an average map needs maps; got none")
    return scaled.mean(0)


def entropy(maps: ArrayLike) -> Tensor:
    """Shannon entropy of each map as a distribution (min-max scaled, divided by its sum), over its largest value.

    `-sum_i p_i log p_i / log(h * w)`, 0 log 0 = 0: how spread out a map is, whatever its size.

    Args:
        maps: `(N, h, w)` any scale.

    Returns:
        `(N,)` float64 in [0, 1]: 0 for a single salient pixel, 1 for a constant map; NaN for maps of one pixel.
    """
    shares = distribution(_scaled(maps))
    pixels = shares.shape[1] * shares.shape[2]
    if pixels == 1:
        return torch.full((len(shares),), math.nan, dtype=torch.float64)
    return (torch.special.entr(shares).sum((1, 2)) / math.log(pixels)).clamp(max=1)


def _scaled(maps: ArrayLike | Tensor) -> Tensor:
    """Give the maps of one run in [0, 1], float64; `(N, h, w)` or SalignError."""
    values = maps.detach().double() if isinstance(maps, Tensor) else torch.as_tensor(np.asarray(maps, np.float64))
    if values.dim() != 3 or not bool(values.isfinite().all()):
        raise SalignError(
            f"expected the maps of a run, finite, as (N, h, w); got {tuple(values.shape)}, "
            f"{int((~values.isfinite()).sum())} values of which are not finite"
        )
    return min_max(values)


def _answers(predicted: ArrayLike) -> np.ndarray:
    table = np.asarray(predicted)
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
        raise SalignError(f"expected class numbers (runs, images); got {table.dtype} {table.shape}")
    return table


def _votes(predicted: np.ndarray, classes: int) -> np.ndarray:
    """`(R, N)` class numbers -> `(N, classes)`: how many runs gave each answer."""
    images = predicted.shape[1]
    cells = predicted + classes * np.arange(images)
    return np.bincount(cells.ravel(), minlength=images * classes).reshape(images, classes)


def _agreeing_pairs(votes: np.ndarray) -> float:
    """Share of the pairs of raters that agree, the mean over images."""
    if not votes.size or votes[0].sum() < 2:
        return math.nan
    raters = int(votes[0].sum())
    return float((votes * (votes - 1)).sum(1).mean() / (raters * (raters - 1)))
