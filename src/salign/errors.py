"""The one error for mistakes a user can mend; apart from the rest so that showing it needs no heavy import."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SalignError(Exception):
    """A mistake the user can mend; the message says what was expected, what came and what to do."""


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown key: what was probably meant, or nothing."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_of(value: object, known: Iterable[str], what: str) -> str:
    """A choice by its name.

    Args:
        value: what was given.
        known: what there is to choose from.
        what: what is chosen, for the message, e.g. `--empty` or `penalty`.

    Raises:
        SalignError: there is no such choice; the message names those there are, and the nearest.
    """
    choices = list(known)
    if isinstance(value, str) and value in choices:
        return value
    listed = ", ".join(choices[:-1]) + f" or {choices[-1]}" if len(choices) > 1 else choices[0]
    raise SalignError(f"expected {what} to be {listed}, got {str(value)[:60]!r}{nearest(str(value)[:60], choices)}")
