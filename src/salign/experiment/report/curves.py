"""Curves over the number of training images or of annotations, and how many images guidance is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from salign.errors import SalignError
from salign.evaluate.ranking import Array
from salign.evaluate.statistics import bootstrap_counts
from salign.experiment.arms import times
from salign.experiment.report.groups import Condition, Group, heading
from salign.experiment.report.tables import set_roles
from salign.experiment.study import Study
from salign.pages.plots import Line, Styles, curves
from salign.pages.sheet import Block, Plots, Text
from salign.runs.run import Run

RESAMPLES = 500
"""The bootstrap over seeds for a `Factor` draws this many resamples."""


def over_images(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Draw learning curves, and say how many images the baseline needs to do as well as the guided arm."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        share = max((condition.annotated for values in group.ran.values() for condition in values), default=1.0)
        sizes = {
            condition.images for values in group.ran.values() for condition in values if condition.annotated == share
        }
        if len(sizes) < 2:
            continue
        axis = {size: _count(group, runs, Condition(size, share)) if np.isinf(size) else size for size in sizes}
        conditions = {n: Condition(size, share) for size, n in axis.items() if n is not None}
        svgs = []
        for role, test_set in reversed(set_roles(study)):
            lines = [
                values
                for arm in group.arms
                if (values := line(group, arm, test_set, study.metric, conditions, factor=times(arm)))
            ]
            labels = ("training images", f"{study.metric} on {test_set}, points")
            if lines:
                svgs.append(curves(lines, styles, labels, title=heading(groups, group), name=f"images-{number}-{role}"))
        if svgs:
            blocks.append(Plots("Mean over seeds; the band is its 95 % t interval.", svgs))
        sentences = _factors(study, group, conditions)
        if None in axis.values():
            sentences.append("Runs with all images are left out: their manifest is not there any more to count them.")
        blocks.append(Text(sentences, heading(groups, group) if sentences else ""))
    return blocks


def over_annotations(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Draw curves over the share of the annotated images that keep their map."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        size = max((condition.images for condition in group.ran.get(study.guided, set())), default=np.inf)
        conditions = {condition for values in group.ran.values() for condition in values if condition.images == size}
        axis = {100 * condition.annotated: condition for condition in conditions if condition.annotated > 0}
        if len(axis) < 2:
            continue
        svgs = []
        for role, test_set in reversed(set_roles(study)):
            lines = [values for arm in group.arms if (values := line(group, arm, test_set, study.metric, axis))]
            labels = ("annotated training images that keep their map, %", f"{study.metric} on {test_set}, points")
            if lines:
                name = f"annotated-{number}-{role}"
                svgs.append(curves(lines, styles, labels, title=heading(groups, group), name=name))
        if svgs:
            blocks.append(Plots("Mean over seeds; the band is its 95 % t interval.", svgs))
    return blocks


class Factor(NamedTuple):
    """The guided arm with `images` training images does as well as the baseline with `equals`."""

    images: float
    equals: float
    """Training images of the baseline; infinite where its whole curve is lower, 0 where its whole curve is higher."""
    low: float
    """Lower end of the 95 % bootstrap interval of `equals` over seeds; NaN with one seed."""
    high: float
    """Its upper end."""


def line(
    group: Group, arm: str, test_set: str, metric: str, points: dict[float, Condition], *, factor: float = 1
) -> Line | None:
    """Return the curve of an arm: the mean over seeds with its 95 % t interval, in points of 100.

    Args:
        group: the group of runs that has the arm.
        arm: name of the arm.
        test_set: name of the set.
        metric: name of the metric.
        points: place on the axis -> condition; a condition without runs is left out.
        factor: the places of the arm are multiplied by this factor.

    Returns:
        The curve; None where the arm has no runs.
    """
    scores = {x * factor: group.scores(arm, test_set, metric, condition) for x, condition in points.items()}
    return mean_line(arm, scores)


def mean_line(name: str, points: dict[float, pd.Series]) -> Line | None:
    """Return a curve of means over seeds with their 95 % t intervals, in points of 100.

    Args:
        name: name of the curve.
        points: place on the axis -> shares in [0, 1], one per seed; a place without shares is left out.

    Returns:
        The curve; None where no place has shares. With one seed the interval is NaN.
    """
    rows = []
    for x, scores in sorted(points.items()):
        values = 100 * scores.to_numpy()
        if n := len(values):
            reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5 if n > 1 else np.nan
            rows.append((x, values.mean(), values.mean() - reach, values.mean() + reach))
    return Line(name, *np.array(rows).T) if rows else None


def equal_images(images: Array, baseline: Array, value: float) -> float:
    """Find the number of training images at which the curve of the baseline first reaches a value.

    The curve is taken as linear in the logarithm of the number of images between its points.

    Args:
        images: `(P,)` numbers of training images, ascending.
        baseline: `(P,)` figures of the baseline with them.
        value: figure of the guided arm.

    Returns:
        The number of images; 0 where the curve begins above the value, infinite where it never reaches it.
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
        guided: `(S, P)` figures of the guided arm.
        generator: source of randomness of the bootstrap over seeds.
    """
    equals = [equal_images(images, baseline.mean(0), value) for value in guided.mean(0)]
    if len(baseline) < 2:
        return [Factor(float(n), equal, np.nan, np.nan) for n, equal in zip(images, equals, strict=True)]
    weights = np.concatenate(list(bootstrap_counts(np.zeros(len(baseline)), RESAMPLES, generator))) / len(baseline)
    curves, values = weights @ baseline, weights @ guided
    lines = []
    for p, n in enumerate(images):
        equal = np.array(
            [equal_images(images, curve, value) for curve, value in zip(curves, values[:, p], strict=True)]
        )
        lines.append(Factor(float(n), equals[p], *np.sort(equal)[[int(0.025 * RESAMPLES), int(0.975 * RESAMPLES)]]))
    return lines


def factor_in_words(factor: Factor, images: Array, guided: str, baseline: str) -> str:
    """Put a factor into words, also where it lies beyond the numbers of images that were tried."""
    begin, top = f"{guided} with {factor.images:g} training images", images[-1]
    if factor.images in (images[0], top) and factor.equals in (0, np.inf):
        side = "above" if factor.equals else "below"
        if (side == "above") == (factor.images == top):
            end = "most" if side == "above" else "fewest"
            return f"{begin}, the {end} tried, is {side} {baseline} with any number tried."
    if np.isinf(factor.equals):
        many = f"more than {top / factor.images:.2g} times the images"
        return f"{begin} is above {baseline} with any number tried, up to {top:g}: {many}."
    if factor.equals == 0:
        many = f"less than {images[0] / factor.images:.2g} times the images"
        return f"{begin} is below {baseline} with {images[0]:g}: {many}."
    ends = "" if np.isnan(factor.low) else f" [{_end(factor.low, images)}, {_end(factor.high, images)}]"
    many = f"{factor.equals / factor.images:.2g} times the images"
    return f"{begin} equals {baseline} with {factor.equals:.0f}{ends}: {many}."


def _end(value: float, images: Array) -> str:
    return f"> {images[-1]:g}" if np.isinf(value) else f"< {images[0]:g}" if value == 0 else f"{value:.0f}"


def _factors(study: Study, group: Group, axis: dict[float, Condition]) -> list[str]:
    """Return the sentences on the factors, from the numbers of images and the seeds that both arms have throughout."""
    shared = {
        n: condition
        for n, condition in sorted(axis.items())
        if condition in group.ran.get(study.baseline, set()) & group.ran.get(study.guided, set())
    }
    columns_of = [
        [group.scores(arm, study.target, study.metric, condition) for condition in shared.values()]
        for arm in (study.baseline, study.guided)
    ]
    if len(shared) < 2:
        return []
    baseline, guided = (pd.concat(columns, axis=1, join="inner") for columns in columns_of)
    seeds = baseline.index.intersection(guided.index).sort_values()
    if not len(seeds):
        return []
    images = np.array(list(shared))
    equal = factors(images, baseline.loc[seeds].to_numpy(), guided.loc[seeds].to_numpy(), np.random.default_rng(0))
    many = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    rule = (
        f"By {study.metric} on {study.target}, {many}: where the curve of {study.baseline}, taken as linear in log n "
        "between the points, first comes up to the value. In brackets: 95 % bootstrap interval over seeds."
    )
    return [rule, *(factor_in_words(condition, images, study.guided, study.baseline) for condition in equal)]


def _count(group: Group, runs: pd.DataFrame, condition: Condition) -> float | None:
    """Count the training images of the runs that use all images; None where their manifest is not there any more."""
    for arm in group.arms:
        for path in group.paths(runs, arm, condition).values():
            try:
                return float(len(Run(Path(path)).training_rows))
            except SalignError:
                return None
    return None
