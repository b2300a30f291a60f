"""Which format a file is of, without being told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tool_files as tools
from salign.annotations.formats.recognise import recognise
from salign.errors import SalignError

FILES = {
    "coco": ("a.json", json.dumps(tools.coco()["c.json"])),
    "labelme": ("a.json", json.dumps(tools.labelme())),
    "via": ("a.json", json.dumps(tools.via((tools.RECT, {"k": "cat"}))["v.json"])),
    "label-studio": ("a.json", json.dumps(tools.studio()["ls.json"])),
    "cvat": ("a.xml", tools.cvat(tools.BOX)["c.xml"]),
    "voc": ("a.xml", tools.voc("a.png", (1, 2, 3, 4))),
    "yolo": ("a.txt", "0 0.5 0.5 0.1 0.2\n1 0.1 0.2 0.3 0.2\n"),
    "boxes": ("a.csv", "Image Index,Finding Label,x,y,w,h\na.png,m,1,2,3,4\n"),
    "fixations": ("a.csv", "image,x,y,duration\na.png,1,2,3\n"),
}
NOTHING = {
    "list.json": "[1, 2]",
    "object.json": '{"a": 1}',
    "other.xml": "<a/>",
    "words.txt": "five words make this line long",
    "pixels.txt": "0 120 40 30 20\n",
    "empty.txt": "",
    "labels.csv": "image,label\na.png,cat\n",
    "empty.csv": "",
    "other_durations.csv": "image,x,y,fixation_duration\na.png,1,2,3\n",
    "photo.png": "not a picture",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_what_it_holds(name, tmp_path):
    file, text = FILES[name]
    (tmp_path / file).write_text(text)
    assert recognise(tmp_path / file) == name


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    assert recognise(tmp_path / "a.npy") == "arrays"


@pytest.mark.parametrize("file", NOTHING)
def test_anything_else_is_of_none(file, tmp_path):
    (tmp_path / file).write_text(NOTHING[file])
    assert recognise(tmp_path / file) is None


@pytest.mark.parametrize(("file", "text"), [("empty.json", ""), ("cut.json", '{"images": ['), ("cut.xml", "<a>")])
def test_a_damaged_file_is_told(file, text, tmp_path):
    (tmp_path / file).write_text(text)
    with pytest.raises(SalignError, match=file):
        recognise(tmp_path / file)
