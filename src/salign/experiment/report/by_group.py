"""The figures of each arm on groups of images, where the recipes report on groups (`data.groups`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from salign.experiment.report.groups import Group, by_seed, compared
from salign.experiment.report.tables import NOTHING, difference_in_words, mean_in_words
from salign.experiment.run_table import run_table
from salign.experiment.study import Study
from salign.pages.plots import Styles
from salign.pages.sheet import Block, Table

WORST = "worst group"
_FORGOTTEN = "forgotten"


def groups_of_images(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Make two tables for each manifest column of groups: the study's metric on the target, and forgotten images.

    The second table has the largest share of validation images that are right at an epoch and wrong at the end. Both
    have the mean and standard deviation over seeds, and the paired difference to the baseline. There are no tables
    where no run reports on groups.
    """
    figures = run_table(runs)
    if not any("=" in str(name) for name in figures):
        return []
    questions: list[tuple[str, str, Literal["min", "max"], str]] = [
        (study.target, study.metric, "min", f"{study.metric} on {study.target}"),
        ("val", _FORGOTTEN, "max", "the largest share of validation images right at an epoch and wrong at the end"),
    ]
    tables: list[Block] = []
    for group in groups:
        for test_set, metric, worst, words in questions:
            for column, parts in _columns(figures, test_set, metric).items():
                if rows := _rows(study, group, figures, parts, worst):
                    caption = (
                        f"{group.title}, by {column}: {words}, in points of 100, mean ± standard deviation over seeds; "
                        f"and the paired difference to {study.baseline} with its 95 % t interval. The worst group is "
                        "that of each run."
                    )
                    tables.append(Table(caption, pd.DataFrame(rows), names=1))
    return tables


def _columns(figures: pd.DataFrame, test_set: str, metric: str) -> dict[str, dict[str, str]]:
    """Return, for each manifest column of groups, its values -> the column of `run_table` that holds the figure."""
    columns: dict[str, dict[str, str]] = {}
    for name in map(str, figures):
        first, _, rest = name.partition("/")
        part, _, last = rest.rpartition("/")
        column, equals, value = part.partition("=")
        if (first, last) == (test_set, metric) and equals:
            columns.setdefault(column, {})[value] = name
    return columns


def _rows(
    study: Study,
    group: Group,
    figures: pd.DataFrame,
    parts: dict[str, str],
    worst: Literal["min", "max"],
) -> list[dict[str, str]]:
    """Return a row for each arm that has any figure: every group, the worst group, and differences to the baseline."""
    of_arm: dict[str, pd.DataFrame] = {}
    for arm in group.arms:
        rows = group.rows(figures, arm).set_index("seed")
        values = rows[list(parts.values())].set_axis(list(parts), axis=1).astype(float)
        if len(parts) > 1:
            values[WORST] = values.agg(worst, axis=1)
        of_arm[arm] = values.dropna(how="all")
    lines = []
    for arm, values in of_arm.items():
        if not len(values):
            continue
        line = {"arm": arm}
        for name in values:
            line[str(name)] = mean_in_words(values[name].mean(), values[name].std(ddof=1))
            pair = by_seed(values[name].dropna(), of_arm.get(study.baseline, values[:0])[name].dropna())
            comparison = None if arm == study.baseline else compared(*pair)
            ends = (comparison.difference, comparison.low, comparison.high) if comparison else None
            line[f"{name} − {study.baseline}"] = difference_in_words(*ends) if ends else NOTHING
        lines.append(line)
    return lines
