"""Careful access to parsed files: what is refused, and how the place is named."""

from __future__ import annotations

import math

import pytest

from salign.annotations.annotated import Annotated
from salign.annotations.formats import fields
from salign.annotations.formats.fields import Field, read_bytes, read_rows, size_of
from salign.annotations.formats.notes import Notes, read_each
from salign.errors import SalignError
from salign.readers import parse_json


def test_a_fault_names_its_place():
    content = Field({"shapes": [{"points": [[1, "two"]]}]}, "a.json")
    with pytest.raises(SalignError, match=r"a\.json: shapes\[0\]\.points\[0\]\[1\]: expected a number .*, got 'two'"):
        content["shapes"].each()[0]["points"].pairs()
    with pytest.raises(SalignError, match=r"a\.json: shapes\[0\]: the key 'label' is missing; there is 'points'"):
        content["shapes"].each()[0]["label"]
    with pytest.raises(SalignError, match=r"a\.json: shapes: expected an object with keys, got a list"):
        content["shapes"]["points"]


@pytest.mark.parametrize(
    "value", [True, None, math.nan, math.inf, 10**400, -2e9, "1_000", "nan", "0x10", [], {}, "9" * 99]
)
def test_what_is_no_number(value):
    with pytest.raises(SalignError):
        Field(value, "here").number()


def test_numbers_may_be_quoted_and_whole():
    assert Field(" 1.5 ".strip(), "here").number() == 1.5
    assert Field(3.0, "here").whole() == 3
    with pytest.raises(SalignError, match=r"expected a whole number from 0 to 1e\+09, got 2.5"):
        Field(2.5, "here").whole(0)


@pytest.mark.parametrize("value", ["", " ", "a\0b", "a\nb", "\ud800", "a" * 5000, 3, None])
def test_what_is_no_name(value):
    with pytest.raises(SalignError, match="expected a name"):
        Field(value, "here").text()


def test_people_and_images_may_be_numbered():
    assert Field(12, "here").name() == "12"
    assert Field("ann", "here").name() == "ann"
    for value in (True, 10**20, 1.5):
        with pytest.raises(SalignError):
            Field(value, "here").name()


def test_sizes_are_bounded():
    assert size_of(Field(3, "h"), Field("4", "w")) == (3, 4)
    for height, width in ((0, 3), (-1, 3), (10**5, 10**5), (1e999, 1)):
        with pytest.raises(SalignError):
            size_of(Field(height, "h"), Field(width, "w"))


def test_messages_stay_short():
    with pytest.raises(SalignError) as caught:
        Field("x" * 10_000, "here").number()
    assert len(str(caught.value)) < 200
    with pytest.raises(SalignError) as caught:
        Field({f"key{k}": k for k in range(1000)}, "here")["other"]
    assert len(str(caught.value)) < 200


def test_files_are_bounded_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(fields.MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(SalignError, match="500 MB; a file of this kind has at most 500 MB"):
        read_bytes(path)
    for content, complaint in ((b"PK\x03\x04", "unpack it"), (b"\x1f\x8b\x08", "unpack it")):
        path.write_bytes(content)
        with pytest.raises(SalignError, match=complaint):
            read_bytes(path)
    with pytest.raises(SalignError, match="is a folder; expected a file"):
        read_bytes(tmp_path)


def test_json_that_is_none():
    for text in ("[" * 100_000, '{"a": NaN}', "[1e5", "9" * 5000, "", "[Infinity]"):
        with pytest.raises(SalignError):
            parse_json(text, "here")


def test_rows_keep_their_line_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffa,b\r\n\r\n1, 2 \r\n"x\r\ny",3\r\n'.encode())
    assert read_rows(path) == [(1, ["a", "b"]), (3, ["1", "2"]), (5, ["x\r\ny", "3"])]
    path.write_text("a\u2028b,c\x85d\x0ce\n", encoding="utf-8")
    assert read_rows(path) == [(1, ["a\u2028b", "c\x85d\x0ce"])], "only an end of a line ends a row"
    path.write_text('a,"b' + "x" * 200_000)
    with pytest.raises(SalignError, match="cannot be read as CSV"):
        read_rows(path)


def test_a_folder_is_read_without_what_is_hidden_or_outside(tmp_path):
    folder = tmp_path / "labels"
    for name in ("a.txt", "sub/b.txt", ".hidden.txt", ".git/c.txt", "d.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "labels2").mkdir()  # its name begins alike
    (tmp_path / "labels2" / "out.txt").touch()
    (folder / "link.txt").symlink_to(tmp_path / "labels2" / "out.txt")
    (folder / "up").symlink_to(tmp_path)
    notes = Notes()
    found = read_each(folder, ".txt", notes, lambda path, where: [Annotated(path.name)])
    assert [one.image for one in found] == ["a.txt", "b.txt"]
    with pytest.raises(SalignError, match=r"expected 1 to 1,000,000 files \*\.xml, found 0"):
        read_each(folder, ".xml", notes, lambda path, where: [])

    def refuse(path, where):
        raise SalignError(f"{path.name}: is wrong")

    assert read_each(folder, ".txt", notes, refuse) == []
    assert notes.faults == [(None, "a.txt", "is wrong"), (None, "sub/b.txt", "is wrong")]
