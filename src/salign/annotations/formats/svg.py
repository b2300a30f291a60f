"""Free-drawn strokes in SVG and in canvases of fabric.js; curves are replaced by short straight pieces."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from salign.annotations.formats.fields import Field, number_of
from salign.annotations.rle import checked_size
from salign.errors import SalignError
from salign.maps.shapes import Stroke

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PIECES = 8
"""Number of straight pieces that replace one curve between two points of the pen."""
MOST_COMMANDS = 200_000
"""Most commands that all paths of one drawing may have together."""

_COMMANDS = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "Z": 0}
_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_TRANSFORM = re.compile(r"\s*(\w+)\s*\(([^()]*)\)[\s,]*")

Command = tuple[str, list[float]]


def strokes_in(root: Element, where: str) -> tuple[list[Stroke], tuple[int, int] | None]:
    """Return the paths of an SVG drawing as strokes, and its (H, W), which is None if the drawing does not give it.

    Args:
        root: the outermost element.
        where: the name of the drawing, for error messages.

    Raises:
        SalignError: the outermost element is not `<svg>`, another element or a path cannot be read, a transformation
            does more than moving and scaling both axes alike, or there are more than `MOST_COMMANDS`.
    """
    if _name(root) != "svg":
        raise SalignError(f"{where}: the outermost element is <svg>, got <{_name(root)[:40]}>")
    strokes: list[Stroke] = []
    budget = MOST_COMMANDS
    for element, moved in _paths(root, np.eye(3), where, 0):
        field = Field(dict(element.attrib), f"{where}: <path>")
        commands = list(_parsed(field["d"].value, field))
        budget -= len(commands)
        if budget < 0:
            raise SalignError(f"{where}: more than {MOST_COMMANDS:,} path commands")
        strokes += field.make(_strokes, commands, _stroke_width(field), moved)
    sides = [number_of(root.get(side, "").removesuffix("px")) for side in ("height", "width")]
    whole = all(side == side and 1 <= side < 1e9 and side == int(side) for side in sides)
    return strokes, checked_size(int(sides[0]), int(sides[1])) if whole else None


def fabric_strokes(canvas: Field) -> list[Stroke]:
    """Return the paths of a canvas of fabric.js (from `toObject`) as strokes.

    Raises:
        SalignError: an object is not a path, or it was scaled, rotated, skewed or flipped after it was drawn.
    """
    strokes: list[Stroke] = []
    for item in canvas["objects"].each():
        if str(item["type"].value).lower() != "path":
            item["type"].fail("'path', as free drawing gives")
        for key, plain in (("scaleX", 1), ("scaleY", 1), ("angle", 0), ("skewX", 0), ("skewY", 0)):
            if (setting := item.get(key)) is not None and setting.number() != plain:
                setting.fail(f"{plain}: a path as it was drawn")
        for key in ("flipX", "flipY"):
            if (setting := item.get(key)) is not None and setting.value is not False:
                setting.fail("false: a path as it was drawn")
        commands: list[Command] = []
        for part in item["path"].each():
            letter, *numbers = part.each() or [part]
            commands.append((_letter(letter.value, len(numbers), part), [number.number() for number in numbers]))
        strokes += item.make(_strokes, commands, item["strokeWidth"].number(0), np.eye(3))
    return strokes


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _paths(element: Element, above: np.ndarray, where: str, depth: int) -> Iterator[tuple[Element, np.ndarray]]:
    if depth > 50:
        raise SalignError(f"{where}: nested too deeply")
    moved = above @ _matrix(element.get("transform", ""), where)
    name = _name(element)
    if name == "path":
        yield element, moved
    elif name in ("svg", "g"):
        for child in element:
            yield from _paths(child, moved, where, depth + 1)
    elif name not in ("desc", "defs", "title", "metadata", "image"):
        raise SalignError(f"{where}: <{name[:40]}> is not read; free drawing gives <path>")


def _matrix(text: str, where: str) -> np.ndarray:
    matrix, end = np.eye(3), 0
    while end < len(text.rstrip()):
        match = _TRANSFORM.match(text, end)
        values = [number_of(word) for word in re.split(r"[\s,]+", match[2].strip())] if match else []
        kind = (match[1], len(values)) if match else None
        if kind == ("matrix", 6):
            a, b, c, d, e, f = values
        elif kind in (("translate", 1), ("translate", 2)):
            a, b, c, d, e, f = 1, 0, 0, 1, values[0], values[1] if len(values) == 2 else 0
        elif kind in (("scale", 1), ("scale", 2)):
            a, b, c, d, e, f = values[0], 0, 0, values[-1], 0, 0
        else:
            raise SalignError(f"{where}: expected matrix, translate or scale, got {text[end : end + 40]!a}")
        if not all(abs(value) <= 1e9 for value in (a, b, c, d, e, f)) or b or c or a != d or a <= 0:
            raise SalignError(f"{where}: strokes may be moved and scaled alike, not turned or squeezed")
        matrix = matrix @ np.array([[a, c, e], [b, d, f], [0, 0, 1]])
        end = match.end() if match else end
    return matrix


def _stroke_width(field: Field) -> float:
    """Return the width of a stroke from the attribute `stroke-width` or from `style`, or else 1, SVG's default."""
    style = field.get("style")
    if (own := field.get("stroke-width")) is not None:
        return Field(str(own.value).removesuffix("px"), "stroke-width", field).number(0)
    match = re.search(r"stroke-width:\s*([^;]+?)(?:px)?\s*(?:;|$)", style.value) if style else None
    return Field(match[1], "style: stroke-width", field).number(0) if match else 1.0


