"""A folder per class, with and without splits and maps."""

from __future__ import annotations

import numpy as np
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
