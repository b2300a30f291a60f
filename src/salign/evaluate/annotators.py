"""Agreement where several people marked the same image, and how far people agree among themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from salign.checks import tensors
from salign.evaluate.agreement import Metric, metric_of


def against_annotators(model: Tensor, humans: Tensor, metric: str | Metric) -> float:
    """Mean agreement of one model map with each of several people's maps of the image.

    Args:
        model: `(h, w)` any scale, signed or not.
        humans: `(A, H, W)` >= 0, one per annotator; those for whom the metric is NaN (a blank map) do not count.
        metric: a name out of `agreement.METRICS`, or a function like those there.

    Returns:
        NaN where no annotator counts.
    """
    tensors(model=(model, "real (h, w)"), humans=(humans, "real (A, H, W)"))
    return float(metric_of(metric)(model.repeat(len(humans), 1, 1), humans).nanmean())


def ceiling(humans: Tensor, metric: str | Metric) -> float:
    """Agreement among people: each annotator's map as predicted by the mean of the others' (leave one out).

    What is reached by a "model" that knows all the others, and therefore what to divide a model's agreement by.

    Args:
        humans: `(A, H, W)` >= 0, one per annotator, all on one scale.
        metric: a name out of `agreement.METRICS`, or a function like those there.

    Returns:
        Mean over the annotators for whom the metric is defined; NaN for fewer than two annotators.
    """
    tensors(humans=(humans, "real (A, H, W)"))
    if len(humans) < 2:
        return math.nan
    people = humans.double()
    rest = (people.sum(0) - people) / (len(people) - 1)
    return float(metric_of(metric)(rest, people).nanmean())


def normalise(against: Iterable[float], ceilings: Iterable[float]) -> float:
    """Agreement as a share of what people reach among themselves: 1 is as good as they are (used by Fel et al. 2022).

    The mean over images divided by the mean ceiling of the same images; a mean of ratios would be ruled by the images
    on which people disagree. Meant for the metrics in `agreement.HIGHER_IS_BETTER`.

    Args:
        against: `against_annotators` of each image.
        ceilings: `ceiling` of each image; where either is NaN, the image does not count.

    Returns:
        NaN where people agree no better than at 0 (mean ceiling <= 0), or no image counts.
    """
    pairs = [(a, c) for a, c in zip(against, ceilings, strict=True) if not (math.isnan(a) or math.isnan(c))]
    whole = sum(c for _, c in pairs)
    return sum(a for a, _ in pairs) / whole if whole > 0 else math.nan
