"""Figures over the number of training images or annotations, and how many images guidance is worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from salign.evaluate.ranking import Array
from salign.evaluate.statistics import bootstrap_counts
from salign.experiment.figures import Line
from salign.experiment.groups import Condition, Group

RESAMPLES = 500
"""Of the bootstrap over seeds for the data factor."""


class Factor(NamedTuple):
    """The guided arm with `images` does as well as the baseline with `equals`."""

    images: float
    equals: float
    """Training images of the baseline; infinite or 0 where the whole curve of the baseline is lower or higher."""
    low: float
    """95 % bootstrap interval over seeds of `equals`; NaN with one seed."""
    high: float


def line(group: Group, arm: str, place: str, metric: str, points: dict[float, Condition]) -> Line | None:
    """Mean over the seeds with its 95 % t interval, in points of 100, at every condition that has runs.

    Args:
        group: whose runs.
        arm: its name.
        place: name of the set.
        metric: name of the figure.
        points: place on the axis -> condition.
    """
    rows = []
    for x, condition in sorted(points.items()):
        values = 100 * group.scores(arm, place, metric, condition).to_numpy()
        if n := len(values):
            reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5 if n > 1 else np.nan
            rows.append((x, values.mean(), values.mean() - reach, values.mean() + reach))
    return Line(arm, *np.array(rows).T) if rows else None


def equal_images(images: Array, baseline: Array, value: float) -> float:
    """Training images at which the baseline's curve first reaches a value, between points linear in log n.

    Args:
        images: `(P,)` ascending.
        baseline: `(P,)` its figure there.
        value: of the guided arm.

    Returns:
        0 where the curve begins above the value, infinite where it never comes up to it.
    """
    reached = np.flatnonzero(baseline >= value)
    if not len(reached):
        return float("inf")
    k = int(reached[0])
    if k == 0:
        return float(images[0]) if baseline[0] == value else 0.0
    part = (value - baseline[k - 1]) / (baseline[k] - baseline[k - 1])
    return float(np.exp(np.log(images[k - 1]) + part * np.log(images[k] / images[k - 1])))


def factors(images: Array, baseline: Array, guided: Array, generator: np.random.Generator) -> list[Factor]:
    """Find for every number of images how many the baseline needs to do as well as the guided arm.

    Args:
        images: `(P,)` training images, ascending.
        baseline: `(S, P)` figures, paired by seed.
        guided: `(S, P)`.
        generator: source of randomness of the bootstrap over seeds.
    """
    found = [equal_images(images, baseline.mean(0), value) for value in guided.mean(0)]
    if len(baseline) < 2:
        return [Factor(float(n), equal, np.nan, np.nan) for n, equal in zip(images, found, strict=True)]
    drawn = np.concatenate(list(bootstrap_counts(np.zeros(len(baseline)), RESAMPLES, generator))) / len(baseline)
    curves, values = drawn @ baseline, drawn @ guided
    lines = []
    for p, n in enumerate(images):
        equal = np.array(
            [equal_images(images, curve, value) for curve, value in zip(curves, values[:, p], strict=True)]
        )
        lines.append(Factor(float(n), found[p], *np.sort(equal)[[int(0.025 * RESAMPLES), int(0.975 * RESAMPLES)]]))
    return lines


def factor_in_words(factor: Factor, images: Array, guided: str, baseline: str) -> str:
    """Say a factor, and where it lies beyond the numbers that were tried."""
    begin, top = f"{guided} with {factor.images:g} training images", images[-1]
    if np.isinf(factor.equals):
        times = f"more than {top / factor.images:.2g} times the images"
        return f"{begin} is above {baseline} with any number tried, up to {top:g}: {times}."
    if factor.equals == 0:
        times = f"less than {images[0] / factor.images:.2g} times the images"
        return f"{begin} is below {baseline} with {images[0]:g}: {times}."
    ends = "" if np.isnan(factor.low) else f" [{_end(factor.low, images)}, {_end(factor.high, images)}]"
    times = f"{factor.equals / factor.images:.2g} times the images"
    return f"{begin} equals {baseline} with {factor.equals:.0f}{ends}: {times}."


def _end(value: float, images: Array) -> str:
    return f"> {images[-1]:g}" if np.isinf(value) else f"< {images[0]:g}" if value == 0 else f"{value:.0f}"
