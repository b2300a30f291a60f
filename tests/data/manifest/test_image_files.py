"""One rule says which files are images, and no file is written for two of them."""

from __future__ import annotations

import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign
from salign.annotate.catalog import Catalog
from salign.annotations.annotated import Annotated
from salign.annotations.formats.labelme import read_labelme, write_labelme
from salign.annotations.formats.yolo import write_yolo
from salign.annotations.match import Images
from salign.data.manifest import Manifest
from salign.data.manifest.derive import MAP_FILE
from salign.data.manifest.file_names import output_names, slugs
from salign.data.manifest.image_files import SUFFIXES, files_below, image_files, stem
from salign.data.manifest.sources import from_folder
from salign.data.reading.image import read_image
from salign.data.shortcuts.plant import plant_shortcut
from salign.errors import SalignError
from salign.maps.shapes import Box
from salign.project.look import look
from salign.runs.predict import folder_manifests

PIXELS = np.random.default_rng(5).integers(0, 255, (24, 32, 3), dtype=np.uint8)


def picture(path, form=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path, format=form)
    return path


@pytest.fixture
def photos(tmp_path):
    """The folder of ../shared/cases/folder_passed_over, and links."""
    photos = tmp_path / "photos"
    for k in range(3):
        picture(photos / "train" / "fake" / f"{k}.png")
        picture(photos / "train" / "real" / f"{k}.png")
    picture(photos / "train" / "fake" / "noext", "PNG")
    picture(photos / "train" / "fake" / "w.ppm")
    (photos / "train" / "fake" / "h.HEIC").write_bytes(b"00")
    picture(photos / "train" / "real" / "x.jfif", "JPEG")
    picture(photos / "train" / "real" / "y.gif")
    picture(photos / "train" / "real" / "z.jpe", "JPEG")
    (photos / "train" / "real" / "s.DICOM").write_bytes(b"\0" * 128 + b"DICM")
    (photos / "__MACOSX").mkdir()
    picture(photos / "__MACOSX" / "0.png")
    for name in (".DS_Store", "train/real/._0.png", "train/real/Thumbs.db"):
        (photos / name).write_bytes(b"0")
    (photos / "train" / "loop").symlink_to(photos)
    picture(tmp_path / "outside.png")
    (photos / "train" / "real" / "out.png").symlink_to(tmp_path / "outside.png")
    (photos / "train" / "real" / "notes").write_text("none of this is a picture")
    return photos


FAKE = ["0.png", "1.png", "2.png", "noext", "w.ppm"]
REAL = ["0.png", "1.png", "2.png", "s.DICOM", "x.jfif", "y.gif", "z.jpe"]
ALL = [f"train/fake/{name}" for name in FAKE] + [f"train/real/{name}" for name in REAL]


SEEN = {
    "the walker": lambda photos: list(image_files(photos)),
    "data import": lambda photos: from_folder(photos).table["path"].tolist(),
    "predict": lambda photos: [path for part in folder_manifests(photos) for path in part.table["path"]],
    "annotate": lambda photos: list(Catalog.of_folder(photos).pictures),
    "maps import, of images and of masks": lambda photos: Images.below(photos).paths,
}
"""Command -> the images of a folder that it sees."""


@pytest.mark.parametrize("command", SEEN)
def test_every_command_sees_the_same_images(photos, command):
    assert SEEN[command](photos) == ALL


@pytest.mark.parametrize("command", SEEN)
def test_no_command_takes_pictures_that_salign_wrote_for_images(photos, command):
    """After `init`, `annotate`, `run`, `explain` and `autoannotate` their folders lie among the images."""
    for written in (
        "annotations/annotations.db",
        "studies/photos/question.json",
        "runs/one/recipe.yaml",
        "runs/one/environment.json",
        "brought/shapes.json",
        "machine.csv",
    ):
        (photos / written).parent.mkdir(parents=True, exist_ok=True)
        (photos / written).write_text("")
    for folder in (
        "annotations/export/maps/all",
        "studies/photos/runs/one/page/images",
        "runs/one/page/images",
        "brought/maps",
        "imported/maps/real",
        "machine",
    ):
        picture(photos / folder / "0.png")
    assert SEEN[command](photos) == ALL


