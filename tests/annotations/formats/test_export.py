"""What is exported and read again is what was there: shapes where the format knows them, else the same pixels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks, scaled_to
from salign.annotations.formats import annotation_format
from salign.annotations.formats.coco import write_coco
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.maps.rasterize import rasterize
from salign.maps.shapes import Box, Fixation, Polygon, Stroke, scaled

SIZE = (24, 32)
across, down = st.floats(0, 32).map(lambda x: round(x, 3)), st.floats(0, 24).map(lambda y: round(y, 3))
points = st.tuples(across, down)
polygons = st.lists(points, min_size=3, max_size=8).map(lambda corners: Polygon(tuple(corners)))
boxes = st.tuples(points, points).map(lambda ends: Box(*map(min, *ends), *map(max, *ends)))
strokes = st.lists(points, min_size=1, max_size=4).map(lambda line: Stroke(tuple(line), (2.5,) * len(line)))
masks = arrays(bool, SIZE).filter(lambda mask: mask.any())
labels = st.sampled_from(["lesion", "a, b", "<ö>", 'quote"d'])


def annotation(marks, name, label):
    if isinstance(marks, np.ndarray):
        return Annotated(name, SIZE, label, mask=Runs.of(marks))
    return Annotated(name, SIZE, label, tuple(marks))


lists = st.lists(
    st.tuples(
        st.one_of(
            st.lists(polygons | boxes, min_size=1, max_size=4), st.lists(strokes | boxes, min_size=1, max_size=3), masks
        ),
        labels,
    ),
    min_size=1,
    max_size=4,
)


def made(marks, suffix=".png"):
    found = [annotation(one, f"set/{number}{suffix}", label) for number, (one, label) in enumerate(marks)]
    return [*found, Annotated(f"set/blank{suffix}", SIZE)]


def again(name, annotated, target):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / target if target else Path(folder) / "labels"
        return annotation_format(name).read(annotation_format(name).writer(annotated, out))


def pixels(annotated, name):
    return draw_marks([one for one in annotated if name in one.image], SIZE) > 0


@settings(deadline=None, max_examples=60)
@given(lists)
@pytest.mark.parametrize(("name", "target"), [("coco", "instances.json"), ("cvat", "a.xml"), ("labelme", "")])
def test_pixels_labels_and_blanks_survive(name, target, marks):
    annotated = made(marks)
    found = again(name, annotated, target)
    assert {one.size for one in found} == {SIZE}
    for one in annotated:
        assert np.array_equal(pixels(found, one.image), pixels(annotated, one.image))
        if pixels(annotated, one.image).any():
            assert {other.label for other in found if one.image in other.image} == {one.label}
    assert [(one.shapes, one.mask) for one in found if "blank" in one.image] == [((), None)]


@settings(deadline=None, max_examples=60)
@given(st.lists(polygons | boxes, min_size=1, max_size=5))
@pytest.mark.parametrize(("name", "target"), [("cvat", "a.xml"), ("labelme", ""), ("coco", "a.json")])
def test_outlines_survive_exactly(name, target, shapes):
    (found,) = again(name, [Annotated("a.png", SIZE, "x", tuple(shapes))], target)
    assert found.shapes == tuple(cornered(shape) if name == "coco" else shape for shape in shapes)


@pytest.mark.parametrize(("name", "target"), [("labelme", ""), ("coco", "a.json")])
def test_a_machines_mark_stays_a_machines(name, target):
    makers = ("model:net@1a2b3c4d", None)
    annotated = [Annotated(f"{k}.png", SIZE, "x", (Box(1, 2, 5, 6),), annotator=who) for k, who in enumerate(makers)]
    assert [(one.image, one.annotator) for one in again(name, annotated, target)] == [
        ("0.png", "model:net@1a2b3c4d"), ("1.png", None),
    ]  # fmt: skip


def test_marks_without_a_label_are_exported_as_unnamed():
    for label in ("x", None):
        (found,) = again("coco", [Annotated("a.png", SIZE, label, (Box(1, 2, 5, 6),))], "a.json")
        assert found.label == (label or "unnamed")


def cornered(shape):
    """A box as COCO has it: four corners."""
    if isinstance(shape, Polygon):
        return shape
    return Polygon(((shape.x0, shape.y0), (shape.x1, shape.y0), (shape.x1, shape.y1), (shape.x0, shape.y1)))


@settings(deadline=None, max_examples=60)
@given(st.lists(polygons | boxes, min_size=1, max_size=5))
def test_yolo_keeps_outlines_to_the_last_digits(shapes):
    found = again("yolo", [Annotated("set/a.png", SIZE, "x", tuple(shapes)), Annotated("set/b.png", SIZE)], "")
    assert [one.image for one in found] == ["set/a", "set/b"]
    for kept, shape in zip(found[0].shapes, shapes, strict=True):
        assert type(kept) is type(shape)
        assert numbers(scaled(kept, SIZE[1], SIZE[0])) == pytest.approx(numbers(shape), abs=1e-9)
    assert found[1].shapes == ()


halves = st.tuples(st.integers(0, 98).map(lambda x: x / 2), st.integers(0, 74).map(lambda y: y / 2))
"""Corners on the centres and edges of the pixels of 49 x 37, sides of which few shares are exact."""


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(halves, min_size=3, max_size=6).map(lambda corners: Polygon(tuple(corners)))
        | st.tuples(halves, halves).map(lambda ends: Box(*map(min, *ends), *map(max, *ends))),
        min_size=1,
        max_size=4,
    )
)
def test_yolo_keeps_every_pixel_where_edges_lie_on_centres(shapes):
    mark = Annotated("a.png", (37, 49), "x", tuple(shapes))
    (back,) = again("yolo", [mark], "")
    assert scaled_to(back, (37, 49)).shapes == tuple(shapes)
    assert np.array_equal(draw_marks([back], (37, 49)), draw_marks([mark], (37, 49)))


def numbers(shape):
    if isinstance(shape, Box):
        return [shape.x0, shape.y0, shape.x1, shape.y1]
    return [number for point in shape.points for number in point]


@settings(deadline=None, max_examples=40)
@given(masks)
def test_yolo_has_the_box_around_a_mask(mask):
    (found,) = again("yolo", [annotation(mask, "a.png", "x")], "")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    around = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert numbers(scaled(found.shapes[0], SIZE[1], SIZE[0])) == pytest.approx(around, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.lists(polygons | boxes | strokes, min_size=1, max_size=4), masks)
def test_pycocotools_reads_what_is_written(tmp_path_factory, shapes, mask):
    oracle = pytest.importorskip("pycocotools.coco")
    disc = Stroke(((5.0, 5.0),), (3.0,))
    annotated = [Annotated("a.png", SIZE, "x", (disc, *shapes)), annotation(mask, "b.png", "y")]
    for compressed in (True, False):
        path = write_coco(annotated, tmp_path_factory.mktemp("coco") / "a.json", compressed=compressed)
        coco = oracle.COCO(path)
        for image, one in zip(coco.loadImgs(sorted(coco.imgs)), annotated, strict=True):
            found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            theirs = np.any([coco.annToMask(each) for each in found], axis=0)
            expected = draw_marks([one], SIZE) > 0
            assert np.array_equal(theirs, expected)
            assert found[0]["area"] == expected.sum()
            rows, columns = np.flatnonzero(expected.any(1)), np.flatnonzero(expected.any(0))
            assert found[0]["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_what_was_erased_is_exported_as_pixels(tmp_path):
    shapes = (Box(2, 2, 20, 20), Box(5, 5, 9, 9, erase=True))
    (found,) = again("coco", [Annotated("a.png", SIZE, "x", shapes)], "a.json")
    assert np.array_equal(found.mask.decode(), rasterize(shapes, SIZE))


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "yolo"])
def test_what_cannot_be_exported_is_said(name, tmp_path):
    write = annotation_format(name).writer
    with pytest.raises(SalignError, match="fixations have no area"):
        write([Annotated("a.png", SIZE, "x", (Fixation(1, 1, 1),))], tmp_path / "out")
    with pytest.raises(SalignError, match="its size is not known"):
        write([Annotated("a.png", None, "x", (Box(1, 1, 2, 2),))], tmp_path / "out")


@pytest.mark.parametrize("image", ["../a.png", "/etc/a.png", "C:\\a.png", ".."])
@pytest.mark.parametrize("name", ["labelme", "yolo"])
def test_no_export_leaves_its_folder(name, image, tmp_path):
    with pytest.raises(SalignError, match="expected the relative path of an image"):
        annotation_format(name).writer([Annotated(image, SIZE, "x", (Box(1, 1, 2, 2),))], tmp_path / "in" / "out")
    assert not list(tmp_path.rglob("*.txt"))
    assert not list(tmp_path.rglob("*.json"))
