"""Class names in tables and messages: several labels of one image, names that look alike, and thresholds in words."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = ";"
"""In tables, this character stands between the class names of an image that may have several labels."""


def names_in(cell: object) -> list[str]:
    """Return the class names in the label cell of an image that may have several; an empty or missing cell has none."""
    return cell.split(SEPARATOR) if isinstance(cell, str) and cell else []


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that differ in the case of their letters alone, such as `Benign` and `benign`.

    Single letters are left out, because data sets of handwriting have `a` and `A` on purpose.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        if len(name) > 1:
            groups.setdefault(name.casefold(), []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


GIVEN = "given"
"""The rule of a threshold that was given by the user, and not chosen on validation images."""


def called_from(positive: str, probability: float, rule: str) -> str:
    """Return, in words, from which probability on the model calls an image `positive`.

    The text has few digits; `model.json` has all digits of the threshold.

    Args:
        positive: name of the positive class.
        probability: the threshold.
        rule: how the threshold was chosen; `GIVEN` if the user gave it.
    """
    origin = "as asked for" if rule == GIVEN else f"rule {rule}, chosen on validation"
    return f"called {positive} from a probability of {in_few_digits(probability)} on ({origin})"


def in_few_digits(probability: float) -> str:
    """Return a probability with four digits, or with as many more as show that it is not quite 1."""
    texts = (f"{probability:.{digits}g}" for digits in range(4, 18))
    return next(text for text in texts if (float(text) == 1) == (probability == 1))


def no_threshold(classes: Iterable[str]) -> str:
    """Return the message for a user who gives a threshold to a model that has none to replace."""
    return (
        f"threshold: this model of {', '.join(classes)} has none to replace; `salign evaluate` chooses one where two "
        "classes exclude each other."
    )
