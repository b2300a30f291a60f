"""Oddities of sets as people have them: DICOM, tables of findings, folders, manifests; right, or refused."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.manifest.sources import from_csv, from_folder
from salign.data.reading.image import ImageError, read_image
from salign.errors import SalignError
from tool_files import write_dicom

# ---- medical: pictures in DICOM

GREY = np.array([[0, 1000], [2000, 4095]], np.uint16)
COLOUR = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
TWELVE = [0, 1000 / 4095, 2000 / 4095, 1]

PICTURES = {
    "D1 twelve of sixteen bits are the full range": (GREY, {}, TWELVE),
    "D2 of two windows the first counts": (GREY, {"WindowCenter": [2048, 99], "WindowWidth": [4096, 10]}, TWELVE),
    "D3 a window of one value is a threshold": (GREY, {"WindowCenter": 1000, "WindowWidth": 1}, [0, 1, 1, 1]),
    "D4 one frame that says it is one": (GREY, {"NumberOfFrames": 1}, TWELVE),
    "D5 a value for padding is a value": (GREY, {"PixelPaddingValue": 0}, TWELVE),
    "D6 bits above those that are stored are none of the picture": (GREY | np.uint16(0x8000), {}, TWELVE),
    "D7 a window by the sigmoid": (
        GREY, {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"},
        [1 / (1 + np.exp(-4 * (value - 2048) / 4096)) for value in (0, 1000, 2000, 4095)],
    ),
    "D8 Hounsfield units stored with an offset": (
        np.array([[24, 1024], [1064, 1424]], np.uint16),
        {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400},
        [0, (0 - 39.5) / 399 + 0.5, (40 - 39.5) / 399 + 0.5, 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_dicom_is_read_as_a_reader_shows_it(name, tmp_path):
    pixels, tags, expected = PICTURES[name]
    values = read_image(write_dicom(tmp_path / "a.dcm", pixels, bits=12, **tags))
    assert values.numpy()[0].ravel() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("planar", "expected"), [(0, COLOUR), (1, COLOUR.reshape(3, 2, 2).transpose(1, 2, 0))])
def test_dicom_d9_colour_by_pixel_and_by_plane(planar, expected, tmp_path):
    path = write_dicom(tmp_path / "a.dcm", COLOUR, "RGB", bits=8, PlanarConfiguration=planar)
    assert np.array_equal(read_image(path).numpy(), expected.transpose(2, 0, 1))


def test_dicom_d10_an_ending_that_lies_does_no_harm_one_way_and_is_told_the_other(tmp_path):
    path = write_dicom(tmp_path / "a.png", GREY, bits=12)
    assert read_image(path).numpy()[0].ravel() == pytest.approx(TWELVE, abs=1e-6)
    Image.new("L", (3, 4), 7).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dcm")
    with pytest.raises(ImageError, match=r"b\.dcm: .*it is not a DICOM file, or damaged"):
        read_image(tmp_path / "b.dcm")


NO_PICTURES = {
    "D11 a window without width": ({"WindowCenter": 10, "WindowWidth": 0}, slice(None), "Window Width must be"),
    "D12 without its preamble": ({}, slice(132, None), "it is not a DICOM file, or damaged"),
    "D13 pixels that are cut off": ({}, slice(None, -3), "less than expected"),
    "D14 a palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, slice(None), "PALETTE COLOR is not supported"),
    "D15 no photometric interpretation": ({"PhotometricInterpretation": ""}, slice(None), r"\(none\) is not supported"),
    "D16 several frames": ({"NumberOfFrames": 2}, slice(None), "it holds 2 frames; save the one you mean"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_dicom_without_a_picture_is_refused_with_its_file(name, tmp_path):
    tags, part, message = NO_PICTURES[name]
    path = write_dicom(tmp_path / "a.dcm", GREY, bits=12, **tags)
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(ImageError, match=rf"a\.dcm: .*{message}"):
        read_image(path)


# ---- tables: findings, and manifests


@pytest.fixture
def table(tmp_path):
    """Write a table beside `a.png`, `b.png` and `c.png`."""
    for name in "abc":
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")

    def write(text):
        (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "t.csv"

    return write


FINDINGS = {"columns": {"path": "Image Index", "label": "Finding Labels"}, "separator": "|", "none": "No Finding"}
HEAD = "Image Index,Finding Labels,split\n"

LABELS = {
    "L1 findings joined by a bar, and none": (
        f"{HEAD}a.png,Mass|Effusion,train\nb.png,No Finding,train\n", FINDINGS, ["Effusion;Mass", ""],
    ),
    "L2 ones and zeros with a point, and an empty cell": (
        "path,split,Edema,Mass\na.png,train,1.0,0.0\nb.png,train,,1\n",
        {"labels": ["Edema", "Mass"]}, ["Edema", "Mass"],
    ),
    "L3 true and false in any letters": (
        "path,split,E\na.png,train,True\nb.png,train,FALSE\n", {"labels": ["E"]}, ["E", ""],
    ),
    "L4 classes that are numbers": ("path,label,split\na.png,0,train\nb.png,1,train\n", {}, ["0", "1"]),
    "L5 words that pandas takes for nothing": (
        "path,label,split\na.png,NA,train\nb.png,None,train\n", {}, ["NA", "None"],
    ),
    "L6 an index without a name in front": (
        ",path,label,split\n0,a.png,x,train\n1,b.png,y,train\n", {}, ["x", "y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_tables(name, table):
    text, options, expected = LABELS[name]
    assert from_csv(table(text), **options).table["label"].fillna("").tolist() == expected


LABEL_FAULTS = {
    "L7 a finding and none in one cell": (
        f"{HEAD}a.png,Mass|No Finding,train\n", FINDINGS,
        "row 2, label: 'Mass|No Finding' names a label, and says 'No Finding', that there is none: which is it?",
    ),
    "L8 uncertain": (
        "path,split,Edema\na.png,train,-1.0\n", {"labels": ["Edema"]},
        "row 2, Edema: expected 1, or 0 or an empty cell, got '-1.0'; write which it is",
    ),
    "L9 a finding twice in one cell": (f"{HEAD}a.png,Mass|Mass,train\n", FINDINGS, "label: 'Mass;Mass' has a name"),
    "L10 a bar too many": (f"{HEAD}a.png,Mass|,train\n", FINDINGS, "row 2, label: 'Mass;' has an empty name"),
    "L11 names without the ending of the files": (
        "path,label,split\na,x,train\n", {}, "row 2, path: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABEL_FAULTS)
def test_labels_of_tables_that_say_nothing_or_two_things(name, table):
    text, options, message = LABEL_FAULTS[name]
    with pytest.raises(SalignError) as caught:
        from_csv(table(text), **options)
    assert message in str(caught.value)


ROWS = "id,path,label,split\n1,a.png,x,train\n"

MANIFESTS = {
    "M1 a mark of the byte order": f"\ufeff{ROWS}",
    "M2 Windows' line ends": ROWS.replace("\n", "\r\n"),
    "M3 an empty line in between": ROWS.replace("\n1", "\n\n1"),
    "M4 no line end at the end": ROWS.rstrip("\n"),
    "M5 everything in quotes": '"id","path","label","split"\n"1","a.png","x","train"\n',
    "M6 a path from the folder it lies in": ROWS.replace("a.png", "./a.png"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_mean_the_same(name, table):
    manifest = Manifest.read(table(MANIFESTS[name]))
    assert manifest.table[["id", "label", "split"]].to_numpy().tolist() == [["1", "x", "train"]]
    assert manifest.image_path(0).resolve().name == "a.png"


MANIFEST_FAULTS = {
    "M7 semicolons": (ROWS.replace(",", ";"), "row 1, header: semicolons part the cells"),
    "M8 a header in capitals": (ROWS.replace("label", "Label"), "row 1, label: the column is missing"),
    "M9 a line above the header": (f"# made in 2026\n{ROWS}", "row 2, line: the line has 4 cells, the header 1"),
    "M10 a row that is too short": (f"{ROWS}2,b.png,y\n", "row 3, line: the line has 3 cells, the header 4"),
    "M11 a comma in a cell without quotes": (f"{ROWS}2,b.png,y,z,test\n", "row 3, line: the line has 5 cells"),
    "M12 backslashes between folders": (f"{ROWS}2,.\\b.png,y,test\n", "row 3, path: no such file"),
    "M13 an address": (f"{ROWS}2,http://x/b.png,y,test\n", "row 3, path: no such file"),
    "M14 other letters than the file": (f"{ROWS}2,B.PNG,y,test\n", "'b.png' is there"),
    "M15 a line break in a label": (f'{ROWS}2,b.png,"y\nz",test\n', "holds a line break or another control character"),
    "M16 a column twice": ("id,path,label,label,split\n1,a.png,x,y,train\n", "names 'label' occur twice"),
    "M17 UTF-16": (ROWS.encode("utf-16"), "cannot be read"),
    "M18 one file in two spellings with two labels": (
        f"{ROWS}2,./a.png,y,test\n", "row 3, label: './a.png' is 'y' here and 'x' in row 2",
    ),
    "M19 one file with two slashes and two labels": (
        f"{ROWS}2,.//a.png,y,test\n", "row 3, label: './/a.png' is 'y' here and 'x' in row 2",
    ),
    "M20 a split that is not told": (f"{ROWS}2,b.png,y,\n", "row 3, split: the cell is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFEST_FAULTS)
def test_manifests_that_are_refused_with_the_row(name, table):
    text, message = MANIFEST_FAULTS[name]
    with pytest.raises(SalignError) as caught:
        Manifest.read(table(text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        (("1", "1.0", "2"), ["label: '1' (1) and '1.0' (1)"]),  # M21: Excel
        (("007", "7", "70"), ["label: '007' (1) and '7' (1)"]),  # M22
        (("x\u200b", "x", "y"), ["label: 'x' (1) and 'x\\u200b' (1)"]),  # M23: what nobody sees
        (("1", "2", "10"), []),
        (("1a", "1 a", "a1"), ["label: '1 a' (1) and '1a' (1)"]),
    ],
)
def test_names_that_may_be_one_are_asked_about(labels, asked, table):
    rows = "".join(f"{k},{'abc'[k]}.png,{label},train\n" for k, label in enumerate(labels))
    questions = Manifest.read(table(f"id,path,label,split\n{rows}")).questions()
    assert [question.split(" differ by")[0] for question in questions] == asked


# ---- folders


@pytest.fixture
def tree(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir()
            elif name.rpartition(".")[2] in ("txt", "db", "DS_Store") or "/._" in name:
                path.write_bytes(b"\0\5\x16\7")
            else:
                Image.new("L", (4, 4), 50).save(path, "PNG")
        return tmp_path / "set"

    return make


FOLDERS = {
    "F1 what macOS and Windows leave about": (
        ["train/cat/a.png", "train/cat/._a.png", "__MACOSX/train/cat/._a.png", "train/cat/.DS_Store", "Thumbs.db"],
        [("train/cat/a", "cat", "train")],
    ),
    "F2 copies of an editor": (
        ["train/cat/a.png", "train/.ipynb_checkpoints/a-checkpoint.png"], [("train/cat/a", "cat", "train")],
    ),
    "F3 folders below the class": (
        ["train/cat/p1/a.png", "train/cat/p2/a.png"],
        [("train/cat/p1/a", "cat", "train"), ("train/cat/p2/a", "cat", "train")],
    ),
    "F4 endings in capitals": (
        ["train/cat/a.JPG", "train/cat/b.TiF"], [("train/cat/a", "cat", "train"), ("train/cat/b", "cat", "train")],
    ),
    "F5 letters that mean something elsewhere": (
        ["train/cat/a#1?.png", "train/cat/b%20 c.png", "train/cat/co,mma.png", 'train/cat/q"x.png'],
        [(f"train/cat/{name}", "cat", "train") for name in ("a#1?", "b%20 c", "co,mma", 'q"x')],
    ),
    "F6 classes that are numbers": (
        ["train/0/a.png", "train/1/b.png", "train/10/c.png"],
        [("train/0/a", "0", "train"), ("train/1/b", "1", "train"), ("train/10/c", "10", "train")],
    ),
    "F7 one class in two forms of Unicode": (
        ["test/cafe\u0301/b.png", "train/caf\u00e9/a.png"],
        [("test/caf\u00e9/b", "caf\u00e9", "test"), ("train/caf\u00e9/a", "caf\u00e9", "train")],
    ),
    "F8 a name of digits and points has no ending": (["train/cat/1.2.840"], [("train/cat/1.2.840", "cat", "train")]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_read_as_they_were_meant(name, tree, tmp_path):
    files, expected = FOLDERS[name]
    manifest = from_folder(tree(*files))
    assert sorted(map(tuple, manifest.table[["id", "label", "split"]].to_numpy().tolist())) == expected
    again = Manifest.read(manifest.write(tmp_path / "set" / "manifest.csv"))
    assert again.table["path"].tolist() == manifest.table["path"].tolist()


FOLDER_FAULTS = {
    "F9 a space after the class": (["train/cat /a.png", "test/cat/b.png"], "'cat ' has spaces around it; write 'cat'"),
    "F10 an image beside the classes": (["train/a.png", "train/cat/b.png"], "expected <split>/<class>/image, found"),
    "F11 two images of one name": (["train/cat/a.jpg", "train/cat/a.JPG"], "occurs twice, as a.JPG and a.jpg"),
    "F12 no image": (["train/cat/a.txt"], "found no image"),
}


@pytest.mark.parametrize("name", FOLDER_FAULTS)
def test_folders_that_are_refused(name, tree):
    files, message = FOLDER_FAULTS[name]
    with pytest.raises(SalignError) as caught:
        from_folder(tree(*files))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["train/cat/a.png", "train/dog/"], "1 empty folders (train/dog)"),  # F13: a class that would vanish
        (["train/cat/a.png", "train/dog/.hidden.png"], "1 empty folders (train/dog)"),  # F14
        (["train/cat/a.png", "train/dog/notes.txt"], "1 *.txt (train/dog/notes.txt)"),  # F15
        (["train/cat/a.png", "train/dog/b.heic", "train/dog/c.heic"], "2 *.heic (train/dog/b.heic, train/dog/c.heic)"),
    ],
)
def test_a_class_that_vanishes_is_told(files, told, tree, caplog):
    with caplog.at_level(logging.WARNING):
        assert from_folder(tree(*files)).classes == ("cat",)
    assert told.replace("'", "") in caplog.text.replace("'", "")


def test_two_classes_by_case_alone_are_asked_about(tree):
    manifest = from_folder(tree("train/cat/a.png", "test/Cat/b.png"))  # F16
    assert [question.split(" differ by")[0] for question in manifest.questions()] == ["label: 'Cat' (1) and 'cat' (1)"]
    assert pd.Series(manifest.classes).tolist() == ["Cat", "cat"]
