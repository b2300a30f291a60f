"""Figures for images that may have several labels, or none: each class is a yes or no of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.evaluate import classification
from salign.evaluate.confusion import RATES, about_rate, mean_defined, rates_by_class
from salign.evaluate.constant import constant_note
from salign.evaluate.figures import Line, by_part, figure_lines
from salign.evaluate.images import require
from salign.evaluate.predictions import named_in, probabilities_of, validate
from salign.evaluate.ranking import Array, Ranking, ratio


def evaluate_multi_label(
    table: pd.DataFrame,
    classes: Sequence[str],
    *,
    group_columns: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    generator: np.random.Generator,
    progress: bool = False,
) -> pd.DataFrame:
    """Compute every figure for every split and, within it, for every value of the group columns.

    The figures are:

    - `auroc[CLASS]` and `ap[CLASS]`, each class by its own probability
    - `auroc_macro` and `ap_macro`, their plain means over the classes that some images have and some have not
    - the `rates` of each class (`f1[CLASS]`), where a probability above one half is a yes, and their means over classes
      (`f1_macro`)
    - `accuracy`, the share of images that are answered right about every class (exact match)
    - `accuracy_macro`, the mean over classes of the share of images that are answered right about the class
    - `brier_macro`, the mean of `brier` over classes

    The intervals are those of a percentile bootstrap over images, which draws from all images alike. In a resample, the
    macro figures are means over the classes that have a value there.

    Args:
        table: predictions, see `salign.evaluate.predictions`; an empty label means none of the classes.
        classes: class names in the order of the logits.
        group_columns: free columns for whose values the figures are computed separately.
        resamples: number of bootstrap resamples; 0 for no intervals.
        confidence: level of the intervals, in (0, 1).
        generator: source of randomness.
        progress: whether to show a progress bar.

    Returns:
        A table as that of `evaluate_predictions`.

    Raises:
        SalignError: the table is empty or not valid, or `group_columns` names a column that is not there.
    """
    if not len(table):
        raise SalignError("no predictions to evaluate: the table is empty")
    validate(table, classes, multi_label=True)
    require(table, group_columns)
    labels, predicted = (named_in(table, column, classes) for column in ("label", "predicted"))
    probabilities = probabilities_of(table, classes)

    def lines_of(part: Array) -> list[Line]:
        return figure_lines(
            functools.partial(_values, labels[part], predicted[part], probabilities[part], classes),
            _about(labels[part], probabilities[part], classes),
            np.zeros(len(part)),
            resamples,
            confidence,
            generator,
        )

    return by_part(table, group_columns, lines_of, progress=progress)


def _values(
    labels: Array, predicted: Array, probabilities: Array, classes: Sequence[str], weights: Array
) -> dict[str, Array]:
    """Compute the `(R,)` values of each metric from `(N, K)` labels, answers and probabilities, and `(R, N)` counts."""
    rankings = [Ranking.of(probabilities[:, k], labels[:, k], weights) for k in range(len(classes))]
    areas = np.stack([classification.auroc_of(ranking) for ranking in rankings])
    precisions = np.stack([classification.average_precision_of(ranking) for ranking in rankings])
    right, squared = predicted == labels, (probabilities - labels) ** 2
    shares = np.stack([right.all(1), right.mean(1), squared.mean(1)])
    accuracy, accuracy_macro, brier_macro = ratio(weights @ shares.T, weights.sum(1)[:, None]).T
    return {
        "auroc_macro": mean_defined(areas),
        "ap_macro": mean_defined(precisions),
        "accuracy": accuracy,
        "accuracy_macro": accuracy_macro,
        "brier_macro": brier_macro,
        **{f"auroc[{name}]": area for name, area in zip(classes, areas, strict=True)},
        **{f"ap[{name}]": precision for name, precision in zip(classes, precisions, strict=True)},
        **rates_by_class(predicted, labels, tuple(classes), weights),
    }


def _about(labels: Array, probabilities: Array, classes: Sequence[str]) -> Callable[[str], tuple[int, list[str]]]:
    """Return a function: metric -> the number of images it is about, and its notes; a reason for NaN comes first."""
    images, having = len(labels), dict(zip(classes, labels.sum(0).tolist(), strict=True))
    one_kind = [name for name, count in having.items() if count in (0, images)]
    alike = constant_note(probabilities, labels, classes, multi_label=True)

    def about(metric: str) -> tuple[int, list[str]]:
        kind, _, name = metric.partition("[")
        if name:
            name = name[:-1]
            count = having[name]
            if kind in RATES:
                called = int((probabilities[:, classes.index(name)] > 0.5).sum())
                return about_rate(kind, name, count, called, images)
            lacking = "with" if count == 0 else "without"
            return images, [f"no image {lacking} {name}" if name in one_kind else f"{count} images with {name}"]
        if kind in ("auroc_macro", "ap_macro") and one_kind:
            return images, [f"mean over the classes of both kinds of images; not {', '.join(one_kind)}"]
        return images, [alike] if alike and kind in ("accuracy", "accuracy_macro") else []

    return about
