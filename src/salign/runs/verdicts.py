"""Reasons not to take the figures of a finished run at face value, gathered from its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from salign.data.checks.map_similarity import ALIKE, sample_mapped, shuffled_correlation
from salign.errors import SalignError
from salign.evaluate import verdicts
from salign.evaluate.names import name_of
from salign.evaluate.predictions import named_in, probabilities_of
from salign.evaluate.tables import read_figures
from salign.evaluate.verdicts import Verdict
from salign.readers import read_csv
from salign.runs.compare import ANALYSIS
from salign.runs.run import Run
from salign.train.guidance import guided_by
from salign.train.recipe import ClassifyRecipe

MOST_MAPS = 100
"""The largest number of training maps that are correlated with each other; they are evenly spread over all maps."""


def run_verdicts(run: Run, sets: Sequence[str] | None = None) -> list[Verdict]:
    """Return all doubts about a finished run of a classifier, those about its training first; empty for other runs.

    Args:
        run: its files of figures, predictions and analysis are read.
        sets: the sets whose answers are judged; None = all sets that the run predicted.

    Raises:
        SalignError: the predictions of a set are missing or damaged.
    """
    if not isinstance(run.recipe, ClassifyRecipe):
        return []
    if run.recipe.posthoc is not None and run.recipe.posthoc.name == "dfr":
        learned = [verdicts.learned_from("val")] if sets is None or "val" in sets else []
    else:
        learned = training_verdicts(run)
    by_set = [verdict for name in run.sets if sets is None or name in sets for verdict in _set_verdicts(run, name)]
    return [*learned, *by_set, *_map_verdicts(run)]


def training_verdicts(run: Run) -> list[Verdict]:
    """Return doubts about a run's training, from the metrics of every epoch; empty if these are gone."""
    if not run.metrics.exists() or not isinstance(run.recipe, ClassifyRecipe):
        return []
    metrics, select = read_csv(run.metrics), str(run.recipe.train.select)
    scores = metrics.get(f"val/{select}")
    never = None
    if not run.multi_label:
        never = verdicts.never_better(metrics["val/accuracy"], labelled(run, "val")[0], run.classes)
    easy = None if scores is None else verdicts.easy_validation(scores, name_of(select))
    return _not_none([never, verdicts.not_converged(metrics["train/loss"], scores), easy])


def _set_verdicts(run: Run, name: str) -> list[Verdict]:
    table = run.predictions(name)
    labels, probabilities = named_in(table, "label", run.classes), probabilities_of(table, run.classes)
    alike = verdicts.one_answer(name, probabilities, labels, run.classes, multi_label=run.multi_label)
    few = None if run.multi_label else verdicts.few_images(name, labelled(run, name)[0], run.classes)
    idle = verdicts.idle_region_test(name, alike) if _relied(run, name) else None
    return _not_none([alike, few, _chance(run, name), idle])


def _chance(run: Run, name: str) -> Verdict | None:
    if not run.evaluation.exists():
        return None
    figures = run.figures()
    here = figures[(figures["split"] == name) & (figures["group_column"] == "")].set_index("metric")
    area = next((metric for metric in ("auroc", "auroc_macro") if metric in here.index), None)
    if area is None:
        return None
    figure = here[here.index == area].iloc[0]
    return verdicts.at_chance(name, name_of(area), figure.value, figure.low, figure.high, int(figure.n))


def _relied(run: Run, name: str) -> bool:
    """Return whether the region test was run on this set."""
    path = run.path / ANALYSIS / "reliance.csv"
    return path.exists() and name in set(read_figures(path, ("set",))["set"])


def _map_verdicts(run: Run) -> list[Verdict]:
    """Return doubts about the run's training maps.

    It is empty if no map guides the training, if a machine drew maps (`data.drawn`), or if the manifest is gone.
    """
    recipe = run.recipe
    assert isinstance(recipe, ClassifyRecipe)
    if not guided_by(recipe) or recipe.data.drawn is not None:
        return []
    try:
        rows = run.training_rows
        mapped = int(rows.table["saliency"].notna().sum())
        alike = shuffled_correlation(sample_mapped(rows, MOST_MAPS)) if mapped > 1 else float("nan")
    except (SalignError, OSError):
        return []
    few = verdicts.too_few_maps(mapped, len(rows), recipe.loss.name)
    return _not_none([few, verdicts.alike_maps(alike, ALIKE)])


def labelled(run: Run, name: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the class numbers `(N,)` of the labelled images of a set, and their predictions."""
    numbers = {label: k for k, label in enumerate(run.classes)}
    table = run.predictions(name)
    known = table[table["label"].isin(numbers)]
    return known["label"].map(numbers).to_numpy(dtype=np.int64), known


def _not_none(every: Iterable[Verdict | None]) -> list[Verdict]:
    return [verdict for verdict in every if verdict is not None]
