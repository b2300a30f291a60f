"""labelme: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK, png
from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.maps.shapes import Box, Polygon, Stroke
from tool_files import (
    drawn,
    labelme,
    marks,
)  # fmt: skip


def test_labelme(read_sample):
    found = read_sample("labelme")
    assert {one.image for one in found} == {"..\\pictures\\lesion.png", "sub/clear.png"}
    shapes = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert shapes == (
        Polygon(((30.5, 5), (50, 5.25), (50, 30))),
        Box(20, 30, 25, 35),
        Stroke(((10, 30),), (4,)),
    )
    masks = [one.mask for one in found if one.mask is not None]
    assert np.array_equal(masks[0].decode(), SAMPLE_MASK)
    lines = next(one.shapes for one in found if one.label == "vessel")
    assert lines == (Stroke(((2, 2), (20, 2), (20, 8)), (2, 2, 2)), Stroke(((55, 20),), (2,)))


def test_labelme_flags_are_the_class_of_the_image(tmp_path):
    content = {"flags": {"ill": True, "well": False}, "shapes": [], "imagePath": "a.png"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content | {"imageHeight": 4, "imageWidth": 5}))
    assert annotation_format("labelme").read(path) == [Annotated("a.png", (4, 5), image_labels=("ill",))]


LABELME_FAULTS = {
    "a polygon of two points": (drawn("polygon", [1, 2], [9, 8]), "polygon: expected 3 to 100000 points, got 2"),
    "a circle of one point": (drawn("circle", [1, 2]), "a circle has 2 points, got 1"),
    "a line without a thickness": (drawn("linestrip", [1, 2], [9, 8]), "give --width"),
    "a point with three numbers": (drawn("polygon", [1, 2, 3], [9, 8], [4, 4]), "points[0]: expected [x, y], got 3"),
    "a kind that is new": (drawn("points", [1, 2]), "shape_type: expected polygon, rectangle,"),
    "no label": (drawn("rectangle", [1, 2], [9, 8], label=None), "the key 'label' is missing"),
    "a mask that is no picture": (drawn("mask", [1, 2], [9, 8], mask="AAAA"), "expected a PNG in base64"),
}


@pytest.mark.parametrize("name", LABELME_FAULTS)
def test_labelme_leaves_out_one_shape_and_keeps_the_others(name, read):
    odd, message = LABELME_FAULTS[name]
    found, faults = read("labelme", {"a.json": labelme(drawn("rectangle", [9, 8], [1, 2]), odd)})
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 9, 8),))]
    assert len(faults) == 1
    assert faults[0].startswith("a.json: shapes[1]")
    assert message in faults[0]
    assert read("labelme", {"a.json": labelme(odd)})[0] == []  # no blank


def test_labelme_beside_the_images_and_twice_of_one_image(read):
    here, there = labelme(imagePath="1.png"), labelme(imagePath="..\\dog\\1.png")
    found, faults = read("labelme", {"cat/1.json": here, "x/1.json": there})
    assert ([one.image for one in found], faults) == (["cat/1.png", "dog/1.png"], [])
    found, faults = read("labelme", {"x/2.json": there})
    assert [one.image for one in found] == ["cat/1.png"]
    assert faults == ["x/2.json: is of dog/1.png, and so is x/1.json; each image has one file"]


def test_labelme_another_json_in_the_folder_is_a_fault_of_its_own(read):
    found, faults = read("labelme", {"a.json": labelme(), "settings.json": {"theme": "dark"}})
    assert [one.image for one in found] == ["a.png"]
    assert faults == ["settings.json: the key 'shapes' is missing; there is 'theme'"]


def test_labelme_a_mask_without_the_size_of_the_image_is_a_fault(read):
    shape = drawn("mask", [1, 2], [3, 4], mask=png(np.ones((3, 3), np.uint8)))
    found, faults = read("labelme", {"a.json": labelme(shape, imageHeight=0, imageWidth=0)})
    assert found == []
    assert "a mask needs imageHeight and imageWidth" in faults[0]