@pytest.mark.parametrize("table", ["manifest.csv", "labels.parquet"])
def test_maps_that_were_brought_into_a_manifest_are_no_images(tmp_path, table):
    """Masks leave no file of shapes beside their maps: the manifest says what lies in the folders."""
    photos, plain = tmp_path / "photos", ["cat/0.png", "dog/0.png", "dog/1.png"]
    for name in plain:
        picture(photos / name)
        for who in ("ann", "ben"):
            (tmp_path / "masks" / who / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (32, 24), 255).save(tmp_path / "masks" / who / name)
    given = photos / table
    from_folder(photos, split="train").write(given)
    masks = ("masks", tmp_path / "masks", "--pattern", "{annotator}/{image}")
    salign("maps", "import", *masks, "--manifest", given)
    salign("maps", "granularity", given, "--grain", "boundary", "--out", photos / "coarse.csv")
    written = {path.relative_to(photos).parts[0] for path in photos.rglob("*.png")} - {"cat", "dog"}
    assert written == {"maps", "annotators", "coarse"}
    assert list(image_files(photos)) == plain
    pd.DataFrame({"path": ["0.png"], "saliency": ["masks/0.png"]}).to_csv(photos / "cat.csv")
    assert list(image_files(photos)) == plain, "a table of its name makes a folder of images none of maps"


def test_a_class_called_maps_may_stand_in_a_manifest_with_maps(tmp_path):
    for label in ("maps", "plans"):
        picture(tmp_path / label / "0.png")
        picture(tmp_path / "masks" / label / "0.png")
    rows = {"id": ["a", "b"], "path": ["maps/0.png", "plans/0.png"], "label": ["maps", "plans"], "split": "train"}
    pd.DataFrame({**rows, "saliency": ["masks/maps/0.png", "masks/plans/0.png"]}).to_csv(tmp_path / "manifest.csv")
    assert list(image_files(tmp_path))[:1] == ["maps/0.png"]


@pytest.mark.parametrize("name", ["machine", "maps", "imported", "studies", "runs", "annotations"])
def test_a_class_may_be_called_as_a_folder_that_salign_writes(tmp_path, name):
    for label in ("human", name):
        picture(tmp_path / label / "0.png")
    assert list(image_files(tmp_path)) == sorted(["human/0.png", f"{name}/0.png"])
    assert look(tmp_path).by_folder[f"{name}/0.png"] == name


