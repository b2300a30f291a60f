"""How much independent runs of one arm look at the same places and give the same answers.

Boyd et al. ("Explain To Me", arXiv 2303.11969) measure this for saliency maps. The runs differ in nothing but the seed.
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
"""Metrics that do not change when the two maps are swapped."""


def map_consistency(maps: Sequence[ArrayLike] | np.ndarray | Tensor, metric: str | Metric = "cc") -> Tensor:
    """Return the mean agreement of the maps of each image, over all pairs of runs.

    Every map is min-max scaled. One map of a pair takes the part of the human map. Unless the metric is one of
    `SYMMETRIC`, the other map then does so in turn, and both values count.

    Args:
        maps: `R` runs of `(N, h, w)` maps of the same images in the same order, any scale: a `(R, N, h, w)` tensor or
            array, or a sequence of runs. Only two runs are held at a time, so `__getitem__` may read them from disk.
        metric: a name in `agreement.METRICS`, or a function of the same form.

    Returns:
        `(N,)` float64. Pairs for which the metric is NaN (a constant map) do not count. An image without any pair, as
        with a single run, is NaN.

    Raises:
        SalignError: there are no runs, or the runs have different shapes.
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
    """Return the share of equal answers, averaged over images and pairs of runs.

    Args:
        predicted: `(R, N)` class numbers.

    Returns:
        The share, in [0, 1]; NaN for fewer than two runs or no images.
    """
    table = _answers(predicted)
    _, codes = np.unique(table, return_inverse=True)
    return _agreeing_pairs(_votes(codes.reshape(table.shape), int(codes.max(initial=-1)) + 1))


def mean_map(maps: ArrayLike) -> Tensor:
    """Average `(N, h, w)` maps to one map `(h, w)`, float64 in [0, 1].

    Each map is min-max scaled first; a constant map becomes zeros.

    Raises:
        SalignError: there are no maps.
    """
    scaled = _scaled(maps)
    if not len(scaled):
        raise SalignError("an average map needs maps; got none")
    return scaled.mean(0)


def entropy(maps: ArrayLike) -> Tensor:
    """Return the Shannon entropy of each map, divided by its largest possible value.

    The entropy is `-sum_i p_i log p_i / log(h * w)`, with 0 log 0 = 0, where `p` is the min-max scaled map divided by
    its sum. It says how spread out a map is, whatever its size.

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
    """Return the maps of one run, scaled to [0, 1] as float64.

    Raises:
        SalignError: the maps are not `(N, h, w)`, or a value is not finite.
    """
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
    """Count how many runs gave each answer to each image: `(R, N)` class numbers -> `(N, classes)`."""
    images = predicted.shape[1]
    cells = predicted + classes * np.arange(images)
    return np.bincount(cells.ravel(), minlength=images * classes).reshape(images, classes)


def _agreeing_pairs(votes: np.ndarray) -> float:
    """Return the share of the pairs of raters that agree, averaged over images, from `(N, classes)` votes."""
    if not votes.size or votes[0].sum() < 2:
        return math.nan
    raters = int(votes[0].sum())
    return float((votes * (votes - 1)).sum(1).mean() / (raters * (raters - 1)))
