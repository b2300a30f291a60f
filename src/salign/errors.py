"""The one error for mistakes a user can mend; apart from the rest so that showing it needs no heavy import."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class SalignError(Exception):
    """A mistake the user can mend; the message says what was expected, what came and what to do."""


class Preempted(SalignError):
    """The system asked for the end of a training, which is saved; the message says how it goes on."""

    code = 75
    """Exit code of the command, EX_TEMPFAIL of sysexits.h: try again later."""


def nearest(key: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown key: what was probably meant, or nothing."""
    near = difflib.get_close_matches(key, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def install(extra: str) -> str:
    """What to do about an extra that is missing. No package index has salign: it is installed from a clone."""
    return f"install it in your clone of salign: pip install -e '.[{extra}]'"


def check_installed(what: str, extra: str, *packages: str) -> None:
    """Refuse to begin what an extra is needed for; nothing is imported.

    Args:
        what: what needs it, for the message.
        extra: its name.
        packages: what it installs, as it is imported.

    Raises:
        SalignError: a package is missing.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise SalignError(f"{what} needs the packages {', '.join(missing)}; {install(extra)}")


def one_of(value: object, choices: Iterable[object], what: str) -> None:
    """Refuse a choice that is none.

    Args:
        value: what was given.
        choices: what there is to choose from: names, or numbers.
        what: what is chosen, for the message, e.g. `--empty` or `penalty`.

    Raises:
        SalignError: there is no such choice; the message names those there are, and the nearest.
    """
    if fault := not_one_of(value, choices, what):
        raise SalignError(fault)


def not_one_of(value: object, options: Iterable[object], what: str) -> str:
    """The message of `one_of`, for whoever collects several faults; empty for a choice that there is."""
    choices = list(options)
    if value in choices:
        return ""
    *most, last = map(str, choices)
    listed = f"{', '.join(most)} or {last}" if most else last
    text = f"{value[:60]!r}{nearest(value[:60], map(str, choices))}" if isinstance(value, str) else repr(value)[:60]
    return f"{what}: expected {listed}, got {text}"
