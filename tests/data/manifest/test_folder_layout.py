"""What folders say of splits and classes, and that every import keeps to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from command import salign
from salign.data.manifest import Manifest
from salign.data.manifest.folder_layout import folder_layout
from salign.errors import SalignError


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a.png", "b.png"], "none"),
        (["a.png", "train/b.png"], "none"),
        (["real/a.png", "fake/b.png"], "class"),
        (["train/a.png", "test/b.png"], "split"),
        (["train/a.png", "plane/b.png"], "class"),
        (["train/real/a.png", "test/real/b.png"], "split/class"),
        (["test_ood/real/a.png"], "split/class"),
        (["test2/real/a.png"], "split/class"),
        (["site a/real/1.png", "site b/real/2.png"], "split/class"),
        (["dog/beagle/a.png", "cat/siamese/b.png"], "class"),
        (["training/x/deep/er/a.png", "extra/x/b.png"], "split/class"),
        (["ISIC_Test_Data/1.png", "ISIC_Training_Data/2.png"], "split"),
        (["images_train/a/1.png", "images_val/b/1.png"], "split/class"),
        (["crash test/1.png", "dummy/2.png"], "class"),
        (["real/train/1.png", "fake/train/2.png", "fake/test/3.png"], "class/split"),
        (["real/train/1.png", "fake/extra/2.png"], "class"),
        (["bottle/train/good/1.png", "bottle/test/broken/2.png"], "class"),
        (["testimony/a/1.png", "trains/b/2.png"], "class"),
        (["dog/a.png", "cat/siamese/b.png"], "class"),
        ([], "none"),
    ],
)
def test_what_folders_say_is_found_out(paths, said):
    assert str(folder_layout(paths)) == said


def test_split_and_class_are_those_of_the_folders_or_as_told():
    layout = folder_layout(["train/Caf\u0065\u0301/deep/a.png"])
    assert layout.split_of("train/Caf\u0065\u0301/deep/a.png") == "train"
    assert layout.label_of("train/Caf\u0065\u0301/deep/a.png") == "Caf\u00e9"
    told = folder_layout(["train/real/a.png"], "class")
    assert (told.split_of("train/real/a.png"), told.label_of("train/real/a.png")) == (None, "train")
    assert folder_layout(["train/real/a.png"], "none") == (None, None)
    with pytest.raises(
        SalignError, match=r"expected split/class/image, found real/a\.png, which lies in 1 of 2 folders"
    ):
        folder_layout(["train/real/b.png", "real/a.png"], "split/class")
    with pytest.raises(SalignError, match="did you mean 'class'"):
        folder_layout(["a.png"], "clas")


SPLITS = {
    "train/real/a.png": ("train", "real"),
    "train/fake/b.png": ("train", "fake"),
    "test/fake/c.png": ("test", "fake"),
}


@pytest.fixture
def photos(tmp_path):
    """Three images in `SPLIT/CLASS`; a tool marked the first and the last."""
    for k, name in enumerate(SPLITS):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (20, 30), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def coco(folder, names, label="spot"):
    entries = [{"id": k, "file_name": name, "width": 30, "height": 20} for k, name in enumerate(names)]
    marks = [{"id": k, "image_id": k, "category_id": 1, "bbox": [5, 5, 10, 10]} for k in range(len(names))]
    content = {"images": entries, "annotations": marks, "categories": [{"id": 1, "name": label}]}
    (folder / "coco.json").write_text(json.dumps(content))
    return "coco", folder / "coco.json"


def masks(folder, names):
    for name in names:
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(20, 30, dtype=np.uint8) * 255).save(path)
    return "masks", folder / "masks"


def yolo(folder, names):
    for name in names:
        path = (folder / "labels" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 .5 .5 .2 .2\n")
    (folder / "labels" / "classes.txt").write_text("spot\n")
    return "yolo", folder / "labels"


def boxes(folder, names):
    lines = [f"{name},5,5,10,10,spot" for name in names]
    (folder / "boxes.csv").write_text("\n".join(["image,x,y,width,height,label", *lines]) + "\n")
    return "boxes", folder / "boxes.csv"


@pytest.mark.parametrize("tool", [coco, masks, yolo, boxes])
def test_an_import_keeps_all_rows_with_the_splits_and_classes_of_the_folders(photos, tool):
    given = tool(photos.parent, ["train/real/a.png", "test/fake/c.png"])
    printed = salign("maps", "import", *given, "--images", photos).out
    assert "folders say split/class: classes are fake, real" in printed
    table = Manifest.read(photos.parent / "manifest.csv").table.set_index("path")
    assert {path.removeprefix("photos/"): (row.split, row.label) for path, row in table.iterrows()} == SPLITS
    assert table["saliency"].notna().tolist() == [name != "photos/train/fake/b.png" for name in table.index]


def test_classes_of_annotations_keep_the_splits_of_the_folders(photos):
    given = coco(photos.parent, ["train/real/a.png", "test/fake/c.png"])
    printed = salign("maps", "import", *given, "--images", photos, "--classes-from", "annotations").out
    assert "not in the manifest, since no annotation names them: 1 images, first train/fake/b.png" in printed
    table = Manifest.read(photos.parent / "manifest.csv").table
    assert table["split"].tolist() == ["test", "train"]
    assert set(table["label"]) == {"spot"}


@pytest.mark.parametrize("more", [(), ("--classes-from", "annotations")])
def test_a_split_beside_those_of_the_folders_is_refused(photos, more):
    given = coco(photos.parent, ["train/real/a.png"])
    ended = salign("maps", "import", *given, "--images", photos, "--split", "train", *more, code=2)
    assert "folders say" in ended.err
    assert not (photos.parent / "manifest.csv").exists()


def test_folders_that_are_splits_alone_do_not_name_classes(photos):
    for name in SPLITS:
        (photos / name).rename(photos / name.split("/")[0] / name.split("/")[2])
    for name in ("train/real", "train/fake", "test/fake"):
        (photos / name).rmdir()
    salign("maps", "import", *coco(photos.parent, ["train/a.png", "test/c.png"]), "--images", photos)
    table = Manifest.read(photos.parent / "manifest.csv").table
    assert dict(zip(table["path"], table["split"], strict=True)) == {
        "photos/test/c.png": "test",
        "photos/train/a.png": "train",
    }


def test_an_annotation_that_contradicts_the_folder_is_a_fault(photos):
    ended = salign("maps", "import", *coco(photos.parent, ["train/real/a.png"], "fake"), "--images", photos, code=2)
    assert "annotated as 'fake', and its class is 'real'" in ended.err
