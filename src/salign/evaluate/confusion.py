"""The confusion matrix and the rates computed from it, for answers by the highest probability or by a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from salign.errors import SalignError
from salign.evaluate.ranking import Array, class_numbers, counts, match_weights, ratio, yes_or_no

RATES = ("sensitivity", "specificity", "ppv", "npv", "f1")
"""The keys of `rates`, in its order."""


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Count how many images of each class (rows) are called each class (columns): `(K, K)` whole numbers.

    Args:
        labels: `(N,)` class numbers.
        predicted: `(N,)` class numbers.
        classes: K.

    Raises:
        SalignError: an argument is not an array of class numbers, or the two have different lengths.
    """
    truth = class_numbers(labels, "labels", classes=classes)
    answers = class_numbers(predicted, "predicted", len(truth), classes)
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def rates(called: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> dict[str, Array]:
    """Compute the rates of yes-or-no answers; a rate is NaN where its denominator is zero.

    - `sensitivity` (recall): the share of the positive images that are called positive
    - `specificity`: the share of the negative images that are called negative
    - `ppv` (precision): the share of the images called positive that are positive
    - `npv`: the share of the images called negative that are negative
    - `f1`: the harmonic mean of sensitivity and PPV, 2 TP / (2 TP + FP + FN)

    Args:
        called: `(N,)` bool, the answers.
        positive: `(N,)` bool, the truth.
        weights: `(R, N)` counts, or None.

    Raises:
        SalignError: an argument is not bool, or the two have different lengths.
    """
    answers, truth = yes_or_no(called, "called"), yes_or_no(positive, "positive")
    if answers.shape != truth.shape:
        raise SalignError(f"expected as many answers as labels; got {answers.shape} and {truth.shape}")
    times = counts(weights, len(truth))
    hits, alarms = times @ (answers & truth), times @ (answers & ~truth)
    misses, passes = times @ (~answers & truth), times @ (~answers & ~truth)
    values = {
        "sensitivity": ratio(hits, hits + misses),
        "specificity": ratio(passes, passes + alarms),
        "ppv": ratio(hits, hits + alarms),
        "npv": ratio(passes, passes + misses),
        "f1": ratio(2 * hits, 2 * hits + alarms + misses),
    }
    return {name: match_weights(value, weights) for name, value in values.items()}


def about_rate(rate: str, name: str, positive: int, called: int, images: int) -> tuple[int, list[str]]:
    """Return how many images a rate of the class `name` is about and, if there are none, why the rate has no value.

    Args:
        rate: one of `RATES`.
        name: the class.
        positive: number of images of the class.
        called: number of images whose answer is the class.
        images: number of all images.
    """
    about = {
        "sensitivity": (positive, f"no image of class {name}"),
        "specificity": (images - positive, f"only images of class {name}"),
        "ppv": (called, f"no image is called {name}"),
        "npv": (images - called, f"every image is called {name}"),
        "f1": (images if positive or called else 0, f"no image is of class {name}, or called so"),
    }
    count, reason = about[rate]
    return count, [] if count else [reason]


def rates_by_class(called: Array, positive: Array, classes: tuple[str, ...], weights: Array) -> dict[str, Array]:
    """Compute `rates` of every class against the rest, and their means over classes.

    The rates of a class are named `sensitivity[CLASS]`, and the means `sensitivity_macro`. A mean is the plain mean
    over the classes for which the rate has a value.

    Args:
        called: `(N, K)` bool.
        positive: `(N, K)` bool.
        classes: the K names.
        weights: `(R, N)` counts.
    """
    by_class = [rates(called[:, k], positive[:, k], weights) for k in range(len(classes))]
    macro = {f"{rate}_macro": mean_defined(np.stack([values[rate] for values in by_class])) for rate in RATES}
    named = {f"{rate}[{name}]": values[rate] for rate in RATES for name, values in zip(classes, by_class, strict=True)}
    return macro | named


def mean_defined(by_class: Array) -> Array:
    """Return the mean `(R,)` of `(K, R)` values over the classes that have a value; NaN where none has one."""
    defined = ~np.isnan(by_class)
    return ratio(np.where(defined, by_class, 0.0).sum(0), defined.sum(0).astype(float))
