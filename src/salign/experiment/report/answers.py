"""The answers of several runs to the same test images, for comparisons that need more than a table of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from salign.errors import SalignError, one_of
from salign.evaluate.classification import accuracy, auroc, balanced_accuracy, one_vs_rest
from salign.evaluate.comparison import compare_images
from salign.evaluate.predictions import classes_of, probabilities_of
from salign.evaluate.ranking import Array
from salign.runs.folder import RunFolder

_OF_ANSWERS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}
"""Metric of a study -> the function that computes it from the class numbers answered."""


@dataclass(frozen=True)
class Answers:
    """The answers of `S` runs of one arm to `N` test images of `K` classes."""

    ids: tuple[str, ...]
    """Names of the `N` images, ascending."""
    classes: tuple[str, ...]
    """Names of the `K` classes, in the order of the class numbers."""
    labels: Array
    """`(N,)` numbers of the true classes."""
    probabilities: Array
    """`(S, N, K)` float32 in [0, 1]."""

    @property
    def truth(self) -> Array:
        """`(N,)`: probability of the true class, averaged over the runs."""
        return self.probabilities[:, np.arange(len(self.labels)), self.labels].mean(0)


def read_answers(runs: Sequence[str | Path], test_set: str) -> Answers:
    """Read the predictions of several runs for one set, one file at a time.

    Images whose label is none of the classes are left out.

    Args:
        runs: run folders.
        test_set: name of the set.

    Raises:
        SalignError: a file is missing or not valid, or has other images or labels than the first; or `runs` is empty.
    """
    tables: list[Array] = []
    first: tuple[list[str], list[str]] | None = None
    classes: tuple[str, ...] | None = None
    for folder in runs:
        run = RunFolder(Path(folder))
        table = run.read_predictions(test_set, classes).sort_values("id")
        classes = classes or classes_of(table)
        here = table["id"].tolist(), table["label"].tolist()
        first = first or here
        if here != first:
            raise SalignError(
                f"{run.predictions_file(test_set)} speaks of other images than the runs before it; were all trained on "
                "one set?"
            )
        tables.append(probabilities_of(table, classes).astype(np.float32))
    if first is None or classes is None:
        raise SalignError(f"expected runs to read the answers to {test_set} of; got none")
    numbers = {name: k for k, name in enumerate(classes)}
    labels = np.array([numbers.get(label, -1) for label in first[1]])
    labelled = labels >= 0
    ids = tuple(name for name, is_labelled in zip(first[0], labelled, strict=True) if is_labelled)
    return Answers(ids, classes, labels[labelled], np.stack(tables)[:, labelled])


def nested_interval(first: Answers, second: Answers, metric: str, *, resamples: int = 1000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a difference over seeds and test images together; see `compare_images`.

    Args:
        first: answers of one arm.
        second: answers of the other arm, with the same seeds in the same order and the same images.
        metric: `accuracy`, `balanced_accuracy` or `auroc` (for more than two classes, the mean over each class against
            the rest).
        resamples: number of resamples of the bootstrap.

    Returns:
        Lower and upper end of the interval of first - second.

    Raises:
        SalignError: the arms answered different images, or another metric is asked for.
    """
    if first.ids != second.ids:
        raise SalignError("two arms answered different images; were both tested on one set?")
    generator = np.random.default_rng(0)
    ours, theirs, labels = first.probabilities, second.probabilities, first.labels
    if metric in _OF_ANSWERS:
        ours, theirs = ours.argmax(2), theirs.argmax(2)
        return compare_images(ours, theirs, labels, _OF_ANSWERS[metric], generator=generator, resamples=resamples)
    one_of(metric, [*_OF_ANSWERS, "auroc"], "metric with an interval over images")
    if len(first.classes) == 2:
        return compare_images(ours[..., 1], theirs[..., 1], labels, auroc, generator=generator, resamples=resamples)
    statistic = partial(one_vs_rest, auroc)
    return compare_images(ours, theirs, labels, statistic, generator=generator, resamples=resamples)
