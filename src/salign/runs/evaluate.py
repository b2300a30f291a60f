"""Predictions and figures of a run, written into its folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.evaluate import choose_threshold, evaluate_multi_label, evaluate_predictions
from salign.evaluate.forgetting import evaluate_forgetting
from salign.files import check_output, replace_csv
from salign.models import Model, Threshold
from salign.models.config import keep_threshold
from salign.runs.predict import predict_batches
from salign.runs.run import Run
from salign.train.history import HISTORY, correct_answers, history_ids


def predict_sets(run: Run, classifier: Model, *, progress: bool = False) -> dict[str, int]:
    """Predict the validation and test images, write the tables to `predictions/`, and return the rows of each set.

    Args:
        run: the run whose sets are predicted.
        classifier: its network, on the device to use.
        progress: show progress bars.
    """
    rows = {}
    for name in run.sets:
        title = f"predicting {name}" if progress else None
        chunks = predict_batches(classifier, run.data(name), workers=run.recipe.data.workers, progress=title)
        table = pd.concat(list(chunks)).assign(split=name)
        run.write_predictions(name, table)
        rows[name] = len(table)
    return rows


def evaluate_run(
    run: Run,
    *,
    rule: str = "eer",
    species: str | None = None,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Compute every figure from the saved predictions and write `evaluation.csv`.

    With two classes, `rule` chooses the threshold on the validation images; test images never choose anything. The
    threshold is stored with the model, see `salign.models.Threshold`. Where images may have several labels there is no
    such threshold: a class is predicted if its probability is above one half. If the run has a history, the table also
    says how much of the validation images the run has forgotten.

    Args:
        run: the run whose `predictions/` are read.
        rule: see `salign.evaluate.choose_threshold`.
        species: column with the kind of attack; None = the recipe's.
        groups: columns of the manifest; figures are also reported for each of their values; None = the recipe's.
        resamples: number of resamples of the bootstrap.
        confidence: level of the intervals, in (0, 1).
        seed: seed of the bootstrap.
        progress: show a progress bar.

    Returns:
        The table that was written.

    Raises:
        SalignError: images may have several labels, and a rule or a kind of attack is given.
    """
    check_output(run.evaluation)
    data, classes, several = run.recipe.data, run.classes, run.multi_label
    species = species or data.species
    groups = data.groups if groups is None else groups
    if several and (species or rule != "eer"):
        raise SalignError(
            f"{run.path}: images may have several labels (data.multi_label), so that there is no positive class: leave "
            "threshold and species out."
        )
    positive = run.positive
    tables = {name: run.predictions(name) for name in run.sets}
    chosen = None
    if positive is not None:
        probability = choose_threshold(tables["val"], classes, positive, rule, species_column=species)
        chosen = Threshold(positive=positive, probability=probability, rule=rule)
    figures_of: Callable[..., pd.DataFrame] = evaluate_multi_label
    if not several:
        figures_of = functools.partial(
            evaluate_predictions,
            positive=positive,
            threshold=chosen.probability if chosen else None,
            species_column=species,
        )
    parts = [
        figures_of(
            table,
            classes,
            group_columns=groups,
            resamples=resamples,
            confidence=confidence,
            generator=np.random.default_rng(seed),
            progress=progress,
        )
        for table in tables.values()
    ]
    rows = _rows_of_history(run, tables["val"])
    if rows is not None:
        forgotten = evaluate_forgetting(
            tables["val"],
            correct_answers(run.path, multi_label=several).numpy()[:, rows],
            group_columns=groups,
            resamples=resamples,
            confidence=confidence,
            generator=np.random.default_rng(seed),
        )
        parts.append(forgotten)
    figures = pd.concat(parts, ignore_index=True)
    replace_csv(run.evaluation, figures)
    if chosen is not None:
        keep_threshold(run.path, chosen)
    return figures


def _rows_of_history(run: Run, predictions: pd.DataFrame) -> np.ndarray | None:
    """Return the position of each predicted validation image in the run's history, `(N,)`.

    It is None if the run has no history, or if the history lacks one of the images.
    """
    if not (run.path / HISTORY).exists():
        return None
    rows = pd.Index(history_ids(run.path)).get_indexer(pd.Index(predictions["id"].astype(str)))
    return rows if (rows >= 0).all() else None
