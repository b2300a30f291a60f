"""Agreement where several people marked the same image, and how much people agree among themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from salign.checks import tensors
from salign.evaluate.agreement import Metric, metric_of


def against_annotators(model: Tensor, humans: Tensor, metric: str | Metric) -> float:
    """Return the mean agreement of one model map with several people's maps of the same image.

    Args:
        model: `(h, w)` any scale, signed or not.
        humans: `(A, H, W)` >= 0, one per annotator; annotators for whom the metric is NaN (a blank map) do not count.
        metric: a name in `agreement.METRICS`, or a function of the same form.

    Returns:
        The mean; NaN if no annotator counts.
    """
    tensors(model=(model, "real (h, w)"), humans=(humans, "real (A, H, W)"))
    return float(metric_of(metric)(model.repeat(len(humans), 1, 1), humans).nanmean())


def ceiling(humans: Tensor, metric: str | Metric) -> float:
    """Return the agreement among people: how well the mean of the others' maps predicts each annotator's map.

    This leave-one-out agreement is that of a "model" that knows the maps of all the others. Divide a model's agreement
    by it.

    Args:
        humans: `(A, H, W)` >= 0, one per annotator, all on one scale.
        metric: a name in `agreement.METRICS`, or a function of the same form.

    Returns:
        The mean over the annotators for whom the metric is defined; NaN for fewer than two annotators.
    """
    tensors(humans=(humans, "real (A, H, W)"))
    if len(humans) < 2:
        return math.nan
    people = humans.double()
    rest = (people.sum(0) - people) / (len(people) - 1)
    return float(metric_of(metric)(rest, people).nanmean())


def normalise(against: Iterable[float], ceilings: Iterable[float]) -> float:
    """Return a model's agreement as a share of people's agreement among themselves (used by Fel et al. 2022).

    1 is as good as people. The share is the mean agreement over images divided by the mean ceiling of the same images;
    a mean of ratios would be dominated by the images on which people disagree. The share makes sense for the metrics in
    `agreement.HIGHER_IS_BETTER`.

    Args:
        against: `against_annotators` of each image.
        ceilings: `ceiling` of each image; an image does not count if either of its values is NaN.

    Returns:
        The share; NaN if the mean ceiling is 0 or less, or if no image counts.
    """
    pairs = [(a, c) for a, c in zip(against, ceilings, strict=True) if not (math.isnan(a) or math.isnan(c))]
    whole = sum(c for _, c in pairs)
    return sum(a for a, _ in pairs) / whole if whole > 0 else math.nan
