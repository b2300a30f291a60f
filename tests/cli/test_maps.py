"""`salign maps import` and `export` as typed: what they print, write and end with."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from annotation_samples import SAMPLE_MASK, SAMPLES, put, put_images
from command import salign, small, written
from salign.annotations.formats import ANNOTATION_FORMATS, annotation_format
from salign.cli import maps as module
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError


def run(*arguments, code=0):
    result = CliRunner().invoke(module.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def images(tmp_path):
    return put_images(tmp_path / "set" / "images")


GIVEN = {
    "labelme": ("--width", 4),
    "cvat": ("--width", 4),
    "via": ("--width", 4, "--attribute", "kind"),
    "via csv": ("--width", 4),
    "fixations": ("--sigma", 3),
    "masks": ("--pattern", "{annotator}/{image}_mask"),
    "arrays folder": ("--scale",),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_becomes_maps(name, images, tmp_path):
    of, make = SAMPLES[name]
    path = put(make(), tmp_path / "labels")
    labels = [word for label in ("lesion", "vessel", "ill", "1") for word in ("--labels", f"{label}=ill")]
    labels += [word for label in ("clear", "well", "0") for word in ("--labels", f"{label}=well")]
    printed = run("import", of, path, "--images", images, "--label", "well", *labels, *GIVEN.get(name, ()))
    manifest = Manifest.read(images.parent / "manifest.csv")
    assert printed.splitlines()[-1].startswith(f"wrote {len(manifest)} maps")
    assert f"{images.parent / 'manifest.csv'}: look at them with `salign data check" in printed
    assert "100%" in printed
    table = manifest.table.set_index("path")
    assert table.loc["images/lesion.png", "id"] == "lesion"
    if len(manifest) == 2 and name not in ("fixations", "reflacx"):
        assert ", 1 of them blank" in printed
        assert table.loc["images/clear.png", "label"] == "well"
    if name == "masks":
        assert np.array_equal(read_saliency(manifest.saliency_path(1)).numpy(), SAMPLE_MASK)


def test_everything_wrong_is_said_together_and_may_be_left_out(images, tmp_path):
    path = put(SAMPLES["coco"][1](), tmp_path / "labels")
    (images / "lesion.png").rename(images / "other.png")
    Image.fromarray(np.zeros((33, 30), np.uint8)).save(images / "clear.png")
    options = ["--images", images, "--labels", "lesion=ill", "--label", "well"]
    with pytest.raises(SalignError, match="3 faults") as caught:
        run("import", "coco", path, *options)
    assert "unknown label 'vessel': 1 times, first on lesion.png" in str(caught.value)
    assert "lesion.png: no image of this name" in str(caught.value)
    assert "clear.png: annotated at 30 x 20 pixels, and the image is 30 x 33" in str(caught.value)
    with pytest.raises(SalignError, match="nothing is left to import"):
        run("import", "coco", path, *options, "--leave-out")
    (images / "other.png").rename(images / "lesion.png")
    printed = run("import", "coco", path, *options, "--leave-out")
    assert "left out: clear.png: annotated at 30 x 20 pixels" in printed
    assert len(Manifest.read(images.parent / "manifest.csv")) == 1


def test_maps_are_merged_in_place_and_missing_is_not_blank(images, tmp_path):
    path = put(SAMPLES["yolo"][1](), tmp_path / "labels")
    root = images.parent
    table = pd.DataFrame({"id": ["x", "y"], "path": ["images/lesion.png", "images/clear.png"]})
    rest = {"label": "eye", "split": "test", "saliency": "", "camera": "phone"}
    manifest = Manifest.of(table.assign(**rest), root).write(root / "mine.csv")
    run("import", "yolo", path, "--manifest", manifest, "--empty", "missing", "--annotator", "ann")
    merged = Manifest.read(manifest).table.fillna("")
    assert merged["saliency"].tolist() == ["maps/images/lesion.png", ""]
    assert merged[["id", "camera"]].to_numpy().tolist() == [["x", "phone"], ["y", "phone"]]
    assert merged["provenance"].tolist() == ["human:ann", ""]
    assert (root / "mine-shapes.json").is_file()
    printed = run("import", "yolo", path, "--manifest", manifest)
    assert Manifest.read(manifest).table["saliency"].notna().all()
    assert "wrote 2 maps, 1 of them blank" in printed


def test_classes_may_come_from_folders(images, tmp_path):
    for name, source in (("train/ill/lesion", "lesion"), ("test/well/clear", "clear"), ("test/well/more", "clear")):
        target = tmp_path / "photos" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / f"{source}.png", target)
    path = put(SAMPLES["boxes rsna"][1](), tmp_path / "labels")
    run("import", "boxes", path, "--images", tmp_path / "photos", "--classes-from", "folders")
    found = Manifest.read(tmp_path / "manifest.csv").table.fillna("")
    assert found[["path", "label", "split", "saliency"]].to_numpy().tolist() == [
        ["photos/test/well/clear.png", "well", "test", "maps/test/well/clear.png"],
        ["photos/test/well/more.png", "well", "test", ""],
        ["photos/train/ill/lesion.png", "ill", "train", "maps/train/ill/lesion.png"],
    ]


@pytest.mark.parametrize(
    ("name", "out"), [("coco", "out.json"), ("cvat", "out.xml"), ("labelme", "out"), ("yolo", "out")]
)
def test_what_is_imported_can_be_exported(name, out, images, tmp_path):
    path = put(SAMPLES["voc"][1](), tmp_path / "labels")
    run("import", "voc", path, "--images", images, "--label", "well")
    printed = run("export", images.parent / "manifest.csv", name, tmp_path / out)
    assert printed == f"wrote 2 images to {tmp_path / out}\n"
    found = annotation_format(name).read(tmp_path / out)
    assert [len(one.shapes) for one in sorted(found, key=lambda one: one.image)] == [0, 1]
    (images.parent / "shapes.json").unlink()
    run("export", images.parent / "manifest.csv", name, tmp_path / "again" / out)
    pixels = annotation_format(name).read(tmp_path / "again" / out)
    assert {one.mask is None for one in pixels} == ({True} if name == "yolo" else {True, False})


def test_mistakes_are_named(images, tmp_path):
    path = put(SAMPLES["voc"][1](), tmp_path / "labels")
    for arguments, complaint in [
        (["voc", path, "--images", images, "--width", "3"], "voc has no option width"),
        (["voc", path, "--images", images, "--empty", "no"], "blank or missing"),
        (["voc", path], "give the folder of the images"),
        (["voc", path, "--images", images, "--classes-from", "moon"], "annotations or folders"),
        (["voc", path, "--images", images, "--labels", "x"], "expected NAME=VALUE"),
        (["voc", path, "--images", images, "--annotators", "best"], "there is no 'best'"),
        (["voc", path, "--images", images, "--gaze", "screen=3x4"], "no option screen"),
        (["fixations", path, "--images", images, "--gaze", "screen=3"], "expected WIDTHxHEIGHT"),
        (
            ["fixations", path, "--images", images, "--gaze", "sun=3"],
            "a key of --gaze: expected position, .*, got 'sun'",
        ),
        (["voc", path, "--images", images, "--manifest", "m.csv", "--classes-from", "folders"], "give one of them"),
        (["voc", tmp_path / "set.zip", "--images", images], "no such file"),
    ]:
        with pytest.raises(SalignError, match=complaint):
            run("import", *arguments)
    run("import", "voc", path, "--images", images, "--label", "well")
    with pytest.raises(SalignError, match="voc is read, not written"):
        run("export", images.parent / "manifest.csv", "voc", tmp_path / "out")


def test_formats_are_listed_with_their_options():
    printed = run("formats")
    assert [name for name in ANNOTATION_FORMATS if f"\n{name} " not in f"\n{printed}"] == []
    assert "takes --image-key" not in printed.split("label-studio")[0]
    assert "takes --width, --image-key" in printed
    assert "takes --gaze sigma_degrees=1\n" in printed


@pytest.mark.slow
def test_real_gaze_becomes_the_maps_of_its_set(shared_data, tmp_path):
    folder = shared_data / "osie_gaze_sample"
    columns = [word for name in ("x=x_800x600", "y=y_800x600", "duration=duration_ms") for word in ("--column", name)]
    gaze = [word for pair in ("position=screen", "screen=800x600", "weight=count") for word in ("--gaze", pair)]
    shutil.copytree(folder / "images", tmp_path / "images")
    where = ["--images", tmp_path / "images", "--label", "photo"]
    printed = run("import", "fixations", folder / "fixations.csv", *where, "--sigma", "24", *columns, *gaze)
    assert "wrote 100 maps" in printed
    manifest = Manifest.read(tmp_path / "manifest.csv")
    for row in range(len(manifest)):
        ours = read_saliency(manifest.saliency_path(row)).numpy()
        theirs = read_saliency(folder / "saliency" / f"{manifest.image_id(row)}.png").numpy()
        assert ours.shape == theirs.shape
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.99


@pytest.mark.slow
def test_exported_and_imported_again_a_set_trains_unchanged(digits, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(digits.parent, root)
    path = root / digits.name
    before = Manifest.read(digits)
    run("export", path, "coco", tmp_path / "digits.json")
    run("import", "coco", tmp_path / "digits.json", "--manifest", path, "--annotator", "ann")
    after = Manifest.read(path)
    marked = before.table["saliency"].notna()
    assert after.table["saliency"].notna().equals(marked)
    assert set(after.table["provenance"][marked]) == {"human:ann"}
    for row in np.flatnonzero(marked)[:20]:
        old, new = (read_saliency(one.saliency_path(row)).numpy() for one in (before, after))
        assert np.array_equal(new, old >= 0.5)
    recipe = small(path, train={"epochs": 1})
    salign("train", written(tmp_path / "small.yaml", recipe), "--out", tmp_path / "runs", "--quiet")
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "out", "file", "said", "read"),
    [
        ("labelme", "labels", "labels/1.json", '"description": "model:net@1"', "model:net@1"),
        ("coco", "c.json", "c.json", '"attributes": {"provenance": "model:net@1"}', "model:net@1"),
        ("cvat", "c.xml", "c.xml", 'source="auto"', "model:unknown"),
        ("yolo", "labels", None, None, None),
    ],
)
def test_an_export_does_not_pass_a_machines_map_for_peoples(name, out, file, said, read, tmp_path):
    for k in range(2):
        Image.fromarray(np.full((20, 20, 3), 50 * k, np.uint8)).save(tmp_path / f"{k}.png")
        values = np.zeros((20, 20), np.uint8)
        values[4:9, 5 + k : 15] = 255
        Image.fromarray(values).save(tmp_path / f"m{k}.png")
    header, path = "id,path,label,split,saliency,provenance", tmp_path / "manifest.csv"
    path.write_text(f"{header}\n0,0.png,cat,train,m0.png,human:ann\n1,1.png,cat,train,m1.png,model:net@1\n")
    printed = run("export", path, name, tmp_path / out)
    lost = ", which this format cannot say" if name == "yolo" else ""
    assert f"wrote 2 images to {tmp_path / out}; the maps of 1 were made by a machine{lost}" in " ".join(
        printed.split()
    )
    if file is not None:
        assert (tmp_path / file).read_text().count(said) == 1
        assert [one.annotator for one in annotation_format(name).read(tmp_path / out)] == [None, read]
        again = tmp_path / "again.csv"
        again.write_text(f"{header}\n0,0.png,cat,train,,\n1,1.png,cat,train,,\n")
        run("import", name, tmp_path / out, "--manifest", again, "--annotator", "ann")
        assert Manifest.read(again).table["provenance"].tolist() == ["human:ann", read]
    path.write_text(f"{header}\n0,0.png,cat,train,m0.png,human:ann\n1,1.png,cat,train,m1.png,\n")
    again = run("export", path, name, tmp_path / "people" / out)
    assert "machine" not in again
    if file is not None:
        assert said not in (tmp_path / "people" / file).read_text()
