"""Recognise a classifier that gives the same answer to every image.

Nothing can change the answers of such a classifier, so answers that stay or agree are not to its credit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from salign.errors import SalignError
from salign.evaluate.ranking import finite

TINY = 0.01
"""If the probabilities of each class differ by less than this over all images, they tell no images apart."""


class Constant(NamedTuple):
    """The one answer that a classifier gives to all images of a set."""

    answer: tuple[int, ...]
    """The class numbers that every image gets: one, or any number of them where images may have several labels."""
    images: int
    spread: float
    """Largest minus smallest probability over the images, for the class where this difference is largest."""

    @property
    def blind(self) -> bool:
        """Whether the probabilities tell no images apart either, see `TINY`.

        If this is False, a threshold may still separate the images.
        """
        return self.spread < TINY

    def describe(self, classes: Sequence[str]) -> str:
        """Put it in words: `all 40 images are called cat, with probabilities that differ by at most 0.0012`."""
        names = ", ".join(classes[k] for k in self.answer) or "none of the classes"
        return (
            f"all {self.images} images are called {names}, with probabilities that differ by at most {self.spread:.2g}"
        )

    def warning(self, classes: Sequence[str]) -> str:
        """Return the sentence of `describe`, and what must not be concluded from these answers."""
        verdict = "tells no images apart" if self.blind else "may tell images apart by a threshold only"
        return (
            f"{self.describe(classes)}: the classifier {verdict}, and neither its accuracy nor answers that stay or "
            "agree speak for it"
        )


def constant_note(
    probabilities: ArrayLike, labels: ArrayLike | None, classes: Sequence[str], *, multi_label: bool = False
) -> str:
    """Return a warning about a classifier that answers alike to everything; empty if `constant_answer` finds none."""
    constant = constant_answer(probabilities, labels, multi_label=multi_label)
    return constant.warning(classes) if constant else ""


def constant_answer(
    probabilities: ArrayLike, labels: ArrayLike | None = None, *, multi_label: bool = False
) -> Constant | None:
    """Recognise a classifier that gives the same answer to every image.

    The answer is the class of the highest probability; where images may have several labels, it is the set of all
    classes above one half. Such a classifier has an accuracy, a share of answers that a changed background flips, and a
    share of answers that two runs have in common, but none of these figures says what it has learned.

    Args:
        probabilities: `(N, K)`, of the images of one set.
        labels: `(N,)` class numbers, or `(N, K)` zeros and ones, if they are known. If every image has exactly the
            label that it gets, the same answer for all images is no sign of a fault.
        multi_label: whether each class is a yes or no of its own.

    Returns:
        None if two images get different answers, if there are fewer than two images, or if all images have the label
        that they get.

    Raises:
        SalignError: the probabilities are not `(N, K)` or not finite, or the labels have another length.
    """
    table = finite(probabilities, "probability")
    if table.ndim != 2 or (labels is not None and len(np.atleast_1d(labels)) != len(table)):
        raise SalignError(
            f"expected (N, K) probabilities and N labels; got {table.shape} and "
            f"{'none' if labels is None else np.shape(labels)}"
        )
    if len(table) < 2:
        return None
    classes = np.arange(table.shape[1])
    answers = table > 0.5 if multi_label else table.argmax(1)[:, None] == classes
    if (answers != answers[0]).any():
        return None
    if labels is not None:
        truth = np.asarray(labels)
        if np.array_equal(truth.astype(bool) if truth.ndim == 2 else truth[:, None] == classes, answers):
            return None
    return Constant(tuple(np.flatnonzero(answers[0]).tolist()), len(table), float(np.ptp(table, axis=0).max()))
