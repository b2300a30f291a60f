"""Rules of selection: figures by which the best of several trained models is chosen without an image of the target."""

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
"""`region` where surroundings decide the answers of plain cross-entropy, else what `usual_rule` gives."""
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


def rule_figures(
    run: RunFolder, cell: FoundInCell | None, metric: Metric, groups: Sequence[str] = ()
) -> dict[Rule, float]:
    """The figure of every rule for a finished cell of a study, or a trial; NaN where a rule has nothing to go by.

    Args:
        run: the folder of a cell.
        cell: what `read_cell` gives for it.
        metric: the rules `validation` and `region` take it.
        groups: columns of the manifest whose groups the rule `worst` looks at; none = the classes alone.
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
    """Standard deviation of the region test over draws of the surroundings; 0 where they were drawn once."""
    return cell.figures.get(VALIDATION, {}).get(f"{figure_of('region', metric)}/{SD}", 0.0)


def surroundings_decide(region: float) -> bool:
    """Whether a model's answers follow what people did not mark rather than what they did.

    Each image of the region test has the region of one class and, where possible, the surroundings of another one. A
    model that goes by both alike is at chance there, and one that goes by the surroundings is below.

    Args:
        region: AUROC in the region test, in [0, 1].
    """
    return region <= 0.5


def usual_rule(groups: Sequence[str]) -> Rule:
    """The rule where the region test has nothing to say: the worst group where there are groups, else `validation`.

    The accuracy of the worst class alone counts few images, and by one threshold.

    Args:
        groups: columns of the manifest that make groups.
    """
    return "worst" if groups else "validation"


def choose_rule(name: str, judged: Sequence[str], groups: Sequence[str]) -> Rule | Literal["auto"]:
    """The rule that was asked for; `auto` is `usual_rule` where the region test cannot tell classes apart.

    Args:
        name: what was asked for: a rule, or `auto`.
        judged: the classes of validation images that the region test tells apart; see `judged_classes`.
        groups: columns of the manifest that make groups.

    Raises:
        SalignError: there is no such rule, or the region test has fewer than two classes to tell apart.
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
    """The classes of validation images that the region test can tell apart: two at most are named.

    Two have marks; or one has, and the model has two classes: the images of the other borrow its regions.

    Args:
        manifest: the recipe's own, as read.
        data: which of its rows are for validation.

    Raises:
        SalignError: a map cannot be read, or there is no such split or class.
    """
    from salign.data.reading.marked import borrowing_classes, marked_classes  # imports torch

    rows = manifest.select(data.val, data.classes).of_people()
    marked = marked_classes(rows) if data.annotated_val != 0 else []
    borrowing = borrowing_classes(marked, data.classes or manifest.select(data.train).classes)
    return [*marked, *(name for name in borrowing if name in rows.classes)]


def training_maps(manifest: Manifest, data: DataRecipe) -> int:
    """How many training images of the recipe's manifest have a map.

    Raises:
        SalignError: there is no such split, class or column.
    """
    rows = manifest.select(data.train, data.classes).with_maps(data.map_column)
    return 0 if data.annotated == 0 else int(rows.table["saliency"].notna().sum())
