"""Metrics of how much a model's saliency maps agree with the maps of people.

Every metric takes model maps `(N, h, w)` of any scale, signed ones too, and human maps `(N, H, W)` >= 0, where 0 means
"not marked". It returns `(N,)` float64. All metrics share these rules:

- Model maps are brought to the size of the human maps (`salign.maps.resize`: area to shrink, bilinear to grow) and
  scaled to [0, 1] by `min_max`, as the CYBORG loss scales them. No metric depends on the scale or offset of the model
  maps. To count positive evidence only, pass `model.clamp(min=0)`.
- The *marked* pixels of a human map are those at or above half of its maximum (`marked`). In a binary mask, these are
  the pixels of the mask; in a soft map, they are its cores. They take the place of fixations in the metrics that were
  made for fixations. Fixation counts are passed as `counts > 0`.
- A human map that is blank or constant does not say where to look, so every metric is NaN for it. For a constant model
  map, the metrics that divide by its spread (cc, spearman, nss) are NaN. All other metrics treat it as a uniform map,
  which scores what chance scores.
- Tied pixels share the result equally, so that no result depends on the order of the pixels.

Formulas: Bylinskii et al. 2019, "What do different evaluation metrics tell us about saliency models?", TPAMI (B19).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from salign.checks import choice, number, tensors, values
from salign.errors import SalignError
from salign.maps import min_max, resize, sum_to_one, varies

Metric = Callable[[Tensor, Tensor], Tensor]
"""A metric of agreement: `(model (N, h, w), human (N, H, W)) -> (N,)` float64."""

EPSILON = torch.finfo(torch.float64).eps
"""2.2e-16. It keeps `kl` finite where a model map is 0, as in the code of B19."""

TOLERANCE = 0.024
"""Default tolerance of `pointing`, as a share of the map's diagonal.

It corresponds to the 15 pixels of Zhang et al. 2018 on a PASCAL VOC image of 500 x 375.
"""

_PIXELS = 2**16
"""Number of pixels that `agreement` handles at once.

Blocks that stay in the cache are a quarter faster than all maps together.
"""

_STEP = 2.0**-32
"""Model maps are rounded to multiples of this step, so that the pixels of a plateau are still tied after resizing."""

_SMALLEST = 6
"""Side of the smallest map that the mirrored 11-pixel window of SSIM fits."""


def pearson(model: Tensor, human: Tensor) -> Tensor:
    """Return CC, Pearson's correlation over the pixels, in [-1, 1] (B19)."""
    scaled, people, shaped = _pair(model, human)
    return _or_nan(_correlation(scaled, people), shaped & varies(scaled))


def spearman(model: Tensor, human: Tensor) -> Tensor:
    """Return Pearson's correlation of the pixels' ranks, in [-1, 1] (used by Fel et al. 2022).

    Equal values share their mean rank.
    """
    scaled, people, shaped = _pair(model, human)
    return _or_nan(_correlation(_ranks(scaled), _ranks(people)), shaped & varies(scaled))


def similarity(model: Tensor, human: Tensor) -> Tensor:
    """Return SIM, the intersection of the two maps as distributions, in [0, 1] (B19; Judd et al. 2012).

    The human map is divided by its sum and keeps its own zero, whereas B19 first shift its minimum to 0.
    """
    scaled, people, shaped = _pair(model, human)
    return _or_nan(torch.minimum(distribution(scaled), sum_to_one(people)).sum((1, 2)), shaped)


