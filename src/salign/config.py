"""Settings: from YAML and `--set` to nested values, and pydantic's faults in words; once for all models."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from salign.errors import SalignError, nearest
from salign.readers import parse_yaml, read_yaml


def read_values(path: Path | str, overrides: list[str] | None, kind: str, keys: str) -> dict[str, Any]:
    """Nested values of a YAML file, over which the `a.b=value` strings win; `kind` and `keys` say what was expected.

    Raises:
        SalignError: no YAML mapping there, or an override that is none.
    """
    content = read_yaml(path, kind)
    if not isinstance(content, dict):
        raise SalignError(f"{path}: expected a mapping with {keys}, got {type(content).__name__}.")
    for override in overrides or []:
        content = merge(content, _parse_override(override))
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested dicts joined; where both have a value, `over` wins."""
    joined = dict(base)
    for key, value in over.items():
        below = joined.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            if key == "loss" and value.get("name", below.get("name")) != below.get("name"):
                below = {"class_weights": below.get("class_weights", "none")}  # another loss has other options
            joined[key] = merge(below, value)
        else:
            joined[key] = value
    return joined


def explained(error: ValidationError, model: Any, source: str) -> str:
    """Everything that pydantic found wrong with a `model`, a line each: where, what, and what was probably meant."""
    lines = [f"  {_explain(fault, model)}" for fault in error.errors()]
    return "\n".join([f"{source}: {len(lines)} fault(s)", *lines])


def _parse_override(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise SalignError(f"--set expects section.key=value, got {text!r}.")
    content = parse_yaml(value, f"--set {text}", "value")
    for part in reversed(key.strip().split(".")):
        content = {part: content}
    return content


def _explain(fault: Any, model: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _keys_at(fault["loc"][:-1], model)
        return f"{place}: unknown key{nearest(str(fault['loc'][-1]), known) or '; there are ' + ', '.join(known)}"
    if fault["type"] in ("missing", "value_error"):
        return f"{place}: {said}"
    given = fault["input"]
    if fault["type"] == "string_type" and isinstance(given, bool | int | float):
        return f"{place}: expected text, got {json.dumps(given)}; if it is a name, quote it: '{json.dumps(given)}'"
    shown = repr(given)
    return f"{place}: {said}, got {shown if len(shown) <= 200 else shown[:200] + '...'}"


def _keys_at(place: tuple[str | int, ...], model: Any) -> list[str]:
    """The keys that the section of a `model` at some place has."""
    section = model
    for part in place:
        if part in getattr(section, "model_fields", ()):
            annotation = section.model_fields[part].annotation
            sections = (inner for inner in typing.get_args(annotation) if hasattr(inner, "model_fields"))
            section = next(sections, annotation)
    return list(getattr(section, "model_fields", ()))
