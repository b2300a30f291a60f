"""What people draw on an image: polygons, boxes, strokes and fixations, and their form in JSON.

Coordinates are in pixels of the upright original image: x points to the right, y points down, and (0, 0) is the top
left corner of the top left pixel. The pixel in row i and column j covers [j, j+1) x [i, i+1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from salign.errors import SalignError

Point = tuple[float, float]

MOST_POINTS = 100_000
"""Most points that a single shape may have."""
FARTHEST = 1e15
"""Largest magnitude of a coordinate, radius, duration or time. Beyond it, floating-point arithmetic would lose whole
pixels."""

SMALLEST_SPREAD = 1e-6
"""Smallest standard deviation, in pixels, of a fixation's Gaussian, so that the height of the Gaussian stays finite."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """The inside of a closed outline, by the even-odd rule.

    Raises:
        SalignError: there are fewer than 3 points or more than `MOST_POINTS`, or a number is not finite or is beyond
            `FARTHEST`.
    """

    points: tuple[Point, ...]
    """At least three points; the last point is joined to the first."""
    erase: bool = False
    """Whether the shape's area is taken away from what was drawn before, instead of being added to it."""
    times: tuple[float, ...] | None = None
    """Milliseconds since the image was shown, one per point."""

    def __post_init__(self) -> None:
        _settle(self, _points(self.points, "polygon", least=3))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with sides along the axes.

    Raises:
        SalignError: x0 > x1, y0 > y1, or a number is not finite or is beyond `FARTHEST`.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    erase: bool = False
    times: tuple[float, ...] | None = None
    """Milliseconds since the image was shown, for the first corner and for the second."""

    def __post_init__(self) -> None:
        (x0, y0), (x1, y1) = corners = _points(((self.x0, self.y0), (self.x1, self.y1)), "box", least=2)
        if x0 > x1 or y0 > y1:
            raise SalignError(
                f"box: expected the top left corner first, got ({x0:g}, {y0:g}) and ({x1:g}, {y1:g}); swap them"
            )
        for name, number in zip(("x0", "y0", "x1", "y1"), (x0, y0, x1, y1), strict=True):
            object.__setattr__(self, name, number)
        _settle(self, corners, stored=False)


@dataclass(frozen=True, slots=True)
class Stroke:
    """The area that a round brush covers when it is moved in straight lines from point to point.

    Raises:
        SalignError: there is no point or there are more than `MOST_POINTS`, there is not one radius per point, a number
            is not finite or is beyond `FARTHEST`, or a radius is negative.
    """

    points: tuple[Point, ...]
    """The centres of the brush; a stroke of one point is a disc."""
    radii: tuple[float, ...]
    """One radius per point, in pixels; it may vary, e.g. with the pressure of a pen. Between two points the radius
    changes linearly."""
    erase: bool = False
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        points = _points(self.points, "stroke", least=1)
        radii = _numbers(self.radii, "stroke: radii", len(points), each=", one per point")
        if min(radii) < 0:
            raise SalignError(f"stroke: expected radii >= 0, got {min(radii):g}")
        object.__setattr__(self, "radii", radii)
        _settle(self, points)


