"""Classes in words: those of an image that may have several, and from where on an image is called by the positive."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = ";"
"""Between the class names of an image that may have several labels, in tables."""


def names_in(cell: object) -> list[str]:
    """The class names in the cell of an image that may have several labels; none in an empty or a missing one."""
    return cell.split(SEPARATOR) if isinstance(cell, str) and cell else []


def alike(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in the case of their letters alone, such as `Benign` and `benign`, in groups.

    Single letters are left out: sets of handwriting have `a` and `A` on purpose.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        if len(name) > 1:
            groups.setdefault(name.casefold(), []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


GIVEN = "given"
"""The rule of a threshold that was given by the user, and not chosen on validation images."""


def called_from(positive: str, probability: float, rule: str) -> str:
    """From which probability on an image is called by the positive class, in words; `model.json` has all its digits."""
    origin = "as asked for" if rule == GIVEN else f"rule {rule}, chosen on validation"
    return f"called {positive} from a probability of {in_few_digits(probability)} on ({origin})"


def in_few_digits(probability: float) -> str:
    """A probability in four digits, or in as many as it takes to see that it is not quite 1."""
    texts = (f"{probability:.{digits}g}" for digits in range(4, 18))
    return next(text for text in texts if (float(text) == 1) == (probability == 1))


def no_threshold(classes: Iterable[str]) -> str:
    """The message for a threshold that is asked of a model without one."""
    return (
        f"threshold: this model of {', '.join(classes)} has none to replace; `salign evaluate` chooses one where two "
        "classes exclude each other."
    )
