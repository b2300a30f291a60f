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