def test_files_of_a_tool_follow_the_same_rule(photos, tmp_path, caplog):
    """The endings differ; hidden files, links and what is no regular file are treated as among images."""
    (tmp_path / "outside.json").write_text("{}")
    for name in ("b.json", "train/real/a.JSON", ".hidden.json", "__MACOSX/c.json", "train/.git/d.json"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text("{}")
    (photos / "out.json").symlink_to(tmp_path / "outside.json")
    (photos / "inner.json").symlink_to(photos / "b.json")
    os.mkfifo(photos / "pipe.json")
    found = [path.relative_to(photos).as_posix() for path in files_below(photos, ".json")]
    assert found == ["b.json", "inner.json", "train/real/a.JSON"]
    for part in (
        "1 links to folders ('train/loop')",
        "2 links that leave the folder ('out.json', 'train/real/out.png')",
    ):
        assert part in caplog.text
    assert "1 files that are no regular ones ('pipe.json')" in caplog.text
    assert "HEIC" not in caplog.text


def test_a_folder_that_may_not_be_opened_is_named(photos, caplog, monkeypatch):
    """Root may open any folder, so the system's answer is made up."""
    opened = Path.iterdir

    def iterdir(path):
        if path.name == "fake":
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert list(image_files(photos)) == [f"train/real/{name}" for name in REAL]
    assert "1 folders that cannot be read ('train/fake')" in caplog.text
    with pytest.raises(SalignError, match="fake: the folder cannot be read: Permission denied"):
        list(image_files(photos / "train" / "fake"))


def test_what_is_passed_over_is_counted_and_named(photos, caplog):
    with caplog.at_level(logging.WARNING, logger="salign.data"):
        from_folder(photos)
    (said,) = [record.getMessage() for record in caplog.records]
    for part in (
        "1 *.heic ('train/fake/h.HEIC')",
        "1 files without an ending ('train/real/notes')",
        "1 links to folders ('train/loop')",
        "1 links that leave the folder ('train/real/out.png')",
    ):
        assert part in said
    assert "Thumbs" not in said


def test_a_folder_without_anything_odd_is_not_spoken_of(photos, caplog):
    list(image_files(photos / "train" / "fake", closed=lambda _: False))
    assert "HEIC" in caplog.text
    caplog.clear()
    (photos / "train" / "fake" / "h.HEIC").unlink()
    assert list(image_files(photos / "train" / "fake")) == FAKE
    assert not caplog.records


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".dcm", ".dicom"}))
def test_every_ending_of_an_image_is_one_that_can_be_read(tmp_path, suffix):
    form = {".jpe": "JPEG", ".jfif": "JPEG", ".pnm": "PPM", ".j2k": "JPEG2000"}.get(suffix)
    mode = {".pgm": "L", ".pbm": "1"}.get(suffix, "RGB")
    path = tmp_path / f"a{suffix}"
    drawn = Image.fromarray(PIXELS).convert(mode)
    drawn.save(path, format=form)
    read = read_image(path)
    assert tuple(read.shape) == (3, 24, 32)
    if suffix in (".png", ".ppm", ".pnm", ".bmp", ".tif", ".tiff", ".pgm", ".pbm", ".j2k", ".jp2"):
        expected = np.asarray(drawn.convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(read.numpy(), expected)


def test_a_portable_grey_map_of_16_bits_keeps_its_depth(tmp_path):
    values = np.array([[0, 1000, 65535], [300, 2, 1]], dtype=">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 2\n65535\n" + values.tobytes())
    np.testing.assert_allclose(read_image(tmp_path / "a.pgm")[0].numpy(), values.astype(float) / 65535, atol=1e-7)


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(SalignError, match="2 pages or frames"):
        read_image(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("beginning", "name", "is_one"),
    [
        (b"\0" * 128 + b"DICM", "IM0001", True),
        (b"\0" * 128 + b"DICM", "1.2.840.10008.1", True),
        (b"\xff\xd8\xff\xe0", "photo", True),
        (b"RIFF0000WEBPVP8 ", "w", True),
        (b"# how this was made", "README", False),
        (b"\x89PNG\r\n\x1a\n", "a.png.bak", False),
        (b"", "empty", False),
    ],
)
def test_without_an_ending_the_beginning_decides(tmp_path, beginning, name, is_one):
    (tmp_path / name).write_bytes(beginning)
    assert list(image_files(tmp_path)) == [name] * is_one


def test_a_pipe_and_a_name_that_is_no_utf_8_are_passed_over(tmp_path, caplog):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    picture(tmp_path / os.fsdecode(b"\xff.png"))
    assert list(image_files(tmp_path)) == ["a.png"]
    assert "1 files that are no regular ones ('b.png')" in caplog.text
    assert "1 names that are not UTF-8" in caplog.text


def test_names_of_what_is_passed_over_are_escaped_only_where_they_cannot_be_printed(tmp_path, caplog):
    picture(tmp_path / "Bénin (ok)" / "a.png")
    for name in ("notes.txt", "two\nlines.txt"):
        (tmp_path / "Bénin (ok)" / name).write_text("x")
    assert list(image_files(tmp_path)) == ["Bénin (ok)/a.png"]
    assert r"2 *.txt ('Bénin (ok)/notes.txt', 'Bénin (ok)/two\nlines.txt')" in caplog.text


def test_a_link_to_itself_and_a_file_that_cannot_be_looked_at_are_passed_over(tmp_path, caplog, monkeypatch):
    """Root may look at any file, so the system's answer is made up."""
    looked_at = Path.is_file

    def is_file(path):
        if path.name == "closed.png":
            raise PermissionError(13, "Permission denied")
        return looked_at(path)

    picture(tmp_path / "a.png")
    picture(tmp_path / "closed.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    monkeypatch.setattr(Path, "is_file", is_file)
    assert list(image_files(tmp_path)) == ["a.png"]
    assert "1 files that cannot be looked at ('closed.png')" in caplog.text
    assert "1 files that are no regular ones ('loop.png')" in caplog.text
    with pytest.raises(SalignError, match=r"loop\.png: the folder cannot be read"):
        list(image_files(tmp_path / "loop.png"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/x.png", "a/x"),
        ("x.JPG", "x"),
        ("v1.2.3", "v1.2.3"),
        ("v1.2.3.dcm", "v1.2.3"),
        ("x.heic", "x"),
        ("noext", "noext"),
    ],
)
def test_the_stem_is_the_name_without_the_ending_of_a_picture(name, expected):
    assert stem(name) == expected


COMPOSED, APART = "\u00e9.png", "e\u0301.png"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/x.jpg", "a/y.png", "b/x.png"], ["a/x.png", "a/y.png", "b/x.png"]),
        (["x.jpg", "x.png"], ["x.jpg.png", "x.png.png"]),
        (["v1.2.3", "v1.2.4"], ["v1.2.3.png", "v1.2.4.png"]),
        (["x.jpg", "x.png", "y.tif"], ["x.jpg.png", "x.png.png", "y.png"]),
    ],
)
def test_a_file_is_called_like_its_image_where_that_says_which(paths, expected):
    assert [name for _, name in output_names(paths, ".png")] == expected


