"""The error for mistakes that a user can mend, and parts of its messages; no heavy import is needed to show it."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class SalignError(Exception):
    """A mistake that the user can mend; the message says what was expected, what came and what to do."""


class Preempted(SalignError):
    """A training was ended because the system asked for it; it is saved, and the message says how to continue it."""

    code = 75
    """Exit code of the command: EX_TEMPFAIL of sysexits.h, which means "try again later"."""


def nearest(key: str, choices: Iterable[str]) -> str:
    """Return the end of a message about an unknown key: which choice was probably meant; empty if none is similar."""
    near = difflib.get_close_matches(key, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def install(extra: str) -> str:
    """Return how to install a missing extra. No package index has salign, so that it is installed from a clone."""
    return f"install it in your clone of salign: pip install -e '.[{extra}]'"


def check_installed(what: str, extra: str, *packages: str) -> None:
    """Refuse to begin if packages of an extra are missing; nothing is imported to find out.

    Args:
        what: what needs the extra, for the message.
        extra: the name of the extra.
        packages: the names by which the packages of the extra are imported.

    Raises:
        SalignError: a package is missing.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise SalignError(f"{what} needs the packages {', '.join(missing)}; {install(extra)}")


def one_of(value: object, choices: Iterable[object], what: str) -> None:
    """Refuse a value that is not one of the choices.

    Args:
        value: the value that was given.
        choices: the names or numbers to choose from.
        what: the option or argument, for the message, e.g. `--empty` or `penalty`.

    Raises:
        SalignError: the value is not one of the choices; the message lists them and names the most similar one.
    """
    if fault := not_one_of(value, choices, what):
        raise SalignError(fault)


def not_one_of(value: object, options: Iterable[object], what: str) -> str:
    """Return the message of `one_of`, for callers that collect several faults; empty if the value is a choice."""
    choices = list(options)
    if value in choices:
        return ""
    *most, last = map(str, choices)
    listed = f"{', '.join(most)} or {last}" if most else last
    text = f"{value[:60]!r}{nearest(value[:60], map(str, choices))}" if isinstance(value, str) else repr(value)[:60]
    return f"{what}: expected {listed}, got {text}"
