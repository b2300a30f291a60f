"""Doubts about the figures of a run, and what to do about them: plain functions on figures.

Each function returns None if it has no doubt; only `learned_from` always returns one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from salign.evaluate.constant import constant_answer
from salign.evaluate.ranking import class_numbers, finite

FEW_IMAGES = 10
"""With fewer images of a class than this, one answer changes its recall by more than ten points."""
FEW_MAPS = 20
"""With fewer maps than this, guidance sees hardly more than single examples."""
STILL_FALLING = 0.1
"""Training has not converged if, in its last quarter, the loss falls by more than this share of its whole fall."""
PERFECT = 0.9995
"""A validation figure of this value or more cannot get better."""


class Verdict(NamedTuple):
    """A doubt about a run, in words."""

    kind: str
    """A few words that are the same for every run with this doubt."""
    sentence: str
    """What was found, with its figures; it has no full stop."""
    advice: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}. {self.advice}"


def learned_from(name: str) -> Verdict:
    """Return the doubt that the network, or a part of it, learned from the images of a set on which it is measured.

    Args:
        name: name of the set.
    """
    return Verdict(
        "measured on what it learned from",
        f"{name}: the head learned from these images",
        "Judge it by images of another set.",
    )


def one_answer(
    name: str, probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], *, multi_label: bool = False
) -> Verdict | None:
    """Check whether all images of a set get the same answer; see `constant_answer`.

    Args:
        name: name of the set.
        probabilities: `(N, K)`.
        labels: `(N,)` class numbers, or `(N, K)` zeros and ones.
        classes: the K names.
        multi_label: whether images may have several labels.
    """
    constant = constant_answer(probabilities, labels, multi_label=multi_label)
    if constant is None:
        return None
    advice = (
        "Its accuracy is the share of one class, and answers that stay or agree say nothing: train longer or with "
        "another train.lr, and look at data.sampling: balanced."
        if constant.blind
        else "Its accuracy is the share of one class; a threshold may still part the images, so read AUROC and the "
        "figures at the threshold."
    )
    return Verdict("one answer for all images", f"{name}: {constant.describe(classes)}", advice)


def never_better(accuracies: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> Verdict | None:
    """Check whether no epoch was better on validation than calling every image by the largest class would be.

    Args:
        accuracies: `(E,)` accuracy on validation after each epoch; NaN is left out.
        labels: `(N,)` class numbers of the validation images.
        classes: class names by number.
    """
    truth = class_numbers(labels, "labels")
    reached = np.asarray(accuracies, dtype=np.float64)
    if np.isnan(reached).all() or not len(truth):
        return None
    images = np.bincount(truth, minlength=len(classes))
    share = images.max() / len(truth)
    best = float(np.nanmax(reached))
    if best > share + 1e-6:  # accuracies are float32
        return None
    sentence = (
        f"the best accuracy on validation in {len(reached)} epochs is {best:.3f}, and calling every image "
        f"{classes[int(images.argmax())]} gives {share:.3f}"
    )
    return Verdict(
        "never better than the largest class",
        sentence,
        "Train longer or with another train.lr, show the classes equally often (data.sampling: balanced), and check "
        "the labels.",
    )


def not_converged(losses: ArrayLike, scores: ArrayLike | None = None) -> Verdict | None:
    """Check whether, in the last quarter of the epochs, the training loss still falls and validation is best.

    Args:
        losses: `(E,)` training loss of each epoch.
        scores: `(E,)` the validation figure that chooses the epoch, higher is better; None = not known, so that the
            loss alone decides.
    """
    loss = finite(losses, "training loss")
    if not len(loss):
        return None
    more = f"Train longer: train.epochs of {2 * len(loss)} or more."
    if len(loss) == 1:
        return Verdict("training not converged", "training had one epoch", more)
    last = max(1, len(loss) // 4)
    if scores is not None:
        validation = np.asarray(scores, dtype=np.float64)
        if not np.isnan(validation).all():
            best = int(np.flatnonzero(validation == np.nanmax(validation))[-1])
            if best < len(loss) - last:
                return None
    fall, whole = loss[-2 * last : -last].mean() - loss[-last:].mean(), loss.max() - loss.min()
    if whole <= 0 or fall <= STILL_FALLING * whole:
        return None
    epochs = f"epoch of {len(loss)}" if last == 1 else f"{last} epochs of {len(loss)}"
    share = f"{fall / whole:.0%} of its whole fall"
    return Verdict("training not converged", f"in the last {epochs} the training loss still fell by {share}", more)


def easy_validation(scores: ArrayLike, metric: str) -> Verdict | None:
    """Check whether so many epochs are perfect on validation that it cannot choose among them.

    These are at least two epochs, and at least a quarter of all.

    Args:
        scores: `(E,)` the validation figure that chooses the epoch.
        metric: name of the figure.
    """
    perfect = int((np.nan_to_num(np.asarray(scores, dtype=np.float64)) >= PERFECT).sum())
    if perfect < 2 or 4 * perfect < len(np.asarray(scores)):
        return None
    return Verdict(
        "validation too easy to choose by",
        f"{perfect} of {len(np.asarray(scores))} epochs reach {metric} 1.000 on validation",
        "Which epoch was kept is chance: take validation images like those that matter (another camera, another "
        "hospital), or train.select: last.",
    )


def few_images(name: str, labels: ArrayLike, classes: Sequence[str]) -> Verdict | None:
    """Check whether a set has so few images of a class that a figure moves with every answer.

    Args:
        name: name of the set.
        labels: `(N,)` class numbers.
        classes: class names by number.
    """
    images = np.bincount(class_numbers(labels, "labels"), minlength=len(classes))
    few = [k for k in range(len(classes)) if images[k] < FEW_IMAGES]
    if not few:
        return None
    counted = ", ".join(f"{images[k]} of {classes[k]}" for k in few)
    smallest = min(images[k] for k in few)
    moves = f"; one answer changes its recall by {100 / smallest:.0f} points" if smallest else ""
    return Verdict(
        "few images",
        f"{name} has {counted}{moves}",
        "Measure on at least 30 images of each class, or read the intervals and not the values.",
    )


def at_chance(name: str, metric: str, value: float, low: float, high: float, images: int) -> Verdict | None:
    """Check whether the interval of an area under the ROC curve reaches down to one half, or lies below it.

    Args:
        name: name of the set.
        metric: name of the figure.
        value: the area.
        low: lower end of its interval; NaN = there is no interval, and no doubt.
        high: upper end of its interval.
        images: number of images in the set.
    """
    if math.isnan(low) or low > 0.5:
        return None
    figure = f"{name}: {metric} {value:.3f} [{low:.3f}, {high:.3f}] with {images} images"
    if high < 0.5:
        return Verdict(
            "worse than chance",
            figure,
            "The order is turned round: check the labels, and which class is data.positive.",
        )
    return Verdict(
        "not told from chance",
        f"{figure}, and chance (0.5) lies within",
        "These images do not show that the classes are told apart: test on more images, or train longer.",
    )


def too_few_maps(maps: int, images: int, loss: str) -> Verdict | None:
    """Check whether a loss that is guided by maps has no maps, or hardly any.

    Args:
        maps: number of training images with a map that marks something.
        images: number of training images.
        loss: name of the loss.
    """
    if maps >= FEW_MAPS:
        return None
    if not maps:
        return Verdict(
            "nothing to guide",
            f"the loss {loss} compares maps, and none of {images} training images has one: it was plain training",
            "Annotate images (salign annotate), import maps (salign maps import), or take loss.name: ce.",
        )
    return Verdict(
        "few maps",
        f"{maps} of {images} training images have a map",
        "Hardly anything can be learned from so few: mark at least fifty images (salign annotate).",
    )


def alike_maps(correlation: float, limit: float) -> Verdict | None:
    """Check whether the maps of all training images mark nearly the same place.

    Args:
        correlation: mean correlation of the maps of two images; NaN = not known.
        limit: the correlation from which maps count as alike.
    """
    if not correlation >= limit:
        return None
    return Verdict(
        "maps that are all alike",
        f"the maps of two training images correlate {correlation:.2f} on average",
        "They teach one place and not what matters in each image, and shuffled maps are no control: compare with "
        "data.maps: centre, blobs or inverted, and mark smaller regions.",
    )


def idle_region_test(name: str, verdict: Verdict | None) -> Verdict | None:
    """Check whether the test of the region has no meaning, because all images of the set get the same answer.

    Answers that are all alike cannot change, whatever is replaced in the image.

    Args:
        name: name of the set that was analysed.
        verdict: the result of `one_answer` for the set.
    """
    if verdict is None:
        return None
    return Verdict(
        "region test without meaning",
        f"{name}: all images get the same answer, which no change of the image can flip",
        "Neither a kept nor a lost answer says that the region is used: mend the classifier first.",
    )
