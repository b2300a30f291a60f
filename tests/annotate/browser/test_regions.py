"""What the page computes for regions, without a server: superpixels, the wand's flood, outlines of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import drawn
from salign.maps.rasterize import rasterize
from salign.maps.shapes import shape_from_json

Script = Callable[..., Any]

CELLS = """({ superpixels, boxesOf }, [pixels, width, height, size]) => {
    const labels = superpixels(Uint8ClampedArray.from(pixels), width, height, size);
    return { labels: [...labels], boxes: [...boxesOf(labels, width)] };
}"""


def rgba(picture: np.ndarray) -> list[int]:
    """(H, W, 3) as a canvas gives it."""
    return np.dstack([picture, np.full(picture.shape[:2], 255)]).astype(int).ravel().tolist()


def two_halves() -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture with a slanting edge, (60, 90, 3), and which pixels are on its left."""
    rows, columns = np.mgrid[:60, :90]
    left = columns < 30 + rows / 2
    noise = np.random.default_rng(0).normal(0, 4, (60, 90, 3))
    return np.where(left[..., None], (90, 120, 60), (120, 90, 140)) + noise, left


def test_superpixels_follow_edges_and_are_connected(script: Script) -> None:
    picture, left = two_halves()
    found = script("canvas/superpixels.js", CELLS, [rgba(picture.clip(0, 255)), 90, 60, 10])
    labels = np.array(found["labels"]).reshape(60, 90)
    assert sorted(set(labels.ravel())) == list(range(54)), "9 x 6 seeds, and every pixel is of a cell"
    crossing = 0
    for cell in range(54):
        inside = labels == cell
        assert ndimage.label(inside)[1] == 1
        crossing += min((inside & left).sum(), (inside & ~left).sum())
        rows, columns = np.nonzero(inside)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found["boxes"][4 * cell : 4 * cell + 4] == box
    assert crossing <= 5, "of 5,400 pixels hardly any is in a cell of the other half"
    sizes = np.bincount(labels.ravel())
    assert 60 < sizes.min() <= sizes.max() < 140, "of 100"


def test_superpixels_of_a_flat_picture_are_squares(script: Script) -> None:
    flat = np.full((40, 60, 3), 128)
    labels = np.array(script("canvas/superpixels.js", CELLS, [rgba(flat), 60, 40, 20])["labels"]).reshape(40, 60)
    rows, columns = np.mgrid[:40, :60]
    assert (labels == rows // 20 * 3 + columns // 20).mean() > 0.9


def test_a_picture_smaller_than_a_cell_is_one(script: Script) -> None:
    assert script("canvas/superpixels.js", CELLS, [rgba(np.zeros((2, 3, 3))), 3, 2, 50]) == {
        "labels": [0] * 6,
        "boxes": [0, 0, 3, 2],
    }


@pytest.mark.parametrize("tolerance", [0, 12, 40, 255])
def test_the_wand_takes_what_is_connected_and_alike(script: Script, tolerance: int) -> None:
    picture = np.random.default_rng(1).integers(0, 60, (20, 25, 3))
    call = "({ flood }, [pixels, ...at]) => [...flood(Uint8ClampedArray.from(pixels), 25, 20, ...at)]"
    found = np.array(script("canvas/trace.js", call, [rgba(picture), 7, 11, tolerance])).reshape(20, 25)
    alike = (np.abs(picture - picture[11, 7]) <= tolerance).all(2)
    parts, _ = ndimage.label(alike)
    assert np.array_equal(found == 1, parts == parts[11, 7])


def outline(
    script: Script, inside: np.ndarray, scale: float = 1, tolerance: float = 0, smallest: int = 0
) -> list[list[float]]:
    call = """({ trace, joined }, [inside, width, height, scale, ...more]) =>
        joined(trace(Uint8Array.from(inside), width, height), ([x, y]) => [x * scale, y * scale], ...more)"""
    height, width = inside.shape
    return script(
        "canvas/trace.js", call, [inside.astype(int).ravel().tolist(), width, height, scale, tolerance, smallest]
    )


@pytest.mark.parametrize("seed", range(6))
def test_pixels_with_holes_and_in_parts_are_one_polygon(script: Script, seed: int) -> None:
    """To the pixel, also as another program draws it: lines that join the loops hold nothing."""
    inside = np.random.default_rng(seed).random((12, 17)) < (0.15 + 0.14 * seed)
    points = outline(script, inside)
    polygon = shape_from_json({"kind": "polygon", "points": points})
    assert np.array_equal(rasterize([polygon], (12, 17)), inside)
    assert np.array_equal(drawn.polygon([(x, y) for x, y in points], (12, 17)), inside)


def test_an_outline_of_few_points_stays_near_and_leaves_specks_out(script: Script) -> None:
    rows, columns = np.mgrid[:60, :80] + 0.5
    disc = np.hypot(columns - 40, rows - 30) < 22
    exact = outline(script, disc, scale=5)
    disc[5, 5] = True  # a speck outside, and one inside
    disc[30, 40] = False
    points = outline(script, disc, scale=5, tolerance=3.75, smallest=3)
    assert len(points) < 0.6 * len(exact)
    big = np.hypot(*(np.mgrid[:300, :400][::-1] + 0.5 - np.array([200, 150])[:, None, None])) < 110
    assert drawn.iou(rasterize([shape_from_json({"kind": "polygon", "points": points})], (300, 400)), big) > 0.97


def test_nothing_is_no_polygon(script: Script) -> None:
    assert outline(script, np.zeros((4, 4))) == []


def test_a_cell_is_painted_where_marks_cover_more_than_half_of_it(script: Script) -> None:
    """The image is twice as large as its grid; the cell is the left half of it."""
    call = """async ({ Grid, Cells }, shapes) => {
        const grid = new Grid(await createImageBitmap(new ImageData(1600, 800)), 1600, 800);
        const labels = Int32Array.from({ length: 800 * 400 }, (_, i) => (i % 800 < 400 ? 0 : 1));
        const cells = new Cells(grid, labels, Int32Array.of(0, 0, 400, 400, 400, 0, 800, 400));
        return {
            size: [grid.width, grid.height, grid.across],
            at: [[799, 0], [800, 799], [-1, 5], [1600, 5]].map(([x, y]) => cells.at({ x, y })),
            both: cells.outline(new Set([0, 1])),
            one: cells.shapeOf(1).points,
            painted: [0, 1].map((cell) => cells.isPainted(cell, shapes)),
        };
    }"""
    box = {"kind": "box", "points": [[300, 0], [1200, 800]], "erase": False}
    cut = {"kind": "box", "points": [[900, 0], [1000, 800]], "erase": True}
    assert script("canvas/grid.js", call, [box, cut]) == {
        "size": [800, 400, 2],
        "at": [0, 1, -1, -1],
        "both": [[0, 0], [1600, 0], [1600, 800], [0, 800]],
        "one": [[800, 0], [1600, 0], [1600, 800], [800, 800]],
        "painted": [True, False],
    }
