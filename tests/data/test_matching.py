"""Names of images in annotation files -> images below a folder."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salign.data.matching import Images
from salign.types import SalignError

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
        ("elsewhere/b.png", "test/b.jpg"),
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
        ("other/a.png", "2 images could be meant"),
        ("d", "2 images could be meant: d.jpg, d.png"),
        ("e.png", "no image of this name"),
        ("..", "expected the name of an image"),
        ("0a1b2c3d-", "no image"),
    ],
)
def test_what_could_be_two_images_or_none_is_said(name, complaint):
    with pytest.raises(SalignError, match=complaint):
        THERE.find(name)


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
