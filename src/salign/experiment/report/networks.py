"""A table of the cost of the networks beside their figures, where the arms of a study have different networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from salign.errors import SalignError
from salign.experiment.report.groups import Group
from salign.experiment.report.tables import NOTHING, mean_in_words, set_roles
from salign.experiment.study import Study
from salign.models import Cost, count_cost
from salign.pages.plots import Styles
from salign.pages.sheet import Block, Table
from salign.runs.run import Run


def network_costs(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Make a table for each group whose arms have different networks.

    A row has the size and operations of the arm's run with the lowest seed, and the metric on the target and reference
    sets.
    """
    tables: list[Block] = []
    for group in groups:
        first = _first(group, runs)
        if len({network for _, network in first.values()}) > 1:
            tables.append(_table(study, group, first))
    return tables


def _first(group: Group, runs: pd.DataFrame) -> dict[str, tuple[Run, str]]:
    """Return arm -> its run with the lowest seed, and a text that is equal for arms with the same network."""
    first = {}
    for arm in group.arms:
        if paths := group.paths(runs, arm):
            run = Run(Path(paths[min(paths)]))
            recipe = run.recipe
            posthoc = getattr(recipe, "posthoc", None)
            members = arm if posthoc is not None and posthoc.name == "fuse" else ""  # each run fuses epochs of its own
            model = recipe.model
            first[arm] = run, f"{model.backbone} {model.args} {model.output_stride} {recipe.data.image_size} {members}"
    return first


def _table(study: Study, group: Group, first: dict[str, tuple[Run, str]]) -> Table:
    costs: dict[str, Cost | None] = {}
    for run, network in first.values():
        if network not in costs:
            costs[network] = _cost(run)
    rows = []
    for arm, (run, network) in first.items():
        row = {"arm": arm, "network": run.recipe.model.backbone}
        for _, test_set in set_roles(study):
            scores = group.scores(arm, test_set, study.metric)
            row[f"{study.metric}, {test_set}"] = mean_in_words(scores.mean(), scores.std(ddof=1))
        cost = costs[network]
        row["parameters"] = f"{cost.parameters:,}" if cost else NOTHING
        row["size of the weights, MB"] = f"{cost.bytes / 1e6:.3g}" if cost else NOTHING
        row["multiply-adds, millions"] = f"{cost.multiply_adds / 1e6:,.4g}" if cost else NOTHING
        row["of one bit, millions"] = f"{cost.binary_operations / 1e6:,.4g}" if cost else NOTHING
        rows.append(row)
    frame = pd.DataFrame(rows)
    if not any(cost and cost.binary_operations for cost in costs.values()):
        frame = frame.drop(columns="of one bit, millions")
    caption = (
        f"{group.title}: what the answer to one image costs, and what it is worth (mean ± standard deviation over "
        "seeds). A weight of one bit takes one bit on disk, every other one 32; the members of a fused run count "
        "together."
    )
    return Table(caption, frame, names=2)


def _cost(run: Run) -> Cost | None:
    """Count the size and operations of a run's network; None where its weights are not there any more."""
    try:
        return count_cost(run.model())
    except (SalignError, OSError):
        return None
