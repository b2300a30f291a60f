"""`salign init` on folders as people have them: the rows of the manifest, splits, maps and settings it writes."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image

from command import salign
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.experiment.study import Study, expand
from salign.train.recipe import Recipe
from tool_files import write_dicom

SIDE = 32
SPOT = (slice(8, 16), slice(4, 20))
"""Rows and columns that people marked on every image: 128 of 1,024 pixels."""


def noise(k):
    return np.random.default_rng(k).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


def mask():
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[SPOT] = 255
    return pixels


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def images(folder, names):
    for k, name in enumerate(names):
        save(folder / name, noise(k))


TWENTY = [f"{label}/{k}.png" for label in ("cat", "dog") for k in range(20)]


def class_folders(folder):
    images(folder, TWENTY)


def split_folders(folder):
    images(folder, [f"{split}/{name}" for split in ("train", "valid", "test") for name in TWENTY])


def masks_with_a_suffix(folder):
    images(folder, TWENTY)
    for name in TWENTY:
        save(folder / name.replace(".png", "_mask.png"), mask())
    second = np.zeros((SIDE, SIDE), dtype=np.uint8)
    second[0:2, 0:2] = 255
    save(folder / "cat" / "0_mask_1.png", second)  # another part of the same image, as in BUSI


def masks_in_a_folder(folder):
    images(folder, [f"images/{name}" for name in TWENTY])
    for name in TWENTY[:30]:
        save(folder / "masks" / name, mask() // 255)  # numbers of classes


def coco(folder):
    names = [f"{k}.jpg" for k in range(40)]
    images(folder / "images", names)
    listed = [{"id": k, "file_name": name, "width": SIDE, "height": SIDE} for k, name in enumerate(names)]
    marks = [
        {"id": k, "image_id": k, "category_id": 1 + k % 2, "bbox": [4, 8, 16, 8], "segmentation": []} for k in range(40)
    ]
    kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(
        json.dumps({"images": listed, "annotations": marks, "categories": kinds})
    )


def dicom_with_a_table_of_boxes(folder):
    (folder / "dicom").mkdir(parents=True)
    with (folder / "boxes.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["patientId", "x", "y", "width", "height", "Target"])
        for k in range(40):
            write_dicom(folder / "dicom" / f"p{k}.dcm", noise(k).astype(np.uint16) * 16)
            lines.writerow([f"p{k}", 4, 8, 16, 8, 1] if k % 2 else [f"p{k}", "", "", "", "", 0])


def labels_and_boxes(folder):
    """As NIH's chest X-rays: one table for the classes, another with boxes of some images of one class."""
    images(folder / "images", [f"s{k}.png" for k in range(40)])
    labels = "".join(f"s{k}.png,{['normal', 'ill'][k % 2]}\n" for k in range(40))
    (folder / "labels.csv").write_text(f"image,label\n{labels}")
    boxes = "".join(f"s{k}.png,4,8,16,8,ill\n" for k in range(1, 40, 4))
    (folder / "boxes.csv").write_text(f"image,x,y,width,height,label\n{boxes}")


def folders_and_boxes_of_one_class(folder):
    """As the tutorial on chest X-rays: folders say the class of every image, a table of boxes that of some."""
    images(folder, [f"{['normal', 'ill'][k % 2]}/s{k}.png" for k in range(40)])
    boxes = "".join(f"s{k}.png,4,8,16,8,ill\n" for k in range(1, 40, 4))
    (folder / "boxes.csv").write_text(f"image,x,y,width,height,label\n{boxes}")


def boxes_of_one_class(folder):
    labels_and_boxes(folder)
    (folder / "labels.csv").unlink()


def labelme(folder):
    images(folder, TWENTY)
    for name in TWENTY[::4]:
        shape = {"label": "x", "shape_type": "rectangle", "points": [[4, 8], [20, 16]]}
        file = {"imagePath": name.rpartition("/")[2], "imageHeight": SIDE, "imageWidth": SIDE, "shapes": [shape]}
        (folder / name).with_suffix(".json").write_text(json.dumps(file))


