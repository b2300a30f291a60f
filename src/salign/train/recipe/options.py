"""Checks of the options that a recipe gives to an entry of a public table, such as a loss or a step."""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from salign.checks import number
from salign.errors import SalignError, nearest, not_one_of
from salign.index import LazyTable

Sources = list[tuple[list[ast.stmt], ast.FunctionDef]]
"""The type of what `LazyTable.sources` returns."""
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
    """Return the faults of a name and of the options given for it; an empty list if there are none.

    Args:
        what: what the table holds, for the message, such as "loss".
        table: name -> class, whose keyword arguments are the options.
        name: name of the entry.
        options: option -> value; each value whose type is known is replaced in place by a value of that type.
        values: whether to take the types of the options from the class, which is imported for this. If False, types and
            ranges are taken from its source instead, without an import.
        further: options that the class itself does not have -> their type.
    """
    if fault := not_one_of(name, table, "name"):
        return [fault]
    further = dict(further or {})
    known = [key for key in table.keywords(name) if key != "class_weights"] + list(further)
    if strange := [key for key in options if key not in known]:
        return [f"{what} {name} has no option {key!r}{nearest(key, known)}" for key in strange]
    if not options:
        return []
    sources = [] if values else table.sources(name)
    kinds = further | (typing.get_type_hints(table[name].__init__) if values else _declared_kinds(sources))
    faults = []
    for key in (key for key in options if key in kinds):
        try:
            options[key] = TypeAdapter(kinds[key], config=_FINITE).validate_python(options[key])
        except ValidationError as error:
            faults += [f"{key}: {fault['msg']}, got {options[key]!r}" for fault in error.errors()]
    return faults or _out_of_range(sources, options)


def _declared_kinds(sources: Sources) -> dict[str, Any]:
    """Return the types of a class's keyword arguments, as far as its module's source and the builtins define them."""
    names: dict[str, Any] = {"Literal": typing.Literal}
    kinds: dict[str, Any] = {}
    for body, init in sources[:1]:
        for node in body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                _evaluate(node.value, names, node.targets[0].id, names)
        for argument in init.args.kwonlyargs:
            _evaluate(argument.annotation, names, argument.arg, kinds)
    return kinds


def _evaluate(expression: ast.expr | None, names: dict[str, Any], name: str, into: dict[str, Any]) -> None:
    """Put the type that an expression stands for into a dict, if it consists of the given names and builtins."""
    if isinstance(expression, ast.Subscript | ast.Name | ast.BinOp):
        with suppress(NameError, TypeError, AttributeError):
            into[name] = eval(ast.unparse(expression), dict(names))


def _out_of_range(sources: Sources, options: Mapping[str, Any]) -> list[str]:
    """Return faults found by the lines `number("NAME", NAME, "INTERVAL")` in the `__init__` of a class or its bases."""
    faults = []
    for _, init in sources:
        calls = [node.value for node in init.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) == "number" and all(isinstance(call.args[k], ast.Constant) for k in (0, 2)):
                name, interval = ast.literal_eval(call.args[0]), ast.literal_eval(call.args[2])
                if name in options:
                    try:
                        number(name, options[name], interval, whole=bool(call.keywords))
                    except SalignError as error:
                        faults.append(str(error))
    return faults
