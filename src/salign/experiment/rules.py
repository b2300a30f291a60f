"""Rules of selection: figures by which the best of several trained models is chosen without an image of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from salign.data.manifest import Manifest
from salign.errors import SalignError, one_of
from salign.evaluate.figures import TEXT
from salign.evaluate.tables import read_figures
from salign.experiment.store import read_cell
from salign.runs.folder import RunFolder
from salign.train.recipe import DataRecipe

Rule = Literal["validation", "worst", "region"]
Metric = Literal["auroc", "accuracy"]
LEAST_MAPS = 2
"""The region test lends an image the surroundings of another one."""
VALIDATION = "val"
"""The set whose figures the rules look at."""
RULES: dict[Rule, str] = {
    "validation": "the metric on the validation images as they are, which look like the training images",
    "worst": "the accuracy of the worst class of the validation images, or of the worst class within a group",
    "region": "the metric on validation images whose surroundings are exchanged for those of another one, of another "
    "class where possible: the region test, which needs people's maps on validation images",
}
"""Rule -> what its figure is."""
_WORST = "worst_class_accuracy"


def figure_of(rule: Rule, metric: str) -> str:
    """The figure of the validation set that a cell of a study notes and a rule looks at.

    The region test of `balanced_accuracy` is that of accuracy, as reliance measures it.
    """
    region_metric = "accuracy" if metric == "balanced_accuracy" else metric
    return {"validation": metric, "worst": _WORST, "region": f"reliance/inside/other/{region_metric}"}[rule]


def rule_figures(run: RunFolder, metric: Metric, groups: Sequence[str] = ()) -> dict[Rule, float]:
    """The figure of every rule for a finished cell of a study, or a trial; NaN where a rule has nothing to go by.

    Args:
        run: the folder of a cell.
        metric: the rules `validation` and `region` take it.
        groups: columns of the manifest whose groups the rule `worst` looks at; none = the classes alone.
    """
    cell = read_cell(run)
    known = cell.figures.get(VALIDATION, {}) if cell else {}
    figures = {rule: known.get(figure_of(rule, metric), float("nan")) for rule in RULES}
    if cell and groups:
        rows = read_figures(run.evaluation, TEXT)
        of_group = (rows["split"] == VALIDATION) & (rows["metric"] == _WORST) & rows["group_column"].isin(list(groups))
        figures["worst"] = float(rows.loc[of_group, "value"].min())
    return figures


def choose_rule(name: str | None, maps: int) -> Rule:
    """The rule that was asked for; without one `region` where validation images have maps, else `worst`.

    Args:
        name: what was asked for.
        maps: how many validation images have a map of people.

    Raises:
        SalignError: there is no such rule, or no validation image has a map, which the region test needs.
    """
    if name is None:
        return "region" if maps >= LEAST_MAPS else "worst"
    one_of(name, RULES, "--select")
    if name == "region" and maps < LEAST_MAPS:
        raise SalignError(
            f"--select region exchanges the surroundings of validation images that have people's maps, and {maps} have "
            f"one; it takes at least {LEAST_MAPS}. Mark validation images (salign annotate), or take --select worst."
        )
    return cast(Rule, name)


def maps_of_people(data: DataRecipe) -> tuple[int, int]:
    """How many training images have a map, and how many validation images one of people.

    Raises:
        SalignError: the manifest can not be read, or has no such split, class or column.
    """
    manifest = Manifest.read(data.manifest, data.root, multi_label=data.multi_label)
    train = manifest.select(data.train, data.classes).with_maps(data.map_column)
    val = manifest.select(data.val, data.classes).of_people()
    known = 0 if data.annotated_val == 0 else int(val.table["saliency"].notna().sum())
    return 0 if data.annotated == 0 else int(train.table["saliency"].notna().sum()), known