def _letter(value: object, count: int, field: Field) -> str:
    if not isinstance(value, str) or value not in _COMMANDS or _COMMANDS[value] != count:
        field.fail("a command M, L, H, V, Q, C or Z with its numbers")
    return value


def _parsed(text: str, field: Field) -> Iterator[Command]:
    """Yield the absolute commands of a path; further numbers after a complete command repeat it (after M as L)."""
    if _TOKEN.sub("", text).strip(" ,\t\r\n"):
        field["d"].fail("a path of commands and numbers")
    letter = ""
    numbers: list[float] = []
    for k, token in enumerate(_TOKEN.findall(text)):
        if token.isalpha():
            if numbers:
                field["d"].fail(f"{_COMMANDS[letter]} numbers after {letter}")
            letter = "Z" if token == "z" else token
            if letter not in _COMMANDS:
                field["d"].fail("the commands M, L, H, V, Q, C and Z")
        else:
            if not letter or letter == "Z":
                field["d"].fail("a command before each number")
            numbers.append(Field(token, k, field).number())
        if letter and len(numbers) == _COMMANDS[letter] and (numbers or letter == "Z"):
            yield letter, numbers
            letter, numbers = ("L" if letter == "M" else letter), []
    if numbers:
        field["d"].fail(f"{_COMMANDS[letter]} numbers after {letter}")


def _strokes(commands: Sequence[Command], width: float, moved: np.ndarray) -> list[Stroke]:
    lines: list[list[np.ndarray]] = []
    for letter, numbers in commands:
        if letter == "M":
            lines.append([np.array(numbers)])
            continue
        if not lines:
            raise SalignError("a path begins with M")
        pen = lines[-1]
        if letter == "Z":
            pen.append(pen[0])
        elif letter in "HV":
            pen.append(np.array([numbers[0], pen[-1][1]] if letter == "H" else [pen[-1][0], numbers[0]]))
        else:
            pen += _bezier(np.array([pen[-1], *np.reshape(numbers, (-1, 2))]))
    radius = width / 2 * math.sqrt(float(moved[0, 0] * moved[1, 1]))
    strokes = []
    for pen in lines:
        points = np.stack(pen) @ moved[:2, :2].T + moved[:2, 2]
        strokes.append(Stroke(tuple(map(tuple, points.tolist())), (radius,) * len(points)))
    return strokes


def _bezier(controls: np.ndarray) -> list[np.ndarray]:
    """Return points on a Bezier curve, without its first point and with its last; for a line, only the last point."""
    degree = len(controls) - 1
    if degree == 1:
        return [controls[1]]
    t = np.arange(1, PIECES + 1)[:, None] / PIECES
    weights = np.stack([math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)])
    return list((weights * controls[:, None]).sum(0))
