"""Label Studio: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK, box_pixels, polygon_area
from references.rle import packed
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.maps.shapes import Box, Polygon, Stroke
from tool_files import (
    RECTANGLE,
    result,
    studio,
)  # fmt: skip


def test_label_studio(read_sample):
    found = read_sample("label-studio")
    assert {one.annotator for one in found} == {"2"}  # the cancelled annotation of the other does not count
    assert {one.image: one.image_labels for one in found} == {
        "/data/upload/1/0a1b2c3d-lesion.png": ("ill",),
        "pictures/clear.png": ("well",),
    }
    polygon, turned, ellipse = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert polygon == Polygon(((30, 5), (48, 5), (48, 30)))
    expected = box_pixels(22, 20, 30, 26)  # 6 x 8 with its corner at (30, 20), turned clockwise by a quarter about it
    assert np.array_equal(draw_marks([Annotated("", shapes=(turned,))], (40, 60)) > 0, expected)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    assert [np.array_equal(one.mask.decode(), SAMPLE_MASK) for one in found if one.mask is not None] == [True]
    assert [one.shapes for one in found if one.label == "vessel"] == [(Stroke(((54, 20),), (3,)), Box(0, 0, 3, 2))]


STUDIO_FAULTS = {
    "an image that was turned": (
        result("r2", "rectanglelabels", RECTANGLE) | {"image_rotation": 90},
        "expected an image that was not turned",
    ),
    "a video": (result("r2", "videorectangle", {"sequence": []}), "type: expected polygon, rectangle, ellipse"),
    "a size of 0": (result("r2", "rectanglelabels", RECTANGLE) | {"original_width": 0}, "expected 1 to 89,478,485"),
    "a mask of another size": (
        result("r2", "brushlabels", {"format": "rle", "rle": packed(np.ones((9, 9), bool)), "brushlabels": ["cat"]}),
        "expected 9600 values of 8 bits",
    ),
    "a mask in another packing": (
        result("r2", "brushlabels", {"format": "png", "rle": [], "brushlabels": ["cat"]}),
        "expected 'rle', got 'png'",
    ),
}


@pytest.mark.parametrize("name", STUDIO_FAULTS)
def test_label_studio_leaves_out_one_result_and_keeps_the_others(name, read):
    odd, message = STUDIO_FAULTS[name]
    found, faults = read("label-studio", studio(result("r1", "rectanglelabels", RECTANGLE), odd), "ls.json")
    assert [(one.label, one.shapes) for one in found] == [("cat", (Box(6, 4, 36, 24),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("label-studio", studio(odd), "ls.json")[0] == []


def test_label_studio_a_task_without_annotations_is_told_and_others_are_read(read):
    good = studio(result("r1", "rectanglelabels", RECTANGLE))["ls.json"]
    found, faults = read("label-studio", {"ls.json": [{"image": "a.png", "label": []}, *good]}, "ls.json")
    assert len(found) == 1
    assert faults == ["ls.json: [0]: has no annotations; export as JSON, not JSON-MIN"]


def test_label_studio_names_are_decoded(read):
    for address, name in (
        ("https://example.org/a%20b.png?X-Sig=1", "/a b.png"),
        ("/data/local-files/?d=x%2Fa.png", "x/a.png"),
    ):
        found, _ = read("label-studio", studio(result("r1", "rectanglelabels", RECTANGLE), image=address), "ls.json")
        assert found[0].image == name


def test_label_studio_of_several_questions_one_is_the_class(read):
    asked = [
        result("c1", "choices", {"choices": ["ill"]}, "diagnosis"),
        result("c2", "choices", {"choices": ["blurred"]}, "quality"),
    ]
    found, _ = read("label-studio", studio(*asked), "ls.json")
    assert found == [Annotated("/data/upload/1/1a2b3c4d-a.png", image_labels=("ill", "blurred"))]
    found, _ = read("label-studio", studio(*asked), "ls.json", attribute="diagnosis")
    assert found == [Annotated("/data/upload/1/1a2b3c4d-a.png", image_labels=("ill",))]
