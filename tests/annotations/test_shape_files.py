"""`shapes.json`: one form that server and import write, and both forms of version 0.1 are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salign.annotations.annotated import Annotated
from salign.annotations.shape_files import KEYS, entry_line, merge_shapes, read_shapes, shapes_file, write_entries
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon, Stroke

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier" / "annotations"
SIZE = (30, 40)


def test_what_an_import_of_version_0_1_wrote_is_read():
    found = read_shapes(EARLIER / "imported-shapes.json")
    assert [(entry.image, entry.marks.image, entry.answer, entry.marks.annotator) for entry in found] == [
        ("0", "0", "cat", "ann"), ("0", "0", "cat", "ann"), ("0", "0", "cat", None), ("1", "1", "dog", None),
        ("2", "2", "dog", "ben"),
    ]  # fmt: skip
    assert {entry.marks.size for entry in found} == {SIZE}
    assert [entry.marks.shapes for entry in found] == [
        (Box(1, 2, 9, 9), Polygon(((1, 1), (9, 2), (5, 15)), times=(1.0, 2.0, 3.0))),
        (Stroke(((3, 3), (20, 9)), (2, 3)),),
        (Box(4, 4, 8, 8),),
        (),
        (Box(5, 5, 10, 10), Box(6, 6, 7, 7, erase=True)),
    ]
    assert all(entry.locates and not entry.in_map for entry in found), "an entry without shapes was a blank one"


def test_what_an_export_of_version_0_1_wrote_is_read():
    found = {(entry.image, entry.marks.annotator): entry for entry in read_shapes(EARLIER / "shapes.json")}
    assert sorted(found) == [
        ("a", "Ann B."), ("a", "Bob"), ("a", "Doe, Jane"), ("b", "Ann B."), ("b", "Bob"), ("c", "Ann B."), ("c", "Bob"),
        ("c", "Doe, Jane"), ("d", "Ann B."), ("d", "Doe, Jane"),
    ], "none that was skipped"  # fmt: skip
    entry = found["a", "Doe, Jane"]
    assert (entry.marks.image, entry.marks.size, entry.answer) == ("0.png", (15, 20), "cat")
    assert entry.marks.shapes == (Box(3, 3, 9, 9), Polygon(((1, 1), (30, 2), (12.5, 25))))
    assert found["d", "Doe, Jane"].marks.size == (60, 80), "not known when it was marked: as it was at the export"
    assert {key: entry.locates for key, entry in found.items() if not entry.marks.shapes} == {
        ("b", "Ann B."): True, ("c", "Ann B."): False, ("c", "Bob"): False, ("c", "Doe, Jane"): False,
        ("d", "Doe, Jane"): True,
    }, "nothing to mark is not nothing said"  # fmt: skip


@pytest.mark.parametrize(
    ("more", "locates", "in_map"),
    [
        ({"review": "accept", "blank": False}, False, True),  # a draft that is a picture
        ({"review": "reject", "blank": False}, False, False),
        ({"review": "edit", "blank": True}, True, False),
        ({"blank": False}, False, False),
        ({"blank": True}, True, False),
    ],
)
def test_an_entry_without_shapes_says_where_only_if_there_was_nothing_to_mark(more, locates, in_map, tmp_path):
    path = write_entries(tmp_path / "shapes.json", [entry_line("a", Annotated("a.png", SIZE), skipped=None, **more)])
    (entry,) = read_shapes(path)
    assert (entry.locates, entry.in_map) == (locates, in_map)


def test_an_entry_has_its_keys_in_order_and_every_line_is_one(tmp_path):
    one = Annotated("sub/a.png", SIZE, shapes=(Box(1, 2, 3, 4),), annotator="Zoë")
    line = entry_line("a", one, skipped=None, answer="cat", blank=False, unit="u")
    path = write_entries(tmp_path / "shapes.json", [line, line], about={"study": {"title": "x"}})
    content = json.loads(path.read_text())
    assert list(content) == ["salign", "study", "annotations"]
    assert content["annotations"][0] == content["annotations"][1] == {
        "image": "a", "path": "sub/a.png", "width": 40, "height": 30, "annotator": "Zoë", "unit": "u", "answer": "cat",
        "shapes": [{"kind": "box", "points": [[1.0, 2.0], [3.0, 4.0]], "erase": False}], "blank": False,
        "skipped": None,
    }  # fmt: skip
    keys = list(content["annotations"][0])
    assert keys == sorted(keys, key=KEYS.index)
    assert len(path.read_text().splitlines()) == 4


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "set" / "images"
    folder.mkdir(parents=True)
    for name in "012":
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(folder / f"{name}.png")
    return folder


def test_an_import_writes_the_form_of_the_server(images):
    brought = write_annotated(
        [Annotated("0", SIZE, "cat", (Box(1, 1, 9, 9),), annotator="ann"), Annotated("1", SIZE, "dog")], images
    )
    (first, second) = json.loads(shapes_file(brought.path).read_text())["annotations"]
    assert first == {
        "image": "0", "path": "0.png", "width": 40, "height": 30, "annotator": "ann", "answer": "cat", "label": "cat",
        "shapes": [{"kind": "box", "points": [[1.0, 1.0], [9.0, 9.0]], "erase": False}], "blank": False,
        "skipped": None,
    }  # fmt: skip
    assert (second["image"], second["shapes"], second["blank"]) == ("1", [], True)


def test_an_image_of_no_class_has_no_answer_and_an_empty_one_is_read_as_none(images):
    (images / "m.csv").write_text("id,path,label,split\n0,0.png,cat;dog,train\n1,1.png,,train\n")
    base = Manifest.read(images / "m.csv", multi_label=True)
    marks = [Annotated(f"{name}.png", SIZE, None, (Box(1, 1, 9, 9),)) for name in "01"]
    brought = write_annotated(marks, None, Output(target=images / "n.csv"), base=base)
    beside = shapes_file(brought.path)
    assert [entry["answer"] for entry in json.loads(beside.read_text())["annotations"]] == ["cat;dog", None]
    assert [entry.answer for entry in read_shapes(beside)] == ["cat;dog", None]
    beside.write_text(beside.read_text().replace('"answer": null', '"answer": ""'))
    assert [entry.answer for entry in read_shapes(beside)] == ["cat;dog", None]


def test_an_import_into_an_earlier_one_keeps_what_that_says_of_other_images(images):
    brought = write_annotated([Annotated(name, SIZE, "cat", (Box(1, 1, 9, 9),)) for name in "012"], images)
    beside = shapes_file(brought.path)
    beside.write_bytes((EARLIER / "imported-shapes.json").read_bytes())
    into = Output(target=brought.path, overwrite=True)
    write_annotated([Annotated("0", SIZE, "cat", (Box(5, 5, 9, 9),))], None, into, base=Manifest.read(brought.path))
    found = read_shapes(beside)
    assert [(entry.image, len(entry.marks.shapes)) for entry in found] == [("1", 0), ("2", 2), ("0", 1)]
    assert found[1] == read_shapes(EARLIER / "imported-shapes.json")[4]
    assert '"size"' not in beside.read_text()


def test_an_import_into_an_export_keeps_its_study_and_all_its_keys(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_bytes((EARLIER / "shapes.json").read_bytes())
    before = json.loads(path.read_text())
    merge_shapes(path, {"a": [entry_line("a", Annotated("0.png", SIZE), skipped=None)], "b": []}, earlier=path)
    after = json.loads(path.read_text())
    assert after["study"] == before["study"]
    assert after["annotations"][:-1] == [one for one in before["annotations"] if one["image"] not in "ab"]
    merge_shapes(path, {"a": []}, earlier=None)
    assert not path.exists(), "of masks there are no shapes"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shapes": [{"kind": "star"}]}, r"annotations\[0\].shapes\[0\]: a shape's kind is one of"),
        ({"shapes": None}, "the key 'shapes' is missing"),
        ({"width": 40, "height": None}, "expected height and width, or neither of them"),
        ({"image": 5.5}, r"annotations\[0\].image: expected a name"),
        ({"size": [30]}, r"size: expected \[height, width\]"),
    ],
)
def test_a_damaged_file_is_told_with_its_place(change, words, tmp_path):
    entry = {"image": "a", "annotator": None, "answer": None, "skipped": None, "shapes": []} | change
    (tmp_path / "shapes.json").write_text(json.dumps({"annotations": [entry]}))
    with pytest.raises(SalignError, match=words):
        read_shapes(tmp_path / "shapes.json")