def table_of_labels(folder):
    images(folder / "scans", [f"s{k}.png" for k in range(40)])
    with (folder / "labels.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["image", "diagnosis", "patient", "camera"])
        for k in range(40):
            lines.writerow([f"s{k}", ["cat", "dog"][k % 2], f"p{k // 4}", "phone"])


CASES = {
    # layout: (options, classes, splits of each class, images with a map, of them blank)
    class_folders: ([], {"cat": 20, "dog": 20}, {"train": 14, "val": 3, "test": 3}, 0, 0),
    split_folders: ([], {"cat": 60, "dog": 60}, {"train": 20, "valid": 20, "test": 20}, 0, 0),
    masks_with_a_suffix: ([], {"cat": 20, "dog": 20}, {"train": 14, "val": 3, "test": 3}, 40, 0),
    masks_in_a_folder: ([], {"cat": 20, "dog": 20}, {"train": 14, "val": 3, "test": 3}, 30, 0),
    coco: ([], {"cat": 20, "dog": 20}, {"train": 14, "val": 3, "test": 3}, 40, 0),
    dicom_with_a_table_of_boxes: ([], {"0": 20, "1": 20}, {"train": 14, "val": 3, "test": 3}, 40, 20),
    labels_and_boxes: ([], {"ill": 20, "normal": 20}, {"train": 14, "val": 3, "test": 3}, 10, 0),
    folders_and_boxes_of_one_class: ([], {"ill": 20, "normal": 20}, {"train": 14, "val": 3, "test": 3}, 10, 0),
    boxes_of_one_class: (["--label", "normal"], {"ill": 10, "normal": 30}, None, 10, 0),
    labelme: ([], {"cat": 20, "dog": 20}, {"train": 14, "val": 3, "test": 3}, 10, 0),
    table_of_labels: ([], {"cat": 20, "dog": 20}, None, 0, 0),
}


@pytest.mark.parametrize("layout", CASES, ids=lambda layout: layout.__name__)
def test_a_folder_becomes_a_study(layout, tmp_path):
    """Every image has its row, class and map; nothing that was there is changed."""
    options, classes, splits, mapped, blank = CASES[layout]
    folder = tmp_path / "photos"
    folder.mkdir()
    layout(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shown = salign("init", folder, *options)
    assert {path: path.read_bytes() for path in before} == before
    table = Manifest.read(folder / "manifest.csv").table
    assert Counter(table["label"]) == classes
    if splits is not None:
        for label in classes:
            assert Counter(table["split"][table["label"] == label]) == splits
    maps = table["saliency"].dropna()
    assert len(maps) == mapped
    pixels = {path: read_saliency(folder / path).numpy() for path in maps}
    assert sum(not values.any() for values in pixels.values()) == blank
    for path, values in pixels.items():
        more = 4 if layout is masks_with_a_suffix and path.endswith("cat/0.png") else 0
        assert int((values > 0).sum()) in ({0, 128} if blank else {128 + more})
        assert not values.any() or values[SPOT].all()
    study = Study.read(folder / "study.yaml")
    cells = expand(study)
    assert [cell.arm for cell in cells] == ["ce", "guided", "shuffled"] * 3
    loss = yaml.safe_load((folder / "study.yaml").read_text())["arms"]["guided"]["loss"]
    assert loss == {"name": "swap", "weight": 0.1}
    assert ("salign run" in shown.last) == (mapped > 0)
    assert ("salign annotate" in shown.last) == (mapped == 0)


def test_a_patient_is_in_one_split_and_further_columns_stay(tmp_path):
    table_of_labels(tmp_path)
    assert "images of one patient stay together" in " ".join(salign("init", tmp_path).out.split())
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert table.groupby("patient")["split"].nunique().tolist() == [1] * 10
    assert set(table["camera"]) == {"phone"}
    assert len(table) == 40


def test_dicom_files_of_a_patient_are_in_one_split(tmp_path):
    for k in range(40):
        path = tmp_path / "ab"[k % 2] / f"{k}.dcm"
        path.parent.mkdir(exist_ok=True)
        write_dicom(path, noise(k).astype(np.uint16) * 16, PatientID=f"p{k // 4}")
    assert "10 patients by PatientID of the DICOM files" in " ".join(salign("init", tmp_path).out.split())
    table = Manifest.read(tmp_path / "manifest.csv").table
    numbers = table["path"].str.extract(r"(\d+)\.dcm")[0].astype(int) // 4
    assert table.groupby(numbers)["split"].nunique().tolist() == [1] * 10
    (tmp_path / "bare.csv").write_text(table[["id", "path", "label"]].to_csv(index=False))
    assert "10 patients" in salign("data", "split", tmp_path / "bare.csv", "--no-duplicates").out
    table = Manifest.read(tmp_path / "bare.csv").table
    assert table.groupby(numbers)["split"].nunique().tolist() == [1] * 10


def test_known_splits_stay_and_the_one_that_lacks_is_told(tmp_path):
    images(tmp_path, [f"{split}/{name}" for split in ("train", "test") for name in TWENTY])
    shown = " ".join(salign("init", tmp_path).out.split())
    assert "test, train; val is missing and is taken from train (15%)" in shown
    assert "few images split val: 3 of cat, 3 of dog; too few for a figure to say anything" in shown
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["split"]) == {"train": 34, "val": 6, "test": 40}
    assert all(path.startswith("test/") for path in table["path"][table["split"] == "test"])


@pytest.mark.parametrize(("known", "lacks"), [("test", "val"), ("val", "test")])
def test_images_with_an_empty_cell_for_the_split_are_divided_beside_the_split_that_is_there(known, lacks, tmp_path):
    images(tmp_path, [f"{k}.png" for k in range(60)])
    rows = [f"{k}.png,{'ab'[k % 2]},{known if k < 20 else ''}" for k in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,split", *rows]))
    salign("init", tmp_path)
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["split"]) == {"train": 34, lacks: 6, known: 20}


@pytest.mark.parametrize(
    ("count", "alike", "options", "words"),
    [
        (4, False, [], "nothing is left for val and test where 4 images, in 4 groups that stay together"),
        (24, True, [], "nothing is left for val and test where 24 images, in 1 groups that stay together"),
        (24, False, ["--shares", "0.8/0.2"], "nothing is left for test where 24 images"),
    ],
)
def test_a_folder_that_cannot_be_divided_is_refused_before_anything_is_written(count, alike, options, words, tmp_path):
    for k in range(count):
        save(tmp_path / "ab"[k % 2] / f"{k}.png", noise(0 if alike else k))
    assert words in " ".join(salign("init", tmp_path, *options, code=2).err.split())
    assert not list(tmp_path.glob("*.*"))


def test_a_dry_run_writes_nothing_and_nothing_is_written_over(tmp_path):
    masks_with_a_suffix(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert salign("init", tmp_path, "--dry-run").last.startswith("nothing was written")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "study.yaml").write_text("mine")
    assert "study.yaml: there already, and nothing is written over" in salign("init", tmp_path, code=2).err
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_into_another_folder(tmp_path):
    masks_with_a_suffix(tmp_path / "photos")
    before = sorted((tmp_path / "photos").rglob("*"))
    salign("init", tmp_path / "photos", "--out", tmp_path / "work")
    assert sorted((tmp_path / "photos").rglob("*")) == before
    (recipe,) = {cell.recipe.data.manifest for cell in expand(Study.read(tmp_path / "work" / "study.yaml"))}
    manifest = Manifest.read(recipe)
    assert manifest.image_path(0).is_file()
    assert manifest.saliency_path(0).is_relative_to(tmp_path / "work" / "imported")


def test_a_manifest_that_is_there_is_taken(tmp_path):
    images(tmp_path, TWENTY)
    salign("data", "import", "folder", tmp_path, "--split", "train")
    salign("init", tmp_path)
    (recipe,) = {cell.recipe.data.manifest for cell in expand(Study.read(tmp_path / "study.yaml"))}
    assert recipe == str(tmp_path / "manifest-split.csv")
    assert Counter(Manifest.read(recipe).table["split"]) == {"train": 28, "val": 6, "test": 6}
    assert set(Manifest.read(tmp_path / "manifest.csv").table["split"]) == {"train"}


def test_tables_of_each_split_are_put_together(tmp_path):
    images(tmp_path / "images", [f"{k}.png" for k in range(30)])
    for split, numbers in (("train", range(20)), ("val", range(20, 25)), ("test", range(25, 30))):
        rows = "".join(f"{k}.png,{k % 2},{1 - k % 2}\n" for k in numbers)
        (tmp_path / f"{split}.csv").write_text(f"file,cat,dog\n{rows}")
    salign("init", tmp_path)
    table = Manifest.read(tmp_path / "manifest.csv").table.set_index("path")
    assert Counter(table["split"]) == {"train": 20, "val": 5, "test": 5}
    assert table.loc["images/3.png", ["label", "split"]].tolist() == ["cat", "train"]
    assert table.loc["images/28.png", ["label", "split"]].tolist() == ["dog", "test"]


def ambiguous_maps(folder):
    masks_with_a_suffix(folder)
    for name in TWENTY:
        save(folder / "heatmaps" / name, mask())


def folders_against_a_table(folder):
    images(folder, TWENTY)
    (folder / "t.csv").write_text(
        "image,label\n" + "".join(f"{name},{name[0] if k else 'bird'}\n" for k, name in enumerate(TWENTY))
    )


def two_label_columns(folder):
    images(folder, [f"{k}.png" for k in range(9)])
    (folder / "t.csv").write_text(
        "image,class,target\n" + "".join(f"{k}.png,{'ab'[k % 2]},{k % 3}\n" for k in range(9))
    )


def flat(folder):
    images(folder, [f"{name}_{k}.png" for name in ("benign", "ill") for k in range(5)])


def flat_without_names(folder):
    images(folder, [f"IMG{k}.png" for k in range(5)])


def one_class(folder):
    images(folder, [f"faces/{k}.png" for k in range(5)] + [f"faces/more/{k}.png" for k in range(5)])


def blank_without_a_class(folder):
    coco(folder)
    file = folder / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    content["annotations"] = content["annotations"][:-1]
    file.write_text(json.dumps(content))


def strange_splits(folder):
    images(folder, [f"{k}.png" for k in range(8)])
    (folder / "t.csv").write_text(
        "image,class,split\n" + "".join(f"{k}.png,{'ab'[k % 2]},fold{k % 3}\n" for k in range(8))
    )


ASKED = {
    ambiguous_maps: "maps may come from *_mask, heatmaps/; say which by --maps NAME",
    folders_against_a_table: "different classes of 40 images, first cat/0.png: 'cat' and 'bird'; give --classes-from",
    two_label_columns: "class of t.csv (a 5, b 4); target of t.csv (0 3, 1 3, 2 3); give --label-column NAME",
    flat: "The names begin with benign (5), ill (5): if these are the classes, give --classes-from names",
    flat_without_names: "nothing says which class an image has. Put the images into a folder for each class",
    one_class: "nothing says which class an image has",
    boxes_of_one_class: "all 10 images with a class are of 'ill' (from column label of boxes.csv); a classifier "
    "needs two classes or more. 30 images have no class: say theirs by --label NAME, such as normal",
    blank_without_a_class: "say the class of images without a mark by --label NAME",
    strange_splits: "the splits fold0, fold1, fold2 are called neither train, val nor test",
}


def test_a_file_that_cannot_be_read_is_named_with_its_folder_and_no_row_of_a_table_that_is_not_there(tmp_path):
    images(tmp_path, [f"{label}/{k}.png" for label in ("cat", "dog") for k in range(20)])
    (tmp_path / "dog" / "3.png").write_bytes(b"no picture")
    said = salign("init", tmp_path, code=2).err.splitlines()
    assert said[:1] == [f"error: {tmp_path}: 1 fault"]
    assert said[1].startswith("  path: dog/3.png: the file is damaged or of another kind; expected ")


def test_classes_that_differ_in_case_alone_are_named(tmp_path):
    images(tmp_path, [f"{label}/{k}.png" for label in ("Cat", "cat", "dog") for k in range(12)])
    said = " ".join(salign("init", tmp_path, "--dry-run").out.split())
    assert (
        "alike the classes Cat and cat differ in the case of letters alone; if they are one, give it one name" in said
    )


def test_the_command_that_asks_people_for_classes_can_be_pasted(tmp_path):
    one_class(tmp_path / "my photos")
    said = salign("init", tmp_path / "my photos", code=2).err
    assert f"let people answer: salign annotate '{tmp_path}/my photos' --class A --class B." in said


@pytest.mark.parametrize("layout", ASKED, ids=lambda layout: layout.__name__)
def test_what_can_be_understood_in_several_ways_is_asked(layout, tmp_path):
    layout(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert ASKED[layout] in " ".join(salign("init", tmp_path, code=2).err.split())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("layout", "options", "classes"),
    [
        (flat, ["--classes-from", "names", "--shares", "0.6/0.2/0.2"], {"benign": 5, "ill": 5}),
        (ambiguous_maps, ["--maps", "heatmaps/"], {"cat": 20, "dog": 20}),
        (folders_against_a_table, ["--classes-from", "folders"], {"cat": 20, "dog": 20}),
        (two_label_columns, ["--label-column", "target"], {"0": 3, "1": 3, "2": 3}),
        (blank_without_a_class, ["--label", "none"], {"cat": 20, "dog": 19, "none": 1}),
    ],
)
def test_the_answer_is_an_option(layout, options, classes, tmp_path):
    layout(tmp_path)
    salign("init", tmp_path, *options)
    assert Counter(Manifest.read(tmp_path / "manifest.csv").table["label"]) == classes


def several_in_a_cell(folder):
    """As NIH's chest X-rays: findings joined by a bar, a box for some of them."""
    images(folder / "images", [f"s{k}.png" for k in range(40)])
    cells = ["Mass", "Mass|Edema", "Edema", "No Finding"]
    rows = "".join(f"s{k}.png,{cells[k % 4]},p{k // 2}\n" for k in range(40))
    (folder / "labels.csv").write_text(f"Image Index,Finding Labels,Patient ID\n{rows}")
    (folder / "boxes.csv").write_text("Image Index,x,y,w,h\n" + "".join(f"s{k}.png,4,8,16,8\n" for k in range(40)))


def several_columns(folder):
    """As CheXpert: a column of 1 and 0 for each finding, an empty cell for no."""
    images(folder, [f"s{k}.png" for k in range(40)])
    cells = ["1,0,a", "1,1,b", ",1,c", "0,0,d"]
    rows = "".join(f"s{k}.png,{cells[k % 4]}{k // 4}\n" for k in range(40))
    (folder / "labels.csv").write_text(f"Path,Mass,Edema,view\n{rows}")


@pytest.mark.parametrize(
    ("layout", "source", "loss"), [(several_in_a_cell, "Finding Labels", "swap"), (several_columns, "1 and 0", "ce")]
)
def test_images_with_several_labels_become_a_recipe(layout, source, loss, tmp_path):
    layout(tmp_path)
    said = salign("init", tmp_path, code=0)
    printed = " ".join(said.out.split())
    assert "classes (none) 10, Edema 20, Mass 20 (from column" in printed
    assert source in printed
    assert printed.endswith(f"Next: salign train {tmp_path}/recipe.yaml")
    table = Manifest.read(tmp_path / "manifest.csv", multi_label=True).table
    labels = dict(zip(table["path"].str.extract(r"s(\d+)")[0].astype(int), table["label"].fillna(""), strict=True))
    assert [labels[k] for k in range(4)] == ["Mass", "Edema;Mass", "Edema", ""]
    assert Counter(table["split"]) == {"train": 28, "val": 6, "test": 6}
    recipe = Recipe.read(tmp_path / "recipe.yaml", files=True)
    assert recipe.data.multi_label
    assert recipe.loss.name == loss
    assert table["saliency"].notna().sum() == 40 * (loss == "swap")
    assert "Next: salign train" in salign("run", tmp_path, code=2).err
    assert salign("status", tmp_path).out.endswith(f"Next: salign train {tmp_path}/recipe.yaml\n")


def test_a_finding_beside_no_finding_is_asked_about(tmp_path):
    images(tmp_path, ["a.png", "b.png"])
    (tmp_path / "labels.csv").write_text("image,label\na.png,None\nb.png,Mass|None\n")
    assert (
        "b.png: 'Mass|None' names a label, and says 'None', that there is none" in salign("init", tmp_path, code=2).err
    )


def test_a_manifest_with_several_labels_is_taken_as_such(tmp_path):
    images(tmp_path, [f"{k}.png" for k in range(20)])
    rows = "".join(f"{k},{k}.png,{['a', 'a;b', 'b', ''][k % 4]}\n" for k in range(20))
    (tmp_path / "manifest.csv").write_text(f"id,path,label\n{rows}")
    assert "a 10, b 10, (none) 5; several per image" in " ".join(salign("init", tmp_path).out.split())
    assert Recipe.read(tmp_path / "recipe.yaml").data.multi_label


def test_gaze_becomes_maps_once_its_spread_is_said(tmp_path):
    images(tmp_path, TWENTY)
    rows = "".join(
        f"{name},{who},{x},{y},200\n" for name in TWENTY for who, x, y in (("p", 8.5, 16.5), ("q", 24.5, 16.5))
    )
    (tmp_path / "gaze.csv").write_text(f"image,subject,x,y,duration\n{rows}")
    assert "gaze.csv: gaze becomes maps with --sigma PIXELS" in " ".join(
        salign("init", tmp_path, "--dry-run").out.split()
    )
    salign("init", tmp_path, "--sigma", "2")
    manifest = Manifest.read(tmp_path / "manifest.csv")
    values = read_saliency(manifest.root / manifest.table["saliency"].iat[0])
    assert values[16, 8] == values[16, 24] == values.max()  # two people, as long each
    assert float(values[16, 10] / values.max()) == pytest.approx(np.exp(-0.5), abs=0.02)  # one sigma away
    assert float(values[16, 16]) < 0.01


def test_a_spread_without_gaze_is_refused(tmp_path):
    images(tmp_path, TWENTY)
    assert "--sigma is for a table of fixations" in salign("init", tmp_path, "--sigma", "2", code=2).err
