from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, strategies as st

from salign.errors import SalignError
from salign.maps.shapes import (
    FARTHEST,
    MOST_POINTS,
    Box,
    Fixation,
    Polygon,
    Shape,
    Stroke,
    scaled,
    shape_from_json,
    shape_to_json,
)

number = st.floats(-FARTHEST, FARTHEST)
point = st.tuples(number, number)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    kind = draw(st.sampled_from(["polygon", "box", "stroke", "fixation"]))
    least, most = {"polygon": (3, 6), "box": (2, 2), "stroke": (1, 6), "fixation": (1, 1)}[kind]
    points = tuple(draw(st.lists(point, min_size=least, max_size=most)))
    times = draw(st.none() | st.lists(number, min_size=len(points), max_size=len(points)).map(tuple))
    erase = draw(st.booleans())
    if kind == "polygon":
        return Polygon(points, erase, times)
    if kind == "box":
        (xa, ya), (xb, yb) = points
        return Box(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb), erase, times)
    if kind == "stroke":
        return Stroke(points, tuple(draw(st.floats(0, FARTHEST)) for _ in points), erase, times)
    spread = draw(st.none() | st.tuples(*[st.floats(1e-6, FARTHEST)] * 2))
    shown = draw(st.none() | st.tuples(*[st.floats(-FARTHEST, 0)] * 2, *[st.floats(1, FARTHEST)] * 2))
    return Fixation(*points[0], draw(st.floats(0, FARTHEST)), times=times, spread=spread, shown=shown)


@given(shapes())
def test_a_shape_comes_back_from_json(shape):
    assert shape_from_json(json.loads(json.dumps(shape_to_json(shape)))) == shape


def test_the_form_in_json():
    assert shape_to_json(Polygon(((0, 0), (1, 0), (0, 1)))) == {
        "kind": "polygon",
        "points": [[0, 0], [1, 0], [0, 1]],
        "erase": False,
    }
    assert shape_to_json(Box(0, 1, 2, 3, erase=True)) == {"kind": "box", "points": [[0, 1], [2, 3]], "erase": True}
    assert shape_to_json(Stroke(((1, 2),), (3,), times=(40,))) == {
        "kind": "stroke",
        "points": [[1, 2]],
        "radii": [3],
        "erase": False,
        "times": [40],
    }
    assert shape_to_json(Fixation(1, 2, 212)) == {"kind": "fixation", "points": [[1, 2]], "duration": 212}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "an object"),
        ([], "an object"),
        ({}, "kind is one of"),
        ({"kind": "circle"}, "'circle'"),
        ({"kind": ["box"]}, "kind is one of"),
        ({"kind": "polygon"}, "'points' is missing"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1]]}, "^polygon: expected 3 to"),
        ({"kind": "polygon", "points": [[0, 0]] * (MOST_POINTS + 1)}, "got 100001"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2]]}, r"points \[x, y\]"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], "ab"]}, r"points \[x, y\]"),
        ({"kind": "polygon", "points": "abc"}, "list of points"),
        ({"kind": "polygon", "points": {"a": 1}}, "list of points"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, float("nan")]]}, "finite"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, float("inf")]]}, "finite"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 10**400]]}, "401 digits"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 10**5000]]}, "5001 digits"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, True]]}, "finite"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, "3"]]}, "finite"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "erase": 1}, "true or false"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "times": [1]}, "times: expected 3 numbers, one per"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "times": 7}, "times: expected 3"),
        (
            {"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "colour": "red"},
            "unknown key 'colour'; its keys are erase, kind, points, times",
        ),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "radii": [1, 1, 1]}, "unknown key 'radii'"),
        ({"kind": "box", "points": [[3, 0], [1, 1]]}, "top left corner first"),
        ({"kind": "box", "points": [[0, 0], [1, 1], [2, 2]]}, "^box: expected 2 to 2"),
        ({"kind": "stroke", "points": [], "radii": []}, "^stroke: expected 1 to"),
        ({"kind": "stroke", "points": [[0, 0]], "radii": [1, 2]}, "^stroke: radii: expected 1"),
        ({"kind": "stroke", "points": [[0, 0]], "radii": [-1]}, "^stroke: expected radii >= 0"),
        ({"kind": "stroke", "points": [[0, 0]], "radii": {"0": 1}}, "radii: expected 1"),
        ({"kind": "stroke", "points": [[0, 0]]}, "'radii' is missing"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": -1}, "^fixation: expected a duration >= 0 ms"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": "1"}, "^fixation: duration: .*finite"),
        ({"kind": "fixation", "points": [[0, 0], [1, 1]], "duration": 1}, "^fixation: expected 1 to 1"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": 1, "erase": True}, "only areas erase"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": 1, "spread": [1, 0]}, "^fixation: expected a spread > 0"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": 1, "spread": 3}, "^fixation: spread: expected 2"),
        ({"kind": "fixation", "points": [[0, 0]], "duration": 1, "shown": [0, 0, 0, 5]}, "expected shown x0"),
        (
            {"kind": "fixation", "points": [[0, 0]], "duration": 1, "shown": [0, 0, 5]},
            "^fixation: shown: expected 4 numbers, got 3",
        ),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], "shown": [0, 0, 1, 1]}, "unknown key 'shown'"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1], [2, 3]], 7: 1}, "unknown key"),
    ],
)
def test_what_is_wrong_is_named(value, complaint):
    with pytest.raises(SalignError, match=complaint):
        shape_from_json(value)


def test_a_message_stays_short():
    with pytest.raises(SalignError) as caught:
        shape_from_json({"kind": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_shapes_hold_tuples_of_floats_however_they_are_made():
    shape = Stroke([[1, 2], [3, 4]], [1, 2], times=[0, 10])  # type: ignore[arg-type]
    assert shape == Stroke(((1.0, 2.0), (3.0, 4.0)), (1.0, 2.0), times=(0.0, 10.0))
    assert hash(shape) == hash(Stroke(((1.0, 2.0), (3.0, 4.0)), (1.0, 2.0), times=(0.0, 10.0)))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Polygon(((1, 2), (3, 4), (5, 6)), True), Polygon(((2, 6), (6, 12), (10, 18)), True)),
        (Box(1, 2, 3, 4, times=(5, 6)), Box(2, 6, 6, 12, times=(5, 6))),
        (Stroke(((1, 2),), (5,)), Stroke(((2, 6),), (5 * math.sqrt(6),))),
        (
            Fixation(1, 2, 300, spread=(1, 2), shown=(0, 0, 3, 4)),
            Fixation(2, 6, 300, spread=(2, 6), shown=(0, 0, 6, 12)),
        ),
        (Fixation(1, 2, 300), Fixation(2, 6, 300)),
    ],
)
def test_scaling_goes_with_the_image(shape, expected):
    assert scaled(shape, 2, 3) == expected


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_is_positive(factor):
    with pytest.raises(SalignError, match="factors > 0"):
        scaled(Box(0, 0, 1, 1), factor, 1)