@dataclass(frozen=True, slots=True)
class Fixation:
    """A place at which an eye rested. It has no area; `rasterize.fixation_map` makes a map of fixations.

    Raises:
        SalignError: a number is not finite or is beyond `FARTHEST`, the duration is negative, the spread is below
            `SMALLEST_SPREAD`, `shown` is an empty rectangle, or `erase` is True.
    """

    x: float
    y: float
    duration: float
    """How long the fixation lasted, in milliseconds; >= 0."""
    erase: bool = False
    """Always False, because looking at a place takes nothing away. All shapes have this field."""
    times: tuple[float, ...] | None = None
    """When the fixation began, in milliseconds since the image was shown; one number."""
    spread: tuple[float, float] | None = None
    """Standard deviations in x and y of this fixation's own Gaussian, in pixels. They vary between fixations if the
    image was zoomed. None leaves the standard deviation to `fixation_map`."""
    shown: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 of the part of the image that was on the screen at that time; nothing outside it was seen. None
    stands for the whole image."""

    def __post_init__(self) -> None:
        ((x, y),) = point = _points(((self.x, self.y),), "fixation", least=1)
        (duration,) = _numbers((self.duration,), "fixation: duration", 1)
        if duration < 0:
            raise SalignError(f"fixation: expected a duration >= 0 ms, got {duration:g}")
        if self.erase:
            raise SalignError("fixation: expected erase = False, got True; only areas erase")
        spread = None if self.spread is None else _numbers(self.spread, "fixation: spread", 2)
        if spread is not None and min(spread) < SMALLEST_SPREAD:
            raise SalignError(f"fixation: expected a spread > 0, got {min(spread):g}")
        shown = None if self.shown is None else _numbers(self.shown, "fixation: shown", 4)
        if shown is not None and not (shown[0] < shown[2] and shown[1] < shown[3]):
            raise SalignError(
                f"fixation: expected shown x0 < x1 and y0 < y1, got {', '.join(map('{:g}'.format, shown))}"
            )
        for name, value in (("x", x), ("y", y), ("duration", duration), ("spread", spread), ("shown", shown)):
            object.__setattr__(self, name, value)
        _settle(self, point, stored=False)


Shape = Polygon | Box | Stroke | Fixation


def shape_to_json(shape: Shape) -> dict[str, Any]:
    """Turn a shape into plain lists and numbers, `{"kind", "points", ...}`; `shape_from_json` is the inverse."""
    match shape:
        case Polygon():
            value: dict[str, Any] = {"kind": "polygon", "points": _lists(shape.points), "erase": shape.erase}
        case Box():
            corners = ((shape.x0, shape.y0), (shape.x1, shape.y1))
            value = {"kind": "box", "points": _lists(corners), "erase": shape.erase}
        case Stroke():
            value = {
                "kind": "stroke",
                "points": _lists(shape.points),
                "radii": list(shape.radii),
                "erase": shape.erase,
            }
        case Fixation():
            value = {"kind": "fixation", "points": [[shape.x, shape.y]], "duration": shape.duration}
            if shape.spread is not None:
                value["spread"] = list(shape.spread)
            if shape.shown is not None:
                value["shown"] = list(shape.shown)
    return value if shape.times is None else value | {"times": list(shape.times)}


def shape_from_json(value: object) -> Shape:
    """Make a shape of the JSON value that `shape_to_json` returns; `erase` and `times` may be missing.

    Raises:
        SalignError: the kind or a key is unknown, a key is missing, a value has a wrong type, or the shape's class
            refuses the values.
    """
    if not isinstance(value, Mapping):
        raise SalignError(f"a shape is an object with kind and points, got {_short(value)}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise SalignError(f"a shape's kind is one of {', '.join(_KINDS)}; got {_short(kind)}")
    keys, optional, make = _KINDS[kind]
    if missing := keys - value.keys():
        raise SalignError(f"{kind}: the key {min(missing)!r} is missing")
    all_keys = keys | optional | {"kind", "erase", "times"}
    if extra := value.keys() - all_keys:
        listed = ", ".join(sorted(all_keys))
        raise SalignError(f"{kind}: unknown key {_short(min(extra, key=str))}; its keys are {listed}")
    erase = value.get("erase", False)
    if not isinstance(erase, bool):
        raise SalignError(f"{kind}: expected erase to be true or false, got {_short(erase)}")
    return make(value, erase, value.get("times"))


def scaled(shape: Shape, across: float, down: float) -> Shape:
    """Scale a shape as when its image is resized: multiply x by `across` and y by `down`.

    A round brush stays round: its radii are multiplied by the square root of `across * down`.

    Raises:
        SalignError: a factor is not positive and finite, or a coordinate would be beyond `FARTHEST`.
    """
    if not (0 < across < math.inf and 0 < down < math.inf):
        raise SalignError(f"expected factors > 0, got {across} and {down}")
    match shape:
        case Polygon() | Stroke():
            points = tuple((x * across, y * down) for x, y in shape.points)
            if isinstance(shape, Polygon):
                return replace(shape, points=points)
            return replace(shape, points=points, radii=tuple(r * math.sqrt(across * down) for r in shape.radii))
        case Box():
            corners = (shape.x0 * across, shape.y0 * down, shape.x1 * across, shape.y1 * down)
            return Box(*corners, shape.erase, shape.times)
        case Fixation(spread=spread, shown=shown):
            return replace(
                shape,
                x=shape.x * across,
                y=shape.y * down,
                spread=spread and (spread[0] * across, spread[1] * down),
                shown=shown and (shown[0] * across, shown[1] * down, shown[2] * across, shown[3] * down),
            )


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 of the smallest upright rectangle around a shape; for a fixation, around its point."""
    match shape:
        case Box():
            return shape.x0, shape.y0, shape.x1, shape.y1
        case Fixation():
            return shape.x, shape.y, shape.x, shape.y
        case Polygon():
            discs = [(x, y, 0.0) for x, y in shape.points]
        case Stroke():
            discs = [(x, y, r) for (x, y), r in zip(shape.points, shape.radii, strict=True)]
    low, high = (lambda k: min(d[k] - d[2] for d in discs)), (lambda k: max(d[k] + d[2] for d in discs))
    return low(0), low(1), high(0), high(1)