def kl(model: Tensor, human: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the human distribution from the model's, in nats.

    `sum_i human_i * log(EPSILON + human_i / (EPSILON + model_i))` (B19). It is >= 0 up to rounding, and lower is
    better. It is largest where people marked pixels that the model map sets to 0.
    """
    scaled, people, shaped = _pair(model, human)
    expected = sum_to_one(people)
    return _or_nan((expected * (EPSILON + expected / (EPSILON + distribution(scaled))).log()).sum((1, 2)), shaped)


def nss(model: Tensor, human: Tensor) -> Tensor:
    """Return the normalised scanpath saliency: the mean of the standardised model map over the marked pixels (B19).

    The unit is one standard deviation of the map (Peters et al. 2005), whose variance is the sum of squares divided by
    the number of pixels. Chance scores 0.
    """
    scaled, people, shaped = _pair(model, human)
    inside, mean = marked(people), scaled.mean((1, 2))
    spread = (scaled - mean[:, None, None]).square().mean((1, 2)).sqrt()
    return _or_nan(((scaled * inside).sum((1, 2)) / inside.sum((1, 2)) - mean) / spread, shaped & varies(scaled))


def auc_judd(model: Tensor, human: Tensor) -> Tensor:
    """Return the area under the ROC curve of marked against all other pixels, in [0, 1] (Judd et al. 2009; B19).

    Chance scores 0.5. This is the exact area, in which ties count half (Mann-Whitney U); the random jitter of the
    original code aims at the same value. The original code puts thresholds only at the values of the n marked pixels,
    and so adds up to 1 / 2n to the area.
    """
    scaled, people, shaped = _pair(model, human)
    inside = marked(people)
    positives = inside.sum((1, 2)).double()
    negatives = people.shape[1] * people.shape[2] - positives
    won = (_ranks(scaled) * inside).sum((1, 2)) - positives * (positives + 1) / 2
    return _or_nan(won / (positives * negatives), shaped)


def iou(model: Tensor, human: Tensor, share: float | None = None) -> Tensor:
    """Return the intersection over union of the most salient pixels of both maps, in [0, 1].

    Both regions have k pixels. If several pixels are tied at the k-th value, they share the places that are left
    equally, and the intersection is its expected size.

    Args:
        model: `(N, h, w)`.
        human: `(N, H, W)` >= 0.
        share: k as a share of the area in (0, 1], for both maps (0.1 in Fel et al. 2022); None takes as many pixels as
            are marked in each human map.

    Raises:
        SalignError: `share` is not in (0, 1].
    """
    overlap = dice(model, human, share)
    return overlap / (2 - overlap)


def dice(model: Tensor, human: Tensor, share: float | None = None) -> Tensor:
    """Return the Dice coefficient of the same two regions as in `iou`, in [0, 1].

    The regions are equally large, so this is the share of each region that lies in the other one.
    """
    if share is not None:
        number("share", share, "(0, 1]")
    scaled, people, shaped = _pair(model, human)
    if share is None:
        region = marked(people).double()
        size = region.sum((1, 2)).long()
    else:
        size = torch.full(
            (len(people),), max(1, round(share * people.shape[1] * people.shape[2])), device=people.device
        )
        region = _top(people, size)
    return _or_nan((_top(scaled, size) * region).sum((1, 2)) / size, shaped)


def energy(model: Tensor, human: Tensor) -> Tensor:
    """Return the share of the model map's sum that lies in the marked pixels, in [0, 1].

    This is the energy-based pointing game of Wang et al. 2020 (Score-CAM), with the marked pixels in place of the
    bounding box. A uniform map scores the share of the area that is marked.
    """
    scaled, people, shaped = _pair(model, human)
    return _or_nan((distribution(scaled) * marked(people)).sum((1, 2)), shaped)


def pointing(model: Tensor, human: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Play the pointing game (Zhang et al. 2018): 1 where the model map's maximum hits the marked pixels, else 0.

    If several pixels share the maximum, the result is the share of them that hit.

    Args:
        model: `(N, h, w)`.
        human: `(N, H, W)` >= 0.
        tolerance: distance from the nearest marked pixel that still counts as a hit, as a share of the map's diagonal.

    Raises:
        SalignError: `tolerance` is not in [0, 1].
    """
    number("tolerance", tolerance, "[0, 1]")
    scaled, people, shaped = _pair(model, human)
    radius = tolerance * math.hypot(*people.shape[1:])
    near = [torch.from_numpy(distance_transform_edt(~inside) <= radius) for inside in marked(people).cpu().numpy()]
    hit = torch.stack(near).to(scaled.device) if near else marked(people)
    peaks = scaled == scaled.amax((1, 2), keepdim=True)
    return _or_nan((peaks & hit).sum((1, 2)) / peaks.sum((1, 2)).double(), shaped)


def ssim(model: Tensor, human: Tensor) -> Tensor:
    """Return the structural similarity of both maps scaled to [0, 1], at most 1 (Wang et al. 2004, by torchmetrics).

    The Gaussian window has a sigma of 1.5 pixels. Maps below 6 x 6 pixels give NaN, because the window does not fit.
    """
    scaled, people, shaped = _pair(model, human)
    if min(people.shape[1:]) < _SMALLEST or not len(people):
        return torch.full((len(people),), math.nan, dtype=torch.float64, device=people.device)
    pair = scaled.float()[:, None], min_max(people).float()[:, None]
    values = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    return _or_nan(values.double(), shaped)


METRICS: dict[str, Metric] = {
    "cc": pearson,
    "spearman": spearman,
    "sim": similarity,
    "kl": kl,
    "nss": nss,
    "auc_judd": auc_judd,
    "iou": iou,
    "dice": dice,
    "energy": energy,
    "pointing": pointing,
    "ssim": ssim,
}
"""The metrics that `agreement` computes, by name, in the order in which they are reported."""

LABELS = {
    "cc": "Pearson correlation",
    "spearman": "Spearman correlation",
    "sim": "similarity (histogram intersection)",
    "kl": "KL divergence",
    "nss": "normalised scanpath saliency",
    "auc_judd": "AUC-Judd",
    "iou": "IoU at the area marked",
    "dice": "Dice at the area marked",
    "energy": "energy inside the map",
    "pointing": "pointing game",
    "ssim": "structural similarity",
}
"""The name of each metric in words."""

HIGHER_IS_BETTER = frozenset(METRICS) - {"kl"}
"""The metrics that grow with agreement."""


def agreement(model: Tensor, human: Tensor, metrics: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Compute several metrics for the same maps, a block of images at a time, so that memory stays modest.

    Args:
        model: `(N, h, w)` any scale, signed or not.
        human: `(N, H, W)` >= 0.
        metrics: names of metrics in `METRICS`; None for all.

    Returns:
        The name of each metric -> `(N,)` float64, NaN where the metric is not defined.

    Raises:
        SalignError: a metric is unknown, the shapes do not go together, a value is not finite, or a human map has a
            negative value.
    """
    functions = {name: metric_of(name) for name in (METRICS if metrics is None else metrics)}
    _check(model, human)
    block = max(1, _PIXELS // (human.shape[1] * human.shape[2]))
    parts: dict[str, list[Tensor]] = {name: [] for name in functions}
    for maps, people in zip(model.split(block), human.split(block), strict=True):
        scaled, people, _ = _pair(maps, people)  # once for all metrics, which then find the right size and scale
        for name, metric in functions.items():
            parts[name].append(metric(scaled, people))
    return {name: torch.cat(values) for name, values in parts.items()}


def metric_of(metric: str | Metric) -> Metric:
    """Return the metric of that name; a function is returned as it is.

    Raises:
        SalignError: no metric has that name.
    """
    if callable(metric):
        return metric
    choice("metric", metric, METRICS)
    return METRICS[metric]


def marked(human: Tensor) -> Tensor:
    """Return which pixels of `(N, H, W)` maps >= 0 are at or above half of their map's maximum; none in a blank map."""
    tensors(human=(human, "real (N, H, W)"))
    values("human", human, "[0, inf)")
    return (human >= human.amax((1, 2), keepdim=True) / 2) & (human > 0)


def distribution(maps: Tensor) -> Tensor:
    """Turn `(N, h, w)` maps of any scale into float64 distributions >= 0 that sum to one.

    Each map is min-max scaled and divided by its sum; a constant map becomes uniform.
    """
    tensors(maps=(maps, "real (N, h, w)"))
    scaled = sum_to_one(min_max(maps.double()))
    return torch.where(varies(maps.double())[:, None, None], scaled, 1 / (maps.shape[1] * maps.shape[2]))


def _check(model: Tensor, human: Tensor) -> None:
    tensors(model=(model, "real (N, h, w)"), human=(human, "real (N, H, W)"))
    if 0 in (*model.shape[1:], *human.shape[1:]):
        raise SalignError(
            f"expected model maps (N, h, w) and as many human maps (N, H, W); got {tuple(model.shape)} and "
            f"{tuple(human.shape)}"
        )
    for what, wrong in (
        ("a model map is finite", ~model.isfinite()),
        ("a human map is finite", ~human.isfinite()),
        ("a human map is >= 0", human < 0),
    ):
        rows = wrong.flatten(1).any(1).nonzero()
        if len(rows):
            raise SalignError(
                f"{what} everywhere; number {int(rows[0])} (counted from 0) is not, {len(rows)} in all. "
                "Find out why before comparing them"
            )


def _pair(model: Tensor, human: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check both stacks of maps and bring the model maps to the size of the human maps.

    Returns:
        The model maps in [0, 1], rounded to `_STEP`; the human maps; and `(N,)` bool: which human maps vary.
    """
    _check(model, human)
    people = human.detach().double()
    fitted = resize(model.detach().double(), (people.shape[1], people.shape[2]))
    return (min_max(fitted) / _STEP).round() * _STEP, people, varies(people)


def _or_nan(values: Tensor, defined: Tensor) -> Tensor:
    return torch.where(defined, values, math.nan)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation over the pixels of two stacks of maps `(N, H, W)` float64, `(N,)` in [-1, 1]."""
    first, second = first - first.mean((1, 2), keepdim=True), second - second.mean((1, 2), keepdim=True)
    spread = (first.square().sum((1, 2)) * second.square().sum((1, 2))).sqrt()
    return ((first * second).sum((1, 2)) / spread).clamp(-1, 1)


def _ranks(maps: Tensor) -> Tensor:
    """Rank the pixels within each of `(N, H, W)` maps from 1, as float64; equal values share their mean rank."""
    values, order = maps.flatten(1).sort()
    position = torch.arange(values.shape[1], device=values.device).expand_as(values)
    rises = values[:, 1:] != values[:, :-1]
    edge = torch.ones_like(values[:, :1], dtype=torch.bool)
    first = position.where(torch.cat([edge, rises], 1), 0).cummax(1).values
    last = position.where(torch.cat([rises, edge], 1), values.shape[1]).flip(1).cummin(1).values.flip(1)
    ranks = torch.empty_like(values, dtype=torch.float64).scatter_(1, order, (first + last).double() / 2 + 1)
    return ranks.view(maps.shape)


def _top(maps: Tensor, size: Tensor) -> Tensor:
    """Return the membership of each pixel, float64 in [0, 1], among the `size (N,)` highest of its `(N, H, W)` map.

    Pixels that are tied at the last place share the places that are left.
    """
    values = maps.flatten(1).sort(descending=True).values
    last = values.gather(1, (size[:, None] - 1).clamp(min=0))[..., None]
    above, tied = maps > last, maps == last
    share = (size - above.sum((1, 2))) / tied.sum((1, 2)).double()
    return above + tied * share[:, None, None]
