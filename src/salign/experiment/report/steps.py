"""Figures over the optimiser steps of training: when an arm leaves the baseline, and which part of images it uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from salign.evaluate.departure import departure
from salign.experiment.report.curves import mean_line
from salign.experiment.report.groups import Group, heading
from salign.experiment.study import Study
from salign.pages.plots import Styles, curves
from salign.pages.sheet import Block, Plots, Text

BY = 0.02
"""An arm leaves the baseline at the step from which on their accuracies stay more than this apart, on one side."""
_AXES = {
    "accuracy": "accuracy",
    "inside": "answers that change without the region, %",
    "outside": "answers that change without the surroundings, %",
}
"""Figure after a step -> its label on an axis."""


def over_steps(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Draw the figures on the target after each step that has them, and say when each arm leaves the baseline."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        steps = _steps(group, study.target)
        svgs = []
        for figure, words in _AXES.items():
            scores = {
                arm: {float(step + 1): group.scores(arm, study.target, f"step/{step}/{figure}") for step in steps}
                for arm in group.arms
            }
            lines = [line for arm, points in scores.items() if (line := mean_line(arm, points)) is not None]
            if any(np.isfinite(line.value).any() for line in lines):
                labels = ("optimiser steps, plus 1", f"{words} ({study.target})")
                svgs.append(
                    curves(lines, styles, labels, title=heading(groups, group), name=f"steps-{number}-{figure}")
                )
        if svgs:
            blocks.append(
                Plots("Mean over seeds; the band is its 95 % t interval. The first point has learned nothing.", svgs)
            )
            blocks.append(Text(_departures(study, group, steps), heading(groups, group)))
    return blocks


def departures(study: Study, group: Group, arm: str) -> pd.Series:
    """Find, for each seed, the step from which on an arm stays more than `BY` apart from the baseline in accuracy.

    Returns:
        Steps by seed; infinite where the arm ends within `BY` of the baseline.
    """
    steps = _steps(group, study.target)
    tables = [
        pd.DataFrame({step: group.scores(name, study.target, f"step/{step}/accuracy") for step in steps})
        for name in (study.baseline, arm)
    ]
    first, second = (table.dropna() for table in tables)
    parted = {}
    for seed in first.index.intersection(second.index):
        index = departure(first.loc[seed].to_numpy(), second.loc[seed].to_numpy(), by=BY)
        parted[seed] = np.inf if index is None else float(steps[index])
    return pd.Series(parted, dtype=np.float64)


def _departures(study: Study, group: Group, steps: list[int]) -> list[str]:
    parted = {arm: departures(study, group, arm) for arm in group.arms if arm != study.baseline}
    sentences = []
    for arm, places in parted.items():
        gone = places[np.isfinite(places)]
        if not len(places):
            continue
        median = f", at step {gone.median():g} in the median" if len(gone) else ""
        last = f"step/{steps[-1]}/accuracy"
        gap = (group.scores(study.baseline, study.target, last) - group.scores(arm, study.target, last)).dropna()
        sentences.append(
            f"{arm} leaves {study.baseline} by more than {100 * BY:g} points for good in {len(gone)} of {len(places)} "
            f"seeds{median}; at the end its mean is {100 * abs(gap.mean()):.1f} points "
            f"{'below' if gap.mean() > 0 else 'above'}."
        )
    names = list(parted)
    for position, arm in enumerate(names):
        for second in names[position + 1 :]:
            both = pd.concat([parted[arm], parted[second]], axis=1, join="inner").to_numpy()
            if len(both):
                earlier, later = int((both[:, 0] < both[:, 1]).sum()), int((both[:, 1] < both[:, 0]).sum())
                sentences.append(
                    f"{arm} leaves before {second} in {earlier} of {len(both)} seeds, {second} before {arm} in {later}."
                )
    return sentences


def _steps(group: Group, test_set: str) -> list[int]:
    """Return the steps, ascending, after which anything was measured on a set."""
    parts = (key[4].split("/") for key in group.places if key[3] == test_set)
    return sorted({int(part[1]) for part in parts if part[0] == "step"})
