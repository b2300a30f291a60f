"""What the page computes, without a server: finding and changing finished shapes, the history, ellipses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import drawn
from salign.maps.rasterize import rasterize
from salign.maps.shapes import shape_from_json

Script = Callable[..., Any]

BOX = {"kind": "box", "points": [[10, 10], [30, 20]], "erase": False}
TRIANGLE = {"kind": "polygon", "points": [[20, 5], [60, 5], [40, 45]], "erase": False, "times": [1, 2, 3]}
STROKE = {"kind": "stroke", "points": [[50, 50], [90, 50]], "radii": [4, 8], "erase": False}
STAR = {
    "kind": "polygon",
    "points": [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0], [10, 10], [30, 10], [30, 30], [10, 30], [10, 10]],
}


@pytest.mark.parametrize(
    ("x", "y", "slack", "found"),
    [
        (12, 12, 0.5, 0),
        (25, 12, 0.5, 1),  # in both: the one that was painted last
        (40, 44, 0.5, 1),
        (70, 55, 0.5, 2),  # 6 px wide there
        (52, 45, 0.5, None),  # 4.4 px wide there
        (52, 45, 2.0, 2),  # but its edge is near
        (31, 19.5, 2.0, 1),  # inside of one counts before the edge of another
        (5, 90, 2.0, None),
    ],
)
def test_a_click_finds_the_shape_that_is_seen(
    script: Script, x: float, y: float, slack: float, found: int | None
) -> None:
    shapes = [BOX, TRIANGLE, STROKE]
    call = "({ shapeAt }, [shapes, ...at]) => shapes.indexOf(shapeAt(shapes, ...at))"
    assert script("canvas/edit.js", call, [shapes, x, y, slack]) == (-1 if found is None else found)


def test_the_hole_of_a_ring_is_not_the_ring(script: Script) -> None:
    call = "({ shapeAt }, ring) => [[5, 20], [20, 20]].map((at) => shapeAt([ring], ...at, 1) !== null)"
    assert script("canvas/edit.js", call, STAR) == [True, False]


def test_shapes_are_moved_and_dragged(script: Script) -> None:
    """Points of a polygon move alone; a box and a stroke are stretched from the opposite corner."""
    call = """({ moved, dragged, handles }, [box, triangle, stroke]) => ({
        moved: moved(triangle, 1.5, -2).points,
        corner: dragged(triangle, 2, 50, 60),
        box: dragged(box, 0, 20, 0).points,
        pressed: dragged(box, 2, -100, 15).points,
        handles: handles(stroke),
        stroke: dragged(stroke, 2, 46 + 2 * 52, 42 + 2 * 16),
        before: triangle.points,
    })"""
    found = script("canvas/edit.js", call, [BOX, TRIANGLE, STROKE])
    assert found["moved"] == [[21.5, 3], [61.5, 3], [41.5, 43]]
    assert found["corner"] == {**TRIANGLE, "points": [[20, 5], [60, 5], [50, 60]]}
    assert found["box"] == [[20, 0], [30, 20]]
    assert found["pressed"] == [[10, 10], [10.4, 15]], "a box is never turned inside out"
    assert found["handles"] == [[42, 42], [98, 42], [98, 58], [42, 58]]
    assert found["before"] == TRIANGLE["points"], "the shape itself stays: undo needs it"


def test_a_stretched_stroke_grows_in_width_and_length(script: Script) -> None:
    call = "({ dragged }, stroke) => dragged(stroke, 2, 42 + 2 * 56, 42 + 2 * 16)"
    assert script("canvas/edit.js", call, STROKE) == {**STROKE, "points": [[58, 58], [138, 58]], "radii": [8, 16]}


def test_an_ellipse_is_a_polygon_around_its_area(script: Script) -> None:
    """Within a twentieth of a pixel, at every size; the corners may come in any order."""
    for corners in ([[100.5, 60], [20, 30]], [[3, 3], [5, 9]], [[0, 0], [3000, 2000]]):
        points = script("canvas/tools.js", "({ ellipse }, corners) => ellipse(corners)", corners)
        (ax, ay), (bx, by) = corners
        across, down = abs(bx - ax) / 2, abs(by - ay) / 2
        x, y = np.array(points).T
        off = np.hypot((x - (ax + bx) / 2) / across, (y - (ay + by) / 2) / down) - 1
        assert np.abs(off).max() * max(across, down) < 0.02
        sagitta = max(across, down) * (1 - math.cos(math.pi / len(points)))
        assert sagitta < (0.12 if len(points) == 256 else 0.051)
    points = script("canvas/tools.js", "({ ellipse }, corners) => ellipse(corners)", [[20, 30], [100, 60]])
    rows, columns = np.mgrid[:80, :120] + 0.5
    inside = ((columns - 60) / 40) ** 2 + ((rows - 45) / 15) ** 2 <= 1
    ours = rasterize([shape_from_json({"kind": "polygon", "points": points})], (80, 120))
    assert drawn.iou(ours, inside) > 0.995


def test_what_is_replaced_comes_back_by_undo(script: Script) -> None:
    call = """({ History }) => {
        const history = new History();
        const kinds = () => history.state().shapes.map((shape) => shape.kind);
        for (const kind of ["a", "b", "c"]) history.push({ do: "add", shape: { kind } });
        history.push({ do: "replace", at: 1, shapes: [{ kind: "B" }] });
        history.push({ do: "replace", at: 0, shapes: [] });
        const seen = [kinds()];
        for (let i = 0; i < 3; i += 1) { history.undo(); seen.push(kinds()); }
        history.redo();
        seen.push(kinds());
        return seen;
    }"""
    assert script("history.js", call) == [["B", "c"], ["a", "B", "c"], ["a", "b", "c"], ["a", "b"], ["a", "b", "c"]]


def test_edges_drawn_piece_by_piece_are_those_drawn_at_once(script: Script) -> None:
    """Edges lie around the marks and not on them; boxes with half pixels leave no seams."""
    call = """({ edge }) => {
        const canvas = () => Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
        const [marks, whole, pieces] = [canvas(), canvas(), canvas()].map((one) => one.getContext("2d"));
        marks.fillStyle = "#12bdf5";
        marks.fillRect(10, 10, 40, 20);
        edge(whole, marks.canvas, 1, null);
        for (let x = 0; x < 60; x += 7.3) edge(pieces, marks.canvas, 1, [x, 0, x + 7.3, 40]);
        return [whole, pieces].map((one) => [...one.getImageData(0, 0, 60, 40).data]);
    }"""
    whole, pieces = (np.array(values).reshape(40, 60, 4) for values in script("canvas/paint.js", call))
    assert np.array_equal(whole, pieces)
    assert whole[10:30, 10:50, 3].max() == 0
    assert whole[20, 9].tolist() == [18, 189, 245, 255]
    assert whole[20, 7, :3].tolist() == [0, 0, 0], "dark further out"
    assert whole[20, 7, 3] == 102, "half of a pixel, of four fifths"
    assert whole[20, 5].tolist() == [0, 0, 0, 0]


def test_a_hidden_image_is_blurred_by_a_gaussian(script: Script) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 33, 4))
    call = "({ gaussian }, [pixels, sigma]) => [...gaussian(Uint8ClampedArray.from(pixels), 33, 20, sigma)]"
    blurred = np.array(script("canvas/reveal.js", call, [picture.ravel().tolist(), 2.5])).reshape(20, 33, 4)
    expected = ndimage.gaussian_filter(picture.astype(float), (2.5, 2.5, 0), mode="nearest", radius=(8, 8, 0))
    assert np.abs(blurred - expected).max() <= 0.51, "but for rounding"
