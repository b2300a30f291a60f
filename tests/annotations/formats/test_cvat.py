"""CVAT: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK, box_pixels, polygon_area
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.maps.shapes import Box, Polygon, Stroke
from tool_files import (
    BOX,
    cvat,
    marks,
)  # fmt: skip


def test_cvat(read_sample):
    found = read_sample("cvat")
    assert {one.annotator for one in found} == {"ann"}
    polygon, plain, turned, ellipse = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert polygon == Polygon(((30.5, 5), (50, 5.25), (50, 30)))
    assert plain == Box(20, 30, 25, 35)
    expected = box_pixels(33, 29, 37, 39)  # 10 x 4 about (35, 34), turned by a quarter
    assert np.array_equal(draw_marks([Annotated("", shapes=(turned,))], (40, 60)) > 0, expected)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    far = max(ellipse.points, key=lambda point: math.dist(point, (10, 30)))
    assert math.dist(far, (10, 30)) == pytest.approx(6, rel=1e-3)
    assert abs(math.degrees(math.atan2(far[1] - 30, far[0] - 10)) % 180 - 30) < 2  # clockwise: y is down
    assert [np.array_equal(one.mask.decode(), SAMPLE_MASK) for one in found if one.mask is not None] == [True]
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Stroke(((2, 2), (20, 2)), (2, 2)), Stroke(((55, 20),), (2,)))
    ]
    assert [one.image_labels for one in found if one.image == "clear.png"] == [("clear",)]


CVAT_FAULTS = {
    "a cuboid": ('<cuboid label="cat" xtl1="1"/>', "<cuboid> is not read; polygon, box"),
    "a skeleton": ('<skeleton label="cat"><points label="1" points="1,2"/></skeleton>', "<skeleton> is not read"),
    "points that are no pairs": ('<polygon label="cat" points="1,2;3"/>', "expected points x,y;x,y;..."),
    "no label": ('<box xtl="1" ytl="2" xbr="9" ybr="8"/>', "the key 'label' is missing"),
    "corners that are swapped": ('<box label="cat" xtl="9" ytl="2" xbr="1" ybr="8"/>', "top left corner first"),
    "a mask that does not fill its box": (
        '<mask label="cat" rle="3, 4" left="0" top="0" width="3" height="3"/>', "the runs add up to 7 pixels"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CVAT_FAULTS)
def test_cvat_leaves_out_one_shape_and_keeps_the_others(name, read):
    shape, message = CVAT_FAULTS[name]
    found, faults = read("cvat", cvat(BOX, shape), "c.xml")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 9, 8),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("cvat", cvat(shape), "c.xml")[0] == []


def test_cvat_points_are_apart_and_not_a_line(read):
    found, _ = read("cvat", cvat('<points label="cat" points="5,5;25,5"/>'), "c.xml", width=4.0)
    assert found[0].shapes == (Stroke(((5, 5),), (2,)), Stroke(((25, 5),), (2,)))
