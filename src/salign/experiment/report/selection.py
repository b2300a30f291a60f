"""Tables of the arm that each rule of selection would choose without the target set, and of its figure on that set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from salign.experiment.arms import arm_changes
from salign.experiment.report.groups import Group, is_control
from salign.experiment.report.tables import points
from salign.experiment.rules import RULES, VALIDATION, figure_of
from salign.experiment.study import Study
from salign.pages.plots import Styles
from salign.pages.sheet import Block, Table


def selection_table(study: Study, groups: Sequence[Group]) -> pd.DataFrame:
    """Apply every rule of selection to the arms of each group.

    Controls cannot be chosen, nor can an arm `dfr:ARM`, because its head learned from the
    validation images that the rules use.

    Args:
        study: names the arms, the metric and the target.
        groups: see `groups_of`.

    Returns:
        A row per data set, network and rule, with the columns dataset, network, rule, arm (the choice of the rule),
        value (the figure that the rule uses), target (the metric of that arm on the target set), best (the arm that is
        best on the target set), best_target, and regret = best_target - target. All figures are means over seeds, as
        shares. A rule is left out where fewer than two arms have its figure.
    """
    rows = []
    for group in groups:
        arms = [arm for arm in group.arms if not is_control(study, arm)]
        there = {arm: _mean(group, arm, study.target, study.metric) for arm in arms}
        there = {arm: value for arm, value in there.items() if not math.isnan(value)}
        for rule in RULES:
            candidates = [arm for arm in there if not _learns_from_validation(study, arm)]
            values = {arm: _mean(group, arm, VALIDATION, figure_of(rule, study.metric)) for arm in candidates}
            values = {arm: value for arm, value in values.items() if not math.isnan(value)}
            if len(values) < 2:
                continue
            choice, best = max(values, key=lambda arm: values[arm]), max(there, key=lambda arm: there[arm])
            rows.append(
                {"dataset": group.dataset, "network": group.network, "rule": rule, "arm": choice}
                | {"value": values[choice], "target": there[choice], "best": best, "best_target": there[best]}
                | {"regret": there[best] - there[choice]}
            )
    columns = ["dataset", "network", "rule", "arm", "value", "target", "best", "best_target", "regret"]
    return pd.DataFrame(rows, columns=columns)


def selection(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Make a table of `selection_table` in words; no block where the study has no figures on validation."""
    del runs, styles
    table = selection_table(study, groups)
    if not len(table):
        return []
    titles = {(group.dataset, group.network): group.title for group in groups}
    lines = [
        {
            "data": titles[row["dataset"], row["network"]],
            "rule": row["rule"],
            "would choose": row["arm"],
            "at": points(row["value"]),
            f"{study.metric} on {study.target}": points(row["target"]),
            "best there": f"{row['best']}, {points(row['best_target'])}",
            "regret": points(row["regret"]),
        }
        for row in table.to_dict("records")
    ]
    caption = (
        f"Which arm each rule would choose by images like those of training alone: by {study.metric} on validation, by "
        "the accuracy of its worst class there, or by the region test, where it was measured. Means over seeds, in "
        "points of 100; controls are no candidates, nor is DFR, whose head learned from the validation images, and of "
        "equal arms the first is taken, the baseline if it is one of them. Regret: what the best arm on the target set "
        "has more there."
    )
    return [Table(caption, pd.DataFrame(lines), names=3)]


def _learns_from_validation(study: Study, arm: str) -> bool:
    posthoc = arm_changes(arm, guided=study.guided, own=study.arms).get("posthoc") or {}
    return bool(posthoc.get("name") == "dfr")


def _mean(group: Group, arm: str, test_set: str, figure: str) -> float:
    """Return the mean of a figure over the seeds of an arm; NaN where there are none."""
    return float(group.scores(arm, test_set, figure).mean())