@pytest.mark.parametrize(
    "paths",
    [
        ["X.png", "x.png"],
        ["X.jpg", "x.png", "x.jpg"],
        [COMPOSED, APART],
        ["A/x.png", "a/x.png"],
        [f"a/{COMPOSED}", f"A/{APART}"],
        ["a.jpg", "a.jpg.png", "a.png"],
        ["a", "a.png", "A.png", "a.png.png"],
    ],
)
def test_no_name_is_given_twice_whatever_the_file_system_takes_for_one(paths):
    names = [name for _, name in output_names(paths, ".png")]
    keys = {unicodedata.normalize("NFC", name).lower() for name in names}
    assert len(keys) == len(paths)
    assert [path for path, _ in output_names(paths, ".png")] == paths


def test_names_of_people_and_ids_are_told_apart_and_keep_off_what_is_taken():
    assert slugs(["ann", "a.png", "b.tif"]) == ["ann", "a", "b"]
    assert slugs(["all", "con"], {"all"})[0].startswith("all-")
    for names in (["Ann", "ann"], ["x.png", "x.jpg"], ["\u00e9", "e\u0301"], ["a/b", "a_b"], ["a" * 70, "a" * 71]):
        found = slugs(names)
        assert len({one.lower() for one in found}) == 2
        assert all(one.isascii() and "/" not in one and len(one) <= 80 for one in found)
    assert not {"con", "aux.1", "ann_provenance"} & set(slugs(["con", "aux.1", "ann_provenance"]))


def square(name):
    return Annotated(name, (20, 30), "cat", (Box(5, 5, 15, 15),))


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["a.png", "b/a.jpg"], ["a.json", "b/a.json"]),
        (["a.png", "a.jpg"], ["a.jpg.json", "a.png.json"]),
        (["1.2.3", "1.2.4"], ["1.2.3.json", "1.2.4.json"]),
    ],
)
def test_labelme_gets_a_file_for_each_image_whatever_their_stems(tmp_path, names, files):
    write_labelme([square(name) for name in names], tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == files
    assert sorted(one.image.lstrip("./") for one in read_labelme(tmp_path)) == sorted(names)


def test_yolo_has_one_file_for_a_stem_and_refuses_two_images_of_one(tmp_path):
    write_yolo([square("1.2.3"), square("1.2.4"), square("a.png")], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.3.txt", "1.2.4.txt", "a.txt", "classes.txt"]
    for pair in (["a.png", "a.jpg"], ["A.png", "a.png"]):
        with pytest.raises(SalignError, match="named by the image without its suffix"):
            write_yolo([square(name) for name in pair], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_saliency_predict_writes_a_map_for_each_of_two_images_of_one_stem(tmp_path):
    """It wrote one file and said two."""
    for name in ("a.jpg", "a.png", "b.png", "sub/a.png"):
        picture(tmp_path / "in" / name)
    (manifest,) = folder_manifests(tmp_path / "in", tmp_path / "out")
    named = dict(zip(manifest.table["path"], manifest.table[MAP_FILE], strict=True))
    assert named == {"a.jpg": "a.jpg.png", "a.png": "a.png.png", "b.png": "b.png", "sub/a.png": "sub/a.png"}


def test_a_planted_copy_has_a_file_for_each_image_whatever_the_file_system_takes_for_one(tmp_path):
    for name in ("A.png", "a.png", "a.jpg"):
        picture(tmp_path / "in" / name)
    rows = [(name, name, label, "train") for name, label in (("A.png", "x"), ("a.png", "y"), ("a.jpg", "x"))]
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split"])
    done = plant_shortcut(
        Manifest.of(table, tmp_path / "in"), tmp_path / "out", kind="patch", correlation={"train": 1.0}, seed=0
    )
    paths = Manifest.read(done.manifest).table["path"].tolist()
    assert len({path.lower() for path in paths}) == 3
