"""A folder per class, with and without splits and maps."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.manifest.sources import SOURCES, from_folder
from salign.errors import SalignError


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(path)


@pytest.fixture
def images(tmp_path):
    for name in ("train/cat/1.jpg", "train/dog/1.png", "test/cat/deep/2.png", "train/cat/.hidden.png"):
        put(tmp_path / "images" / name)
    (tmp_path / "images" / "train" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


def test_split_and_class_come_from_the_folders(images):
    manifest = SOURCES["folder"](images)
    assert manifest.root == images
    assert sorted(zip(*(manifest.table[c] for c in ("path", "label", "split")), strict=True)) == [
        ("test/cat/deep/2.png", "cat", "test"),
        ("train/cat/1.jpg", "cat", "train"),
        ("train/dog/1.png", "dog", "train"),
    ]
    assert manifest.table["saliency"].isna().all()


def test_maps_pair_by_path_whatever_their_suffix(images):
    put(images.parent / "maps/train/cat/1.png")
    put(images.parent / "maps/test/cat/deep/2.tif")
    manifest = from_folder(images, images.parent / "maps")
    table = manifest.table.set_index("path")
    assert manifest.root == images.parent
    assert table.loc["images/train/cat/1.jpg", "saliency"] == "maps/train/cat/1.png"
    assert table.loc["images/test/cat/deep/2.png", "saliency"] == "maps/test/cat/deep/2.tif"
    assert table["saliency"].isna().sum() == 1
    path = manifest.write(manifest.root / "manifest.csv")
    assert len(Manifest.read(path)) == 3


def test_one_split_may_be_named(images):
    manifest = from_folder(images / "train", split="all")
    assert manifest.classes == ("cat", "dog")
    assert manifest.splits == ("all",)


def test_maps_inside_of_the_folder_are_no_class(images):
    put(images / "maps/train/cat/1.png")
    manifest = from_folder(images, images / "maps")
    assert manifest.splits == ("test", "train")
    assert manifest.coverage()["with_map"].sum() == 1


def test_a_map_without_image_is_refused(images):
    put(images.parent / "maps/train/cat/7.png")
    with pytest.raises(SalignError, match=r"1 of 1 maps belong to no image, first 7\.png"):
        from_folder(images, images.parent / "maps")


def test_two_images_of_one_name_are_refused(images):
    put(images / "train/cat/1.png")
    with pytest.raises(SalignError, match="train/cat/1 occurs twice"):
        from_folder(images)


def test_a_missing_level_is_explained(images):
    with pytest.raises(SalignError, match=r"<split>/<class>/image, found cat/1\.jpg; .* name of the split"):
        from_folder(images / "train")


def test_an_empty_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(SalignError, match="found no image"):
        from_folder(tmp_path)
    with pytest.raises(SalignError, match="no such folder"):
        from_folder(tmp_path / "gone")


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
