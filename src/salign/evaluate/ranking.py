"""One sort of the scores that every ranking figure reuses, for the images as they are and for all bootstrap resamples.

A resample is a row of counts: how many times each image was drawn. All figures of this package take these counts as
`weights (R, N)` and then return `(R,)` values. Without weights every image counts once, and they return one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from salign.checks import numbers
from salign.errors import SalignError

Array = NDArray[Any]
ROUNDING = 1e-6
"""How far a probability may be above 1, which happens where it is a sum of rounded probabilities."""


def finite(values: ArrayLike, what: str) -> Array:
    """Return `values` as a float64 array.

    Raises:
        SalignError: a value is not a number, or is NaN or infinite. For the latter two, the message names the first row
            (counted from 0).
    """
    array = numbers(what, values)
    wrong = ~np.isfinite(array)
    if wrong.any():
        first = np.argwhere(wrong)[0]
        raise SalignError(
            f"{what} of image {first[0]} (counted from 0) is {array[tuple(first)]}, and {int(wrong.sum())} value(s) are"
            " not finite in all; expected finite numbers. Find out why the model gave them before evaluating."
        )
    return array


def yes_or_no(values: ArrayLike, what: str) -> Array:
    """Return `values` as bool: which images are of the kind that is looked for.

    Raises:
        SalignError: the values are neither bools nor zeros and ones, but class numbers or names, for instance.
    """
    array = np.asarray(values)
    if array.dtype != np.bool_ and not (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all()):
        came = np.unique(array.astype(str))[:5].tolist()
        raise SalignError(f"{what}: expected True and False, or ones and zeros, got {came}; say `labels == positive`.")
    return array.astype(bool)


def class_numbers(values: ArrayLike, what: str, images: int | None = None, classes: int | None = None) -> Array:
    """Return `values` as `(N,)` whole numbers.

    Args:
        values: class numbers.
        what: name of the values, for the message.
        images: N; None = any.
        classes: number of classes; the values must lie in [0, classes). None = any values.

    Raises:
        SalignError: the values are something else, such as names, probabilities or a table, or out of range.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iub" or (images is not None and len(array) != images):
        shape = f"({'N' if images is None else images},)"
        raise SalignError(f"{what}: expected {shape} class numbers, got {array.dtype} {array.shape}.")
    if classes is not None and len(array) and not 0 <= array.min() <= array.max() < classes:
        raise SalignError(
            f"{what}: expected class numbers from 0 to {classes - 1}, got {array.min()} to {array.max()}."
        )
    return array


def probabilities_in(values: ArrayLike, dims: int) -> Array:
    """Return `values` as float64 probabilities in [0, 1], of one dimension `(N,)` or two `(N, K)`.

    Raises:
        SalignError: the values are something else, such as logits.
    """
    array = finite(values, "probability")
    if array.ndim != dims or not (array.min(initial=0) >= 0 and array.max(initial=1) <= 1 + ROUNDING):
        raise SalignError(
            f"probabilities: expected {'(N,)' if dims == 1 else '(N, K)'} from 0 to 1, got {array.shape} from "
            f"{array.min(initial=np.inf):g} to {array.max(initial=-np.inf):g}; the softmax of the logits gives them."
        )
    return array


def counts(weights: ArrayLike | None, images: int) -> Array:
    """Return `weights` as `(R, N)` float64 counts, or `(1, N)` ones if `weights` is None.

    Raises:
        SalignError: `weights` is not `(R, N)` with `N = images`, or a count is negative or not a number.
    """
    if weights is None:
        return np.ones((1, images))
    array = numbers("weights", weights)
    if array.ndim != 2 or array.shape[1] != images:
        raise SalignError(f"weights must be (resamples, {images}), one count per image; got shape {array.shape}")
    if not array.min(initial=0) >= 0:
        raise SalignError(f"weights must be counts of 0 or more; got {array.min()}")
    return array


def match_weights(values: Array, weights: ArrayLike | None) -> Array:
    """Return the `(R,)` values if weights were given, otherwise the single number in `values`."""
    return values if weights is not None else values[0]


def ratio(part: Array, whole: Array) -> Array:
    """Return `part / whole`, with NaN where `whole` is 0, because a share of no images has no value."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


@dataclass(frozen=True)
class Ranking:
    """The numbers of positive and negative images at each distinct score.

    An image is called positive at threshold t if its score is >= t. The candidates for t are the `G` distinct scores
    and one value above all of them.
    """

    scores: Array
    """`(G,)` distinct scores, ascending."""
    positives: Array
    """`(R, G)` numbers of positive images with exactly that score."""
    negatives: Array
    """`(R, G)` numbers of negative images with exactly that score."""

    @classmethod
    def of(cls, scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Ranking:
        """Sort the scores, and count the positive and negative images at each distinct score.

        Args:
            scores: `(N,)` finite, higher = more positive; any scale.
            positive: `(N,)` bool.
            weights: `(R, N)` counts, or None.

        Raises:
            SalignError: a score is not finite, the lengths differ, or `positive` holds other values than yes and no.
        """
        values, truth = finite(scores, "score"), yes_or_no(positive, "positive")
        if values.ndim != 1 or truth.shape != values.shape:
            raise SalignError(f"expected (N,) scores and (N,) labels; got {values.shape} and {truth.shape}")
        times = counts(weights, len(values))
        distinct, group = np.unique(values, return_inverse=True)
        parts = []
        for kind in (truth, ~truth):
            members = np.flatnonzero(kind)
            members = members[np.argsort(group[members], kind="stable")]
            at_score = np.zeros((len(times), len(distinct)))
            if len(members):
                present, starts = np.unique(group[members], return_index=True)
                picked = times[:, members]
                at_score[:, present] = (
                    picked if len(present) == len(members) else np.add.reduceat(picked, starts, axis=1)
                )
            parts.append(at_score)
        return cls(distinct, parts[0], parts[1])

    @cached_property
    def missed(self) -> Array:
        """`(R, G + 1)` numbers of positive images below each candidate threshold; the last is above all scores."""
        return _exclusive_sum(self.positives)

    @cached_property
    def passed(self) -> Array:
        """`(R, G + 1)` numbers of negative images below each candidate threshold; the last is above all scores."""
        return _exclusive_sum(self.negatives)

    def threshold(self, candidate: int) -> float:
        """Return a number that splits the scores as candidate `0..G` does, half way to the next lower score.

        It lies half way, so that rounding a stored score does not move an image across, and two well separated kinds
        are split in the middle of the gap. Candidate 0 has no lower score and is the lowest score itself; candidate `G`
        is the next number above the highest score.
        """
        if candidate == 0:
            return float(self.scores[0])
        if candidate == len(self.scores):
            return float(np.nextafter(self.scores[-1], np.inf))
        low, high = self.scores[candidate - 1], self.scores[candidate]
        middle = low + (high - low) / 2
        return float(middle if middle > low else high)


def _exclusive_sum(at_score: Array) -> Array:
    total = np.zeros((at_score.shape[0], at_score.shape[1] + 1))
    np.cumsum(at_score, axis=1, out=total[:, 1:])
    return total