def _box(value: Mapping[str, Any], erase: bool, times: Any) -> Box:
    (x0, y0), (x1, y1) = _points(value["points"], "box", least=2, most=2)
    return Box(x0, y0, x1, y1, erase, times)


def _fixation(value: Mapping[str, Any], erase: bool, times: Any) -> Fixation:
    ((x, y),) = _points(value["points"], "fixation", least=1, most=1)
    return Fixation(x, y, value["duration"], erase, times, value.get("spread"), value.get("shown"))


_KINDS: dict[str, tuple[set[str], set[str], Callable[[Mapping[str, Any], bool, Any], Shape]]] = {
    "polygon": ({"points"}, set(), lambda value, erase, times: Polygon(value["points"], erase, times)),
    "box": ({"points"}, set(), _box),
    "stroke": ({"points", "radii"}, set(), lambda value, *more: Stroke(value["points"], value["radii"], *more)),
    "fixation": ({"points", "duration"}, {"spread", "shown"}, _fixation),
}
"""For each kind of shape in JSON: the keys it needs, further keys it may have, and a function of (value, erase, times)
that makes it."""


def _settle(shape: Shape, points: tuple[Point, ...], *, stored: bool = True) -> None:
    """Store the checked points (if `stored`) and the times in the frozen shape, as tuples of floats."""
    if stored:
        object.__setattr__(shape, "points", points)
    if shape.times is not None:
        object.__setattr__(shape, "times", _numbers(shape.times, "times", len(points), each=", one per point"))


def _points(value: object, what: str, *, least: int, most: int = MOST_POINTS) -> tuple[Point, ...]:
    if not isinstance(value, list | tuple):
        raise SalignError(f"{what}: expected a list of points, got {_short(value)}")
    if not least <= len(value) <= most:
        raise SalignError(f"{what}: expected {least} to {most} points, got {len(value)}")
    for point in value:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise SalignError(f"{what}: expected points [x, y], got {_short(point)}")
    numbers = _numbers([number for point in value for number in point], f"{what}: points", 2 * len(value))
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _numbers(value: object, what: str, count: int, each: str = "") -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        got = len(value) if isinstance(value, list | tuple) else _short(value)
        raise SalignError(f"{what}: expected {count} numbers{each}, got {got}")
    for number in value:
        # Comparing with the bounds first refuses a whole number that is too large to be converted to a float.
        if isinstance(number, bool) or not isinstance(number, int | float) or not -FARTHEST <= number <= FARTHEST:
            raise SalignError(f"{what}: expected finite numbers up to {FARTHEST:g}, got {_short(number)}")
    floats = isinstance(value, tuple) and all(type(number) is float for number in value)
    return value if floats else tuple(map(float, value))  # type: ignore[return-value]  # no copy: shapes share it


def _lists(points: Iterable[Point]) -> list[list[float]]:
    return [list(point) for point in points]


def _short(value: object) -> str:
    """Describe a value for an error message in at most one line, however large the value is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > FARTHEST:
        return f"a number of {math.ceil(value.bit_length() * math.log10(2))} digits"
    if isinstance(value, str):
        return repr(value[:40])
    return repr(value) if value is None or isinstance(value, bool | int | float) else type(value).__name__
