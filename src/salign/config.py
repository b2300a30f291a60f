"""Settings of all kinds of files: nested values from YAML and `--set`, and the faults that pydantic finds, in words."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator

from salign.errors import SalignError, nearest
from salign.location import quote
from salign.readers import parse_yaml, read_yaml

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Pattern of the names of recipes and studies, which become names of folders."""

_Model = TypeVar("_Model", bound=BaseModel)


class Pass(NamedTuple):
    """The pass of `validated` that a validator runs in."""

    torch: bool = True
    """Whether the validator may import torch."""
    files: bool = False
    """Whether the files that the settings name must exist."""

    @classmethod
    def of(cls, info: ValidationInfo) -> Pass:
        """Return the pass that pydantic hands to a validator; without one, everything but files is checked."""
        return info.context if isinstance(info.context, Pass) else cls()


class Section(BaseModel):
    """Base of the sections of any settings: it is immutable and refuses unknown keys, NaN and infinity.

    Where a value may be null and may not be a text, the word `none` is read as null: people write it, though YAML takes
    it for a text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hints: ClassVar[dict[str, str]] = {}
    """Key that does not exist, though people try it -> what to write instead, for the message."""

    @model_validator(mode="before")
    @classmethod
    def _none_is_null(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        annotations = {
            key: cls.model_fields[key].annotation
            for key, value in values.items()
            if is_none(value) and key in cls.model_fields
        }
        return values | {key: None for key, kind in annotations.items() if _may_be_null_and_no_text(kind)}


def is_none(value: object) -> bool:
    """Return whether a value is the text `none`, in capital or small letters."""
    return isinstance(value, str) and value.strip().lower() == "none"


def _may_be_null_and_no_text(annotation: Any) -> bool:
    kinds = typing.get_args(annotation)
    plain = [typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind for kind in kinds]
    return type(None) in plain and str not in plain


class _Kind(NamedTuple):
    keys: frozenset[str]
    """Keys that tell this kind of file: a file is of the first kind of which it has a key."""
    command: str


_KINDS = {
    "study": _Kind(frozenset({"grids", "recipe", "arms"}), "salign experiment {path}"),
    "recipe": _Kind(frozenset({"data", "model", "loss", "train"}), "salign train {path}"),
    "annotation study": _Kind(
        frozenset(
            {"classes", "instructions", "consent", "annotators_per_image", "require_map", "skip_reasons", "gold"}
        ),
        "salign annotate FOLDER --config {path}",
    ),
}


def read_values(path: Path | str, overrides: list[str] | None, kind: str, keys: str) -> dict[str, Any]:
    """Read the nested values of a YAML file and put the overrides over them.

    Args:
        path: the file.
        overrides: `a.b=value` strings; each replaces a single value of the file.
        kind: what the file must be: "recipe", "study" (of many runs) or "annotation study".
        keys: the keys that a file of this kind has, in words for the message.

    Raises:
        SalignError: the path is a folder or a table, the file holds no YAML mapping or one of another kind, or an
            override is not of the form `a.b=value`.
    """
    if Path(path).is_dir() and (Path(path) / "study.yaml").is_file():
        raise SalignError(
            f"{path} is a folder; expected the YAML file of a {kind}. The folder has a study: salign run {quote(path)}"
        )
    if Path(path).is_dir():
        raise SalignError(
            f"{path} is a folder; expected the YAML file of a {kind}. For a folder of images: salign init "
            f"{quote(path)}, then salign run {quote(path)}"
        )
    if Path(path).suffix.lower() in (".csv", ".parquet"):
        raise SalignError(
            f"{path} is a table; expected the YAML file of a {kind}, whose data.manifest names such a table. For a "
            "folder of images salign init writes it"
        )
    content = read_yaml(path, kind)
    if not isinstance(content, dict):
        raise SalignError(f"{path}: expected a mapping with {keys}, got {type(content).__name__}.")
    other_kind = next((name for name, candidate in _KINDS.items() if candidate.keys & set(content)), kind)
    if other_kind != kind:
        command = _KINDS[other_kind].command.format(path=quote(path))
        raise SalignError(
            f"{path}: expected a {kind} with {keys}, got a{'n' * (other_kind[0] == 'a')} {other_kind}, as it has "
            f"{', '.join(sorted(_KINDS[other_kind].keys & set(content)))}. It is for: {command}"
        )
    for override in overrides or []:
        content = merge(content, _parse_override(override))
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Join nested dicts; where both have a value, `over` wins.

    If `over` names another loss, only `class_weights` is kept of the options of the loss in `base`.
    """
    joined = dict(base)
    for key, value in over.items():
        below = joined.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            if key == "loss" and value.get("name", below.get("name")) != below.get("name"):
                below = {k: v for k, v in below.items() if k == "class_weights"}  # another loss takes other options
            joined[key] = merge(below, value)
        else:
            joined[key] = value
    return joined


def validated(model: type[_Model], content: Any, source: str, *, files: bool = False, torch: bool = True) -> _Model:
    """Check nested values against a model in two passes, so that most faults are found before torch is imported.

    The first pass leaves out what needs torch, such as whether a loss accepts the value of an option. Validators ask
    `Pass.of` what they have to check.

    Args:
        model: a pydantic model.
        content: nested values.
        source: the file that the values come from, for the message.
        files: whether the files that the values name must exist; the first pass checks it.
        torch: whether there is a second pass.

    Raises:
        SalignError: a pass found faults; the message lists all faults of the first pass that found any.
    """
    try:
        first = model.model_validate(content, context=Pass(torch=False, files=files))
        return model.model_validate(content) if torch else first
    except ValidationError as error:
        raise SalignError(explain_faults(error, model, source)) from error


def explain_faults(error: ValidationError, model: Any, source: str) -> str:
    """Return all faults that pydantic found in values of `model`: a line each with place, fault and likely meaning."""
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
    key_path = ".".join(str(part) for part in fault["loc"]) or "the file"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        section, key = _section_at(fault["loc"][:-1], model), str(fault["loc"][-1])
        if hint := getattr(section, "hints", {}).get(key):
            return f"{key_path}: unknown key; {hint}"
        keys = list(getattr(section, "model_fields", ()))
        return f"{key_path}: unknown key{nearest(key, keys) or '; there are ' + ', '.join(keys)}"
    if fault["type"] in ("missing", "value_error"):
        return f"{key_path}: {message}"
    value = fault["input"]
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME:
        message = "expected letters of a to z, digits, '.', '_' and '-', beginning with a letter or a digit"
    if fault["type"] == "string_type" and isinstance(value, bool | int | float):
        return f"{key_path}: expected text, got {json.dumps(value)}; if it is a name, quote it: '{json.dumps(value)}'"
    text = repr(value)
    return f"{key_path}: {message}, got {text if len(text) <= 200 else text[:200] + '...'}"


def _section_at(location: tuple[str | int, ...], model: Any) -> Any:
    """Return the class of the section at a place of `model`, given by its keys."""
    section = model
    for part in location:
        if part in getattr(section, "model_fields", ()):
            annotation = section.model_fields[part].annotation
            sections = (inner for inner in typing.get_args(annotation) if hasattr(inner, "model_fields"))
            section = next(sections, annotation)
    return section
