"""Strokes in SVG and in fabric.js canvases."""

from __future__ import annotations

import numpy as np
import pytest

from salign.annotations.formats.fields import Field
from salign.annotations.formats.svg import PIECES, fabric_strokes, strokes_in
from salign.annotations.formats.xml import parse
from salign.errors import SalignError
from salign.maps.shapes import Stroke


def read(inside, head='width="60" height="40"'):
    text = f'<svg xmlns="http://www.w3.org/2000/svg" {head}>{inside}</svg>'
    return strokes_in(parse(text.encode(), "a.svg"), "a.svg")


def test_lines_moves_and_the_pens_width():
    strokes, size = read('<path d="M1 2L3,4 5-6h0" stroke-width="4px"/>'.replace("h0", "H7V8Z"))
    assert size == (40, 60)
    assert strokes == [Stroke(((1, 2), (3, 4), (5, -6), (7, -6), (7, 8), (1, 2)), (2,) * 6)]
    strokes, size = read('<g><path style="fill:none; stroke-width: 6;" d="M 1 1 L 2 2 M 5 5 L 6 6"/></g>', "")
    assert size is None
    assert [stroke.points for stroke in strokes] == [((1, 1), (2, 2)), ((5, 5), (6, 6))]
    assert {radius for stroke in strokes for radius in stroke.radii} == {3}


def test_transformations_move_and_scale():
    inner = '<path d="M 1 1 L 2 2" stroke-width="2" transform=" translate(-1, 3) "/>'
    (stroke,), _ = read(f'<g transform="scale(2) translate(10)"><g transform="matrix(2 0 0 2 1 1)">{inner}</g></g>')
    assert stroke.points == ((2 * (10 + 1), 2 * (1 + 2 * 4)), (2 * (10 + 1 + 2), 2 * (1 + 2 * 5)))
    assert stroke.radii == (4, 4)


@pytest.mark.parametrize(("letter", "controls"), [("Q", [(4, 9), (8, 1)]), ("C", [(4, 9), (8, 1), (9, 9)])])
def test_curves_are_met_by_close_points(letter, controls):
    numbers = " ".join(f"{x} {y}" for x, y in controls)
    (stroke,), _ = read(f'<path d="M 1 1 {letter} {numbers}" stroke-width="2"/>')
    points = np.array([(1, 1), *controls], dtype=float)
    for k, found in enumerate(stroke.points):
        t, level = k / PIECES, points
        while len(level) > 1:  # de Casteljau
            level = (1 - t) * level[:-1] + t * level[1:]
        assert found == pytest.approx(tuple(level[0]))
    assert len(stroke.points) == PIECES + 1


TURNED = "strokes may be moved and scaled alike, not turned or squeezed"


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("<rect/>", "<rect> is not read; free drawing gives <path>"),
        ("<path/>", "<path>: the key 'd' is missing; there is nothing"),
        ('<path d="L 1 1"/>', "<path>: a path begins with M"),
        ('<path d="M 1"/>', "<path>: d: expected 2 numbers after M, got 'M 1'"),
        (
            '<path d="M 1 1 A 1 1 0 0 1 2 2"/>',
            "<path>: d: expected the commands M, L, H, V, Q, C and Z, got 'M 1 1 A 1 1 0 0 1 2 2'",
        ),
        ('<path d="m 1 1"/>', "<path>: d: expected the commands M, L, H, V, Q, C and Z, got 'm 1 1'"),
        ('<path d="1 1"/>', "<path>: d: expected a command before each number, got '1 1'"),
        ('<path d="M 1 1 ; drop"/>', "<path>: d: expected a path of commands and numbers, got 'M 1 1 ; drop'"),
        ('<path d="M 1e99 1"/>', "<path>: [1]: expected a number from -1e+09 to 1e+09, got '1e99'"),
        (
            '<path d="M 1 1 L 2 2" stroke-width="-1"/>',
            "<path>: stroke-width: expected a number from 0 to 1e+09, got '-1'",
        ),
        (
            '<path d="M 1 1 L 2 2" stroke-width="wide"/>',
            "<path>: stroke-width: expected a number from 0 to 1e+09, got 'wide'",
        ),
        ('<path d="M 1 1" transform="rotate(30)"/>', "expected matrix, translate or scale, got 'rotate(30)'"),
        ('<path d="M 1 1" transform="matrix(1 1 0 1 0 0)"/>', TURNED),
        ('<path d="M 1 1" transform="matrix(-1 0 0 -1 0 0)"/>', TURNED),
        ('<path d="M 1 1" transform="scale(1 2)"/>', TURNED),
        ('<path d="M 1 1" transform="scale(nan)"/>', TURNED),
        ('<path d="M 1 1" transform="("/>', "expected matrix, translate or scale, got '('"),
        ("<g>" * 60 + "</g>" * 60, "nested too deeply"),
    ],
)
def test_what_is_no_stroke_is_refused(inside, said):
    with pytest.raises(SalignError) as caught:
        read(inside)
    assert str(caught.value) == f"a.svg: {said}"


COMMAND = "path[0]: expected a command M, L, H, V, Q, C or Z with its numbers, got a list"


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ({"type": "rect"}, ".type: expected 'path', as free drawing gives, got 'rect'"),
        (
            {"type": "path", "path": [["M", 1, 1]], "strokeWidth": 2, "angle": 30},
            ".angle: expected 0: a path as it was drawn, got 30",
        ),
        ({"type": "path", "path": [["M", 1]], "strokeWidth": 2}, f".{COMMAND}"),
        ({"type": "path", "path": [["X", 1, 1]], "strokeWidth": 2}, f".{COMMAND}"),
        ({"type": "path", "path": [[]], "strokeWidth": 2}, f".{COMMAND}"),
        ({"type": "path", "path": [["L", 1, 1]], "strokeWidth": 2}, ": a path begins with M"),
        ({"type": "path", "path": [["M", 1, 1]]}, ": the key 'strokeWidth' is missing; there is 'type', 'path'"),
    ],
)
def test_what_is_no_free_drawing_is_refused(drawn, said):
    with pytest.raises(SalignError) as caught:
        fabric_strokes(Field({"objects": [drawn]}, "canvas"))
    assert str(caught.value) == f"canvas: objects[0]{said}"
