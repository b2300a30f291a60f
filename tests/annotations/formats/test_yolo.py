"""YOLO: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import pytest

from salign.annotations.formats import annotation_format
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon
from tool_files import (
    marks,
)  # fmt: skip


def test_yolo_says_shares_of_the_image(read_sample):
    found = read_sample("yolo")
    assert {one.image for one in found} == {"train/lesion", "train/clear"}
    assert all(one.relative and one.size is None for one in found)
    assert [one.shapes for one in found if one.label == "lesion"] == [(Box(0.375, 0.4375, 0.625, 0.5625),)]
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Polygon(((0.1, 0.1), (0.3, 0.1), (0.3, 0.4), (0.1, 0.4))),)
    ]


@pytest.mark.parametrize("names", ["{0: vessel, 1: lesion}", "[vessel, lesion]"])
def test_yolo_takes_names_from_yaml(tmp_path, names):
    (tmp_path / "a.txt").write_text("1 .5 .5 1 1\n")
    (tmp_path / "data.yaml").write_text(f"train: images\nnc: 2\nnames: {names}\n")
    assert [one.label for one in annotation_format("yolo").read(tmp_path)] == ["lesion"]
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(SalignError, match=r"found none of classes\.txt"):
        annotation_format("yolo").read(tmp_path)


def test_yolo_leaves_what_roboflow_writes_about_its_set(read):
    found, faults = read("yolo", {"a.txt": "0 .5 .5 1 1\n", "README.roboflow.txt": "Faces\n", "classes.txt": "cat\n"})
    assert (marks(found), faults) == ([("a", "cat", (Box(0, 0, 1, 1),))], [])


YOLO_LINES = {
    "the shares of a prediction": ("0 .5 .5 .2 .2 .93", "got 5 numbers"),
    "pixels": ("0 30 20 12 8", "expected a number from -1 to 2, got '30'"),
    "a class that has no name": ("7 .5 .5 .2 .2", "line 2: class 7, and there are 1 names"),
    "the name of a class": ("cat .5 .5 .2 .2", "line 2: expected a number from 0 to 1e+09, got 'cat'"),
    "half a class": ("0.5 .5 .5 .2 .2", "expected a whole number"),
    "a width below 0": ("0 .5 .5 -.2 .2", "box: expected the top left corner first"),
    "decimal commas": ("0 0,5 0,5 0,2 0,2", "expected a number from -1 to 2, got '0,5'"),
    "not a number": ("0 nan .5 .2 .2", "expected a number from -1 to 2, got 'nan'"),
}


@pytest.mark.parametrize("name", YOLO_LINES)
def test_yolo_leaves_out_a_line_and_keeps_the_others(name, read):
    line, message = YOLO_LINES[name]
    found, faults = read("yolo", {"a.txt": f"0 .5 .5 .5 .25\r\n{line}\r\n", "classes.txt": "cat\n"})
    assert marks(found) == [("a", "cat", (Box(0.25, 0.375, 0.75, 0.625),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert faults[0].startswith("a.txt: ")


def test_yolo_a_mark_at_the_beginning_and_a_class_written_as_a_float(read):
    found, faults = read("yolo", {"a.txt": "\ufeff0.0 .5 .5 .5 .25\n", "classes.txt": "\ufeffcat\r\n"})
    assert (marks(found), faults) == ([("a", "cat", (Box(0.25, 0.375, 0.75, 0.625),))], [])


def test_yolo_names_that_contradict_each_other(read, tmp_path):
    files = {"a.txt": "1 .5 .5 .5 .25", "classes.txt": "dog\nperson\n", "data.yaml": "names: [cat, lynx]\n"}
    with pytest.raises(SalignError, match=r"classes\.txt and .*data\.yaml name other classes, or in another order"):
        read("yolo", files)
    found, _ = read("yolo", {}, classes=tmp_path / "in" / "data.yaml")
    assert [one.label for one in found] == ["lynx"]


def test_yolo_names_in_a_file_among_the_labels_are_not_labels(read, tmp_path):
    found, faults = read("yolo", {"a.txt": "0 .5 .5 .5 .25", "names.txt": "1\n"}, classes=tmp_path / "in" / "names.txt")
    assert ([(one.image, one.label) for one in found], faults) == ([("a", "1")], [])


def test_yolo_words_that_yaml_may_take_for_something_else_are_names(read):
    found, _ = read("yolo", {"a.txt": "0 .5 .5 .5 .25\n1 .2 .2 .1 .1", "data.yaml": "names:\n  0: no\n  1: on\n"})
    assert [one.label for one in found] == ["no", "on"]


def test_yolo_a_turned_box_of_four_corners(read):
    found, _ = read("yolo", {"a.txt": "0 .5 .1 .9 .5 .5 .9 .1 .5", "classes.txt": "cat"})
    assert found[0].shapes == (Polygon(((0.5, 0.1), (0.9, 0.5), (0.5, 0.9), (0.1, 0.5))),)
