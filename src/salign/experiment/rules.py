"""Rules of selection: each chooses the best of several trained models without using any image of the target set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import pandas as pd

from salign.data.manifest import Manifest
from salign.errors import SalignError, one_of
from salign.evaluate.figures import TEXT
from salign.evaluate.tables import read_figures
from salign.experiment.store import SD, FoundInCell
from salign.runs.folder import RunFolder
from salign.train.recipe import DataRecipe

Rule = Literal["validation", "worst", "region"]
Metric = Literal["auroc", "accuracy"]
AUTO: Literal["auto"] = "auto"
"""This value of `--select` takes the rule `region` where surroundings decide the answers of plain cross-entropy, else
that of `usual_rule`."""
VALIDATION = "val"
"""The set whose figures the rules use."""
RULES: dict[Rule, str] = {
    "validation": "the metric on the validation images as they are, which look like the training images",
    "worst": "the accuracy of the worst class of the validation images, or of the worst class within a group",
    "region": "the metric on validation images whose surroundings are exchanged for those of another one, of another "
    "class where possible: the region test, which needs people's maps on validation images",
}
"""Rule -> the meaning of its figure, in words."""
_WORST = "worst_class_accuracy"


def figure_of(rule: Rule, metric: str) -> str:
    """Return the name of the metric of the validation set that a rule uses, as `cell.json` has it.

    For `balanced_accuracy` the region test uses accuracy, because reliance does not measure balanced accuracy.
    """
    region_metric = "accuracy" if metric == "balanced_accuracy" else metric
    return {"validation": metric, "worst": _WORST, "region": f"reliance/inside/other/{region_metric}"}[rule]


def rule_figures(
    run: RunFolder, cell: FoundInCell | None, metric: Metric, groups: Sequence[str] = ()
) -> dict[Rule, float]:
    """Return the figure of every rule for a cell of a study, or a trial; NaN where it is not known.

    Args:
        run: the run folder of the cell.
        cell: the figures of the cell, from `read_cell`.
        metric: the metric of the rules `validation` and `region`.
        groups: columns of the manifest whose groups the rule `worst` uses; if there are none, it uses the classes.
    """
    known = cell.figures.get(VALIDATION, {}) if cell else {}
    figures = {rule: known.get(figure_of(rule, metric), float("nan")) for rule in RULES}
    if cell and groups:
        rows = read_figures(run.evaluation, TEXT)
        of_groups = rows[(rows["split"] == VALIDATION) & rows["group_column"].isin(list(groups))]
        by_group = of_groups.pivot(index=["group_column", "group"], columns="metric", values="value")
        worst, of_one_class = (by_group.get(metric, pd.Series(dtype=float)) for metric in (_WORST, "accuracy"))
        figures["worst"] = float(worst.fillna(of_one_class).min())  # a group may hold a single class
    return figures


def region_spread(cell: FoundInCell, metric: Metric) -> float:
    """Return the standard deviation of the region test over draws of the surroundings; 0 where they were drawn once."""
    return cell.figures.get(VALIDATION, {}).get(f"{figure_of('region', metric)}/{SD}", 0.0)


def surroundings_decide(region: float) -> bool:
    """Whether a model's answers follow the surroundings of the marked region at least as much as the region.

    Each image of the region test shows the region of one class in surroundings that are, where possible, those of
    another class. A model that uses both equally is at chance there (AUROC 0.5), and a model that follows the
    surroundings is below chance.

    Args:
        region: AUROC in the region test, in [0, 1].
    """
    return region <= 0.5


def usual_rule(groups: Sequence[str]) -> Rule:
    """Return the rule to use where the region test does not decide: `worst` if there are groups, else `validation`.

    Without groups, `worst` is the accuracy of the worst class. It is not used then, because it rests on few images and
    on one threshold.

    Args:
        groups: columns of the manifest that make groups.
    """
    return "worst" if groups else "validation"


def choose_rule(name: str, judged: Sequence[str], groups: Sequence[str]) -> Rule | Literal["auto"]:
    """Return the rule that was asked for; `auto` becomes `usual_rule` where the region test cannot be made.

    Args:
        name: the name of a rule, or `auto`.
        judged: the classes of validation images that the region test can tell apart; see `judged_classes`.
        groups: columns of the manifest that make groups.

    Raises:
        SalignError: there is no such rule, or `region` was asked for and `judged` has fewer than two classes.
    """
    if name == AUTO:
        return AUTO if len(judged) > 1 else usual_rule(groups)
    one_of(name, (AUTO, *RULES), "--select")
    if name == "region" and len(judged) < 2:
        raise SalignError(
            "--select region exchanges the surroundings of what people marked on validation images, and tells classes "
            f"apart by it. Something is marked on images of {' and '.join(judged) or 'no class'} alone. Mark "
            "validation images of two classes (salign annotate; one will do where there are two), or take --select "
            "auto."
        )
    return cast(Rule, name)


def judged_classes(manifest: Manifest, data: DataRecipe) -> list[str]:
    """Return the classes of validation images that the region test can tell apart, at most two of them.

    The test needs two classes with marks. One class with marks is enough if the model has two classes, because the
    images of the other class borrow its regions.

    Args:
        manifest: the manifest of the recipe, as read.
        data: the section of the recipe that says which rows are for validation.

    Raises:
        SalignError: a map cannot be read, or there is no such split or class.
    """
    from salign.data.reading.marked import borrowing_classes, marked_classes  # imports torch

    rows = manifest.select(data.val, data.classes).of_people()
    marked = marked_classes(rows) if data.annotated_val != 0 else []
    borrowing = borrowing_classes(marked, data.classes or manifest.select(data.train).classes)
    return [*marked, *(name for name in borrowing if name in rows.classes)]


def training_maps(manifest: Manifest, data: DataRecipe) -> int:
    """Count the training images of a recipe's manifest that have a map; 0 where `data.annotated` is 0.

    Raises:
        SalignError: there is no such split, class or column.
    """
    rows = manifest.select(data.train, data.classes).with_maps(data.map_column)
    return 0 if data.annotated == 0 else int(rows.table["saliency"].notna().sum())
