"""The options of an entry of a public table, such as a loss or a step, as a recipe gives them."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from salign.errors import nearest, not_one_of
from salign.index import LazyTable

_FINITE = ConfigDict(allow_inf_nan=False)


def option_faults(
    what: str,
    table: LazyTable[Any],
    name: str,
    options: dict[str, Any],
    *,
    values: bool,
    further: Mapping[str, Any] | None = None,
) -> list[str]:
    """Faults of a name and of the options given for it.

    Args:
        what: what the table holds, for the message.
        table: name -> class, whose keyword arguments are the options.
        name: the entry.
        options: option -> value; with `values`, each becomes one of the option's own kind.
        values: whether the values are checked, too, which imports the class.
        further: options that the class does not have itself -> their kind.
    """
    if fault := not_one_of(name, table, "name"):
        return [fault]
    further = dict(further or {})
    known = [key for key in table.keywords(name) if key != "class_weights"] + list(further)
    if strange := [key for key in options if key not in known]:
        return [f"{what} {name} has no option {key!r}{nearest(key, known)}" for key in strange]
    kinds, faults = further | (typing.get_type_hints(table[name].__init__) if options and values else {}), []
    for key in options if values else ():
        try:
            options[key] = TypeAdapter(kinds[key], config=_FINITE).validate_python(options[key])
        except ValidationError as error:
            faults += [f"{key}: {fault['msg']}, got {options[key]!r}" for fault in error.errors()]
    return faults
