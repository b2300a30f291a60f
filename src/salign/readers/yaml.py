"""Reading YAML that is untrusted, or whose values mean something else in YAML 1.1 than their author intended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml

from salign.errors import SalignError
from salign.readers.file import read_text
from salign.readers.json import MAX_DEPTH

MAX_BYTES = 2_000_000
"""Most bytes that a YAML file may have."""
MAX_VALUES = 100_000
"""Most values that a YAML file may hold. An alias counts as many values as the node that it refers to."""

_TEXT_TAGS = ("!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C loader, if it was built
    """A loader for plain values: `true` and `false`, decimal numbers and `null`; everything else is text as written.

    So `no`, `on`, `2026-01-02` and `=` are text. Where a boolean is expected, pydantic accepts the texts `yes`, `no`,
    `on` and `off`.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, [*"-+0123456789"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*"-+.0123456789"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<$"), ["<"])

_OTHER_NUMBER = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[0-9]+_[0-9_]*(?:\.[0-9_]*)?)$"
)
"""Numbers of YAML 1.1 that other parsers, or people, read differently: binary, octal, hexadecimal, base 60, `1_000`."""


def parse_yaml(text: str, where: str, kind: str = "file") -> Any:
    """Parse YAML text into plain values: text, whole and decimal numbers, true and false, None, lists and dicts.

    Args:
        text: one document.
        where: the name of the file, for error messages.
        kind: what the file is expected to be, for error messages, e.g. "recipe".

    Raises:
        SalignError: the text is not YAML, a mapping has the same key twice or a key that is not a name, a number is
            written in a form that may mean two things (`010`, `1:30`, `0x1f`, `1_000`), a tag asks for something else
            than plain values, the text is nested deeper than `MAX_DEPTH`, or it has more than `MAX_VALUES` values,
            aliases resolved.
    """
    try:
        _check(text, where)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise SalignError(f"{where}: expected a YAML {kind}; {reason[:300]}") from error


def read_yaml(path: Path | str, kind: str = "file") -> Any:
    """Read a YAML file (UTF-8) of at most `MAX_BYTES` bytes; see `parse_yaml` and `salign.readers.open_file`."""
    return parse_yaml(read_text(path, limit=MAX_BYTES), str(path), kind)


@dataclass
class _Open:
    """A list or mapping whose end the parser has not reached yet."""

    keys: set[str] | None
    """The keys that have occurred so far; None for a list."""
    anchor: str | None
    before: int
    """How many values came before it."""
    key_is_next: bool = True


def _check(text: str, where: str) -> None:
    """Check the events of the parser before any value is built from them; errors as for `parse_yaml`."""

    def fail(event: Any, message: str) -> NoReturn:
        raise SalignError(f"{where} line {event.start_mark.line + 1}: {message}")

    stack: list[_Open] = []
    sizes: dict[str, int] = {}
    count = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            ended = stack.pop()
            if ended.anchor is not None:
                sizes[ended.anchor] = count - ended.before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        tag: str | None = getattr(event, "tag", None)
        if tag is not None and tag not in _TEXT_TAGS:
            fail(event, f"the tag {tag[:60]} is not read; write the value without it")
        name = event.value if isinstance(event, yaml.ScalarEvent) else None
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _OTHER_NUMBER.match(event.value):
            fail(
                event,
                f"{event.value[:40]} may mean two things in YAML; quote it if it is a name ({event.value[:40]!r}), "
                "write a plain decimal number if it is a number",
            )
        if stack and (keys := stack[-1].keys) is not None:
            if stack[-1].key_is_next:
                if name is None:
                    fail(event, "expected a name as the key of a mapping, got an alias, a list or a mapping")
                if name in keys:
                    fail(event, f"the key {name[:60]!r} occurs twice in one mapping; keep one of the two")
                keys.add(name)
            stack[-1].key_is_next = not stack[-1].key_is_next
        count += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                fail(event, f"*{event.anchor} stands for nothing that came to its end before")
            count += sizes[event.anchor] - 1
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(set() if isinstance(event, yaml.MappingStartEvent) else None, event.anchor, count - 1))
        elif event.anchor is not None:
            sizes[event.anchor] = 1
        if len(stack) > MAX_DEPTH:
            fail(event, f"nested too deeply; expected at most {MAX_DEPTH} levels")
        if count > MAX_VALUES:
            fail(event, f"more than {MAX_VALUES:,} values, each alias counted with all that it stands for")
