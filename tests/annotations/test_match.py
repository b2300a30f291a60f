"""Names of images in annotation files -> images below a folder."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from salign.annotations.match import Images
from salign.errors import SalignError

THERE = Images(["train/a.png", "test/a.png", "test/b.jpg", "deep/er/c.tif", "c.png", "v1.2.3.dcm", "d.png", "d.jpg"])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("train/a.png", "train/a.png"),
        ("./test/a.png", "test/a.png"),
        ("test\\a.png", "test/a.png"),
        ("/home/ann/set/test/a.png", "test/a.png"),
        ("C:\\set\\train\\a.jpg", "train/a.png"),
        ("b.jpg", "test/b.jpg"),
        ("images/b.png", "test/b.jpg"),
        ("/srv/data/upload/7/0a1b2c3d-b.png", "test/b.jpg"),
        ("TEST/a.png", "test/a.png"),
        ("er/c.heic", "deep/er/c.tif"),
        ("labels/er/c", "deep/er/c.tif"),
        ("b", "test/b.jpg"),
        ("0a1b2c3d-b.jpg", "test/b.jpg"),
        ("er/c.tif", "deep/er/c.tif"),
        ("c", "c.png"),
        ("c.png", "c.png"),
        ("v1.2.3", "v1.2.3.dcm"),
        ("../../train/a.png", "train/a.png"),
        ("d.png", "d.png"),
    ],
)
def test_names_are_compared_from_their_end(name, path):
    assert THERE.find(name) == path


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a.png", "2 images could be meant: test/a.png, train/a.png"),
        ("images/a.png", "2 images could be meant"),
        ("other/a.png", "no image of this name in this folder, but test/a.png"),
        ("other/b.png", "no image of this name in this folder, but test/b.jpg"),
        ("train/b.jpg", "no image of this name in this folder, but test/b.jpg"),
        ("mine/er/c.tif", "no image of this name in this folder, but deep/er/c.tif"),
        ("other/0a1b2c3e", "no image of this name$"),
        ("v1.2.4", "no image of this name"),
        ("d", "2 images could be meant: d.jpg, d.png"),
        ("e.png", "no image of this name"),
        ("..", "expected the name of an image"),
        ("0a1b2c3d-", "no image"),
    ],
)
def test_what_could_be_two_images_or_none_is_said(name, complaint):
    with pytest.raises(SalignError, match=complaint):
        THERE.find(name)


def test_by_name_alone_folders_do_not_count():
    images = Images(THERE.paths, by_name=True)
    assert images.find("other/b.png") == "test/b.jpg"
    assert images.find("mine/er/c.tif") == "deep/er/c.tif"
    assert images.find("train/a.png") == "train/a.png"
    with pytest.raises(SalignError, match="2 images could be meant"):
        images.find("other/a.png")


def test_a_name_in_the_folder_with_another_ending_comes_before_the_name_elsewhere():
    images = Images(["train/a.png", "test/a.jpg"])
    assert images.find("test/a.png") == "test/a.jpg"
    assert images.find("train/a.jpg") == "train/a.png"


COMPOSED, APART = "M\u00fcller/\u00e9.png", "Mu\u0308ller/e\u0301.png"


@pytest.mark.parametrize(("there", "asked"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_the_forms_of_unicode_are_one_name_and_the_file_keeps_its_own(there, asked):
    assert Images([there]).find(asked) == there
    assert Images([there]).find(asked.removesuffix(".png")) == there
    with pytest.raises(SalignError, match="in this folder"):
        Images([there]).find(asked.replace("M", "B"))


@given(st.text(max_size=30))
def test_whatever_is_asked_for_only_images_that_are_there_are_found(name):
    with contextlib.suppress(SalignError):
        assert THERE.find(name) in THERE.paths


def test_hidden_files_other_files_and_links_out_are_no_images(tmp_path):
    root = tmp_path / "root"
    for name in ("a.png", "sub/b.JPG", ".hidden.png", ".trash/c.png", "notes.txt", "maps/a.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "root2").mkdir()  # its name begins alike
    (tmp_path / "root2" / "outside.png").touch()
    (root / "link.png").symlink_to(tmp_path / "root2" / "outside.png")
    (root / "inner.png").symlink_to(root / "a.png")
    (root / "away").symlink_to(tmp_path)
    assert Images.below(root, skip=[root / "maps"]).paths == ["a.png", "inner.png", "sub/b.JPG"]
    with pytest.raises(SalignError, match="no such folder"):
        Images.below(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SalignError, match="found no image"):
        Images.below(tmp_path / "empty")
