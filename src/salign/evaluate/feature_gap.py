"""How far the features of test images lie outside the range of the features that a classifier was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import numbers
from salign.errors import SalignError
from salign.evaluate.ranking import Array, class_numbers


def feature_gap(
    train: ArrayLike, train_labels: ArrayLike, test: ArrayLike, test_labels: ArrayLike, classes: int
) -> Array:
    """Compute the generalization gap of each class (EOS, arXiv 2207.06080).

    The gap is how far the features of the test images reach beyond their range in the training images. For each
    feature, it adds the distance of the largest test value above the largest training value and the distance of the
    smallest test value below the smallest training value; a distance is 0 if the test value lies inside the range. The
    gap of a class is the sum over features. It grows with the number of test images, so compare only gaps of the same
    test images.

    Args:
        train: `(N, C)` features of the images that the head learned from.
        train_labels: `(N,)` class numbers.
        test: `(M, C)` features of other images.
        test_labels: `(M,)` class numbers.
        classes: K.

    Returns:
        `(K,)` in units of the features, 0 or more; NaN for a class that is missing in training or in test.

    Raises:
        SalignError: the shapes do not fit.
    """
    known, seen = numbers("train", train), numbers("test", test)
    if known.ndim != 2 or seen.ndim != 2 or known.shape[1] != seen.shape[1]:
        raise SalignError(f"expected (N, C) and (M, C) features, got {known.shape} and {seen.shape}.")
    known_of = class_numbers(train_labels, "train_labels", len(known), classes)
    seen_of = class_numbers(test_labels, "test_labels", len(seen), classes)
    gaps = np.full(classes, np.nan)
    for k in range(classes):
        own, new = known[known_of == k], seen[seen_of == k]
        if len(own) and len(new):
            above = np.maximum(new.max(0) - own.max(0), 0)
            below = np.maximum(own.min(0) - new.min(0), 0)
            gaps[k] = (above + below).sum()
    return gaps
