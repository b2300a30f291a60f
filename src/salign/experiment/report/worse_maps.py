"""How good, and how many, must maps be? Each arm is shown with worse and with fewer maps, beside all its own maps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from salign.data.controls import BY_SHARE, CONTROLS
from salign.experiment.arms import control_of
from salign.experiment.report.curves import mean_line
from salign.experiment.report.groups import Condition, Group, by_seed, compared, heading
from salign.experiment.report.tables import NOTHING, difference_in_words, mean_in_words
from salign.experiment.study import Study
from salign.pages.plots import Line, Styles, curves
from salign.pages.sheet import Block, Plots, Table

OWN = "own"
"""The name of people's own maps, where all of them are used, unchanged."""
_AXES = {
    "shuffled": "maps that are another image's, % of the maps",
    "dilated": "maps grown by, % of the sides",
    "shifted": "maps moved by, % of the sides",
}


def worse_maps(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Make a table and curves over how bad the maps are, for groups with an arm that has two kinds of worse maps."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        kinds = tried_maps(study, group)
        if not any(len(steps_of) > 2 for steps_of in kinds.values()):
            continue
        caption = (
            f"{study.metric} on {study.target} in points of 100, mean ± standard deviation over seeds. Controls as in "
            "data.maps; % of the maps: so many keep theirs, the others have none."
        )
        titled = f"{group.title}. {caption}" if heading(groups, group) else caption
        blocks.append(Table(titled, describe_maps(maps_table(study, group)), names=1))
        svgs = []
        for kind, label in _AXES.items():
            if lines := _lines(study, group, kinds, kind):
                labels = (label, f"{study.metric} on {study.target}, points")
                where = {"title": heading(groups, group), "name": f"{kind}-{number}"}
                svgs.append(curves(lines, styles, labels, **where, log=False))
        if svgs:
            blocks.append(Plots("Mean over seeds; the band is its 95 % t interval. 0: people's own maps.", svgs))
    return blocks


def tried_maps(study: Study, group: Group) -> dict[str, dict[str, tuple[str, Condition]]]:
    """Find the maps that each arm was tried with, in arms that have runs with other maps than all of their own.

    Returns:
        Arm -> maps -> the arm and the condition of the runs. Maps are `OWN`, a control as in `data.maps`, or a share
        such as "5 % of the maps". All runs of an arm have the same number of training images.
    """
    tried: dict[str, dict[str, tuple[str, Condition]]] = {}
    for name in group.arms:
        control = control_of(name, guided=study.guided, own=study.arms)
        if control is not None and control[1] in group.arms:
            tried.setdefault(control[1], {})[control[0]] = (name, group.conditions[control[1]])
    for arm in group.arms:
        all_of_them = group.conditions[arm]
        fewer = [
            condition
            for condition in group.ran[arm]
            if condition.images == all_of_them.images and condition < all_of_them
        ]
        for condition in sorted(fewer, reverse=True):
            tried.setdefault(arm, {})[condition._replace(images=np.inf).words] = (arm, condition)
    order = {kind: rank for rank, kind in enumerate(dict.fromkeys([*BY_SHARE, *CONTROLS]))}

    def rank_of(maps: str) -> tuple[int, float]:
        kind, share = _kind(maps)
        return order.get(kind, len(order)), share

    return {
        arm: {OWN: (arm, group.conditions[arm])} | {maps: tried[arm][maps] for maps in sorted(tried[arm], key=rank_of)}
        for arm in group.arms
        if arm in tried
    }


def maps_table(study: Study, group: Group) -> pd.DataFrame:
    """Make a table of every arm's figure on the target set with its own and with other maps.

    Returns:
        Columns arm, maps (see `tried_maps`), seeds, mean, sd; and difference, low, high: the difference to the same arm
        with its own maps, paired by seed, with its 95 % t interval. All figures are shares; NaN stands where there is
        no figure.
    """
    rows: list[dict[str, object]] = []
    for arm, tried in tried_maps(study, group).items():
        own = _scores(study, group, tried[OWN])
        for maps, where in tried.items():
            scores = _scores(study, group, where)
            row: dict[str, object] = {"arm": arm, "maps": maps, "seeds": len(scores)}
            row |= {"mean": scores.mean(), "sd": scores.std(ddof=1)}
            comparison = None if maps == OWN else compared(*by_seed(scores, own))
            rows.append(row | {name: getattr(comparison, name, np.nan) for name in ("difference", "low", "high")})
    return pd.DataFrame(rows)


def describe_maps(table: pd.DataFrame, *, differences: bool = False) -> pd.DataFrame:
    """Put `maps_table` into words, with a row per kind of maps and a column per arm.

    Args:
        table: see `maps_table`.
        differences: whether a cell has the difference to the arm's own maps beside the mean and sd.

    Returns:
        Text, in points of 100.
    """

    def cell(row: dict[Hashable, Any]) -> str:
        text = mean_in_words(row["mean"], row["sd"])
        if not differences or pd.isna(row["difference"]):
            return text
        return f"{text}, {difference_in_words(row['difference'], row['low'], row['high'])}"

    text = table.assign(said=[cell(row) for row in table.to_dict("records")])
    arms, maps = list(dict.fromkeys(table["arm"])), list(dict.fromkeys(table["maps"]))
    wide = text.pivot(index="maps", columns="arm", values="said").reindex(index=maps, columns=arms)
    return wide.fillna(NOTHING).reset_index().rename_axis(columns=None)


def _lines(study: Study, group: Group, kinds: dict[str, dict[str, tuple[str, Condition]]], kind: str) -> list[Line]:
    """Return the curve of every arm that has runs with its own maps and with two or more shares of this control."""
    lines = []
    for arm, tried in kinds.items():
        steps = {0.0: OWN} | {100 * share: maps for maps in tried for degree, share in [_kind(maps)] if degree == kind}
        if len(steps) > 2:
            line = mean_line(arm, {x: _scores(study, group, tried[maps]) for x, maps in steps.items()})
            lines += [line] if line else []
    return lines


def _scores(study: Study, group: Group, where: tuple[str, Condition]) -> pd.Series:
    arm, condition = where
    return group.scores(arm, study.target, study.metric, condition)


def _kind(maps: str) -> tuple[str, float]:
    """Split the name of a control into the control and its share, which is 1 for a name without a share."""
    kind, _, share = maps.partition("@")
    return kind, float(share or 1)
