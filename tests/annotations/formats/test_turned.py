"""Shapes that a tool turned: pixels against a slow version, on figures that no mirror image could be taken for.

CVAT turns boxes and ellipses about their middle, Label Studio rectangles about their top left corner and ellipses about
their middle, VIA ellipses about their middle (in radians); all of them clockwise as seen.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.annotations.resolve import drawn
from salign.maps.shapes import Box

SIZE = 50, 70
TURN = 25.0
"""Degrees."""


def label_studio(kind, **value):
    result = {
        "original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "id": "r", "type": kind,
        "value": {"x": 100 * 20 / SIZE[1], "y": 100 * 15 / SIZE[0], "rotation": TURN, **value},
    }  # fmt: skip
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "completed_by": 2, "result": [result]}]}
    return "a.json", json.dumps([task])


def cvat(shape):
    image = f'<image id="0" name="a.png" width="{SIZE[1]}" height="{SIZE[0]}">{shape}</image>'
    return "a.xml", f"<annotations><version>1.1</version>{image}</annotations>"


def via(shape):
    region = {"shape_attributes": shape, "region_attributes": {}}
    return "a.json", json.dumps(
        {"a.png5": {"filename": "a.png", "size": 5, "regions": [region], "file_attributes": {}}}
    )


def turned(middle, inside, degrees):
    """Pixels whose centre, turned back about `middle`, is inside."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    marked = np.zeros(SIZE, dtype=bool)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            x, y = column + 0.5 - middle[0], row + 0.5 - middle[1]
            marked[row, column] = inside(c * x + s * y, -s * x + c * y)
    return marked


def ellipse(x, y):
    return (x / 14) ** 2 + (y / 5) ** 2 <= 1


def box_about_its_middle(x, y):
    return abs(x) <= 15 and abs(y) <= 4


def box_from_its_corner(x, y):
    return 0 <= x <= 30 and 0 <= y <= 8


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


CASES = {
    "cvat box": (
        "cvat", cvat('<box label="a" xtl="20" ytl="21" xbr="50" ybr="29" rotation="25"></box>'),
        (35, 25), box_about_its_middle,
    ),
    "cvat ellipse": (
        "cvat", cvat('<ellipse label="a" cx="30" cy="25" rx="14" ry="5" rotation="25"></ellipse>'), (30, 25), ellipse
    ),
    "label studio rectangle": (
        "label-studio", label_studio("rectangle", width=100 * 30 / SIZE[1], height=100 * 8 / SIZE[0]),
        (20, 15), box_from_its_corner,
    ),
    "label studio ellipse": (
        "label-studio", label_studio("ellipse", radiusX=100 * 14 / SIZE[1], radiusY=100 * 5 / SIZE[0]),
        (20, 15), ellipse,
    ),
    "via ellipse": (
        "via", via({"name": "ellipse", "cx": 35, "cy": 25, "rx": 14, "ry": 5, "theta": math.radians(TURN)}),
        (35, 25), ellipse,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_turned_shape_lies_as_it_was_seen(name, tmp_path):
    form, (file, content), middle, inside = CASES[name]
    (tmp_path / file).write_text(content)
    (found,) = annotation_format(form).read(tmp_path / file)
    marked = drawn([Annotated("", shapes=found.shapes)], SIZE) > 0
    expected = turned(middle, inside, TURN)
    for other in (-TURN, 0, TURN + 90, 90 - TURN):  # what would be taken for it is far from it
        assert overlap(expected, turned(middle, inside, other)) < 0.75
    assert overlap(expected, marked) > 0.95


@pytest.mark.parametrize("regions", [0, 1, 2])
def test_every_region_of_a_via_table_is_read(tmp_path, regions):
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    shape = '"{""name"":""rect"",""x"":%d,""y"":2,""width"":3,""height"":4}"'
    rows = [f'a.png,5,"{{}}",{regions},{k},{shape % k},"{{}}"' for k in range(regions)] or [
        'a.png,5,"{}",0,0,"{}","{}"'
    ]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows, ""]))
    found = annotation_format("via").read(tmp_path / "a.csv")
    assert [one.shapes for one in found] == [tuple(Box(k, 2, k + 3, 6) for k in range(regions))]
