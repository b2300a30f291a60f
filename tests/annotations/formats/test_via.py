"""VIA: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import json
import math

import pytest

from annotation_samples import polygon_area
from salign.annotations.formats import annotation_format
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon, Stroke
from tool_files import (
    RECT,
    marks,
    via,
)  # fmt: skip


@pytest.mark.parametrize("name", ["via", "via csv"])
def test_via(name, read_sample):
    found = read_sample(name)
    polygon, plain, ellipse = next(one.shapes for one in found if one.label == "lesion")
    assert polygon == Polygon(((30, 5), (50, 5), (50, 30)))
    assert plain == Box(20, 30, 25, 35)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Stroke(((55, 10),), (3,)), Stroke(((2, 2), (20, 2)), (2, 2)), Stroke(((55, 20),), (2,)))
    ]


def test_via_asks_which_of_several_attributes_is_the_label(tmp_path):
    region = {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}
    attributes = {"kind": {"lesion": True, "vessel": False}, "sure": "yes"}
    regions = {"0": {"shape_attributes": region, "region_attributes": attributes}}
    files = {"a": {"filename": "a.png", "regions": regions}}
    path = tmp_path / "via.json"
    path.write_text(json.dumps(files))
    with pytest.raises(SalignError, match="'kind', 'sure'; say with --attribute"):
        annotation_format("via").read(path)
    (one,) = annotation_format("via").read(path, attribute="kind")
    assert (one.label, one.shapes) == ("lesion", (Box(1, 1, 3, 3),))


def test_via_labels_of_whole_images_need_no_name_of_their_attribute(read):
    file = {"filename": "a.png", "regions": [], "file_attributes": {"kind": "cat"}}
    (one,) = read("via", {"v.json": {"a": file}}, "v.json")[0]
    assert (one.shapes, one.image_labels) == ((), ("cat",))


def test_via_says_that_it_reads_no_label_of_whole_images_with_several_attributes(tmp_path):
    file = {"filename": "a.png", "regions": [], "file_attributes": {"kind": "cat", "sure": "yes"}}
    (tmp_path / "v.json").write_text(json.dumps({"a": file}))
    with pytest.warns(UserWarning, match="the files have the attributes 'kind', 'sure'; say with --attribute"):
        (one,) = annotation_format("via").read(tmp_path / "v.json")
    assert one.image_labels == ()


VIA_FAULTS = {
    "a width below 0": ({**RECT, "width": -3}, "expected the top left corner first"),
    "a rect without height": ({key: RECT[key] for key in ("name", "x", "y", "width")}, "the key 'height' is missing"),
    "as many x as y": (
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "3 x and 2 y; expected as many of both"
    ),
    "null for a number": ({**RECT, "x": None}, "the key 'x' is missing"),
    "a kind that is new": ({"name": "bezier"}, "name: expected rect, polygon, ellipse, circle, polyline, point"),
}  # fmt: skip


@pytest.mark.parametrize("name", VIA_FAULTS)
def test_via_leaves_out_one_region_and_keeps_the_others(name, read):
    shape, message = VIA_FAULTS[name]
    found, faults = read("via", via((RECT, {"kind": "cat"}), (shape, {"kind": "cat"})), "v.json")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 4, 6),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("via", via((shape, {"kind": "cat"})), "v.json")[0] == []


def test_via_a_csv_row_that_is_cut_is_no_blank_image(read):
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rect = json.dumps(RECT).replace('"', '""')
    good = f'a.png,1,"{{}}",2,0,"{rect}","{{""kind"":""cat""}}"'
    files = {"v.csv": "\n".join([head, good, "a.png,1", 'b.png,1,"{}",1,0,"{","{}"'])}
    found, faults = read("via", files, "v.csv")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 4, 6),))]
    assert [("row 3" in faults[0]), ("row 4" in faults[1])] == [True, True]


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
