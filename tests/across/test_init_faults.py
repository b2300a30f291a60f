"""`salign init` on folders that contradict themselves, or hold what cannot be read: what it says and does not guess."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from command import salign
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.experiment.study import Study, expand
from salign.train.prepare import prepare
from salign.train.recipe import Recipe

FORTY = [f"s{k:02}.png" for k in range(40)]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def images(folder, names):
    for k, name in enumerate(names):
        save(folder / name, np.random.default_rng(k).integers(0, 256, (32, 32), dtype=np.uint8))


def table(folder, header, row, names=FORTY, more=()):
    """An image of each name, and a table with the line `row(name, number)` of each."""
    images(folder, names)
    lines = [header, *(row(name, k) for k, name in enumerate(names)), *more]
    (folder / "labels.csv").write_text("".join(f"{line}\n" for line in lines))


def refused(folder, *options):
    before = sorted(folder.rglob("*"))
    said = " ".join(salign("init", folder, *options, code=2).err.split())
    assert sorted(folder.rglob("*")) == before
    return said


def shown(folder, *options):
    return " ".join(salign("init", folder, *options).out.split())


def label_and_sex(name, k):
    return f"{name},{['ok', 'nok'][k % 2]},{'mf'[k // 2 % 2]}"


@pytest.mark.parametrize("options", [(), ("--label-column", "label")])
def test_rows_that_contradict_each_other_are_named_and_no_other_column_becomes_the_class(options, tmp_path):
    table(tmp_path, "image,label,sex", label_and_sex, more=["s00.png,nok,m"])
    assert refused(tmp_path, *options) == (
        f"error: {tmp_path}: labels.csv: 1 image has two labels in column label (s00.png: ok in row 2, nok in row 42); "
        "correct the table, or say where the classes are: in another column (--label-column NAME), or not in a table "
        "(--classes-from folders, annotations or names)"
    )
    assert "classes f 20, m 20 (from column sex of labels.csv)" in shown(tmp_path, "--label-column", "sex")


def test_folders_take_the_place_of_a_table_that_contradicts_itself_only_where_that_is_said(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    rows = "".join(f"{name},{['ok', 'nok'][k // 20]}\n" for k, name in enumerate(FORTY))
    (tmp_path / "labels.csv").write_text(f"image,label\n{rows}s00.png,nok\ns01.png,nok\n")
    assert "labels.csv: 2 images have two labels in column label (first s00.png: ok in row 2, nok in row 42)" in (
        refused(tmp_path)
    )
    assert "classes a 20, b 20 (from folders)" in shown(tmp_path, "--classes-from", "folders")


def test_a_column_without_a_name_of_labels_is_asked_about_too_where_few_rows_contradict_each_other(tmp_path):
    table(tmp_path, "image,quality,sex", label_and_sex, more=["s00.png,nok,m"])
    assert "1 image has two cells in column quality (s00.png: ok in row 2, nok in row 42)" in refused(tmp_path)
    columns = [f"{name},{k % 3 == 0:d},{k % 3 == 1:d},{k % 3 == 2:d}" for k, name in enumerate(FORTY)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,cat,dog,cow", *columns, "s00.png,0,1,0"]))
    assert "1 image has two cells in column cat (s00.png: 1 in row 2, 0 in row 42)" in refused(tmp_path)


def test_a_row_for_each_of_many_things_on_an_image_contradicts_nothing(tmp_path):
    more = [f"{name},poor,{'mf'[k // 2 % 2]}" for k, name in enumerate(FORTY)]
    table(tmp_path, "image,quality,sex", label_and_sex, more=more)
    assert "classes f 20, m 20 (from column sex of labels.csv)" in shown(tmp_path)


def test_a_table_that_is_about_something_else_does_not_stop_a_folder_for_each_class(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    rows = [f"{name},{'xyz'[k % 3]}" for k, name in enumerate(FORTY)]
    (tmp_path / "lens.csv").write_text("\n".join(["image,lens", *rows, "s00.png,y"]))
    assert "classes a 20, b 20 (from folders)" in shown(tmp_path)


def test_a_split_and_a_patient_of_an_image_that_rows_disagree_about_are_told(tmp_path):
    def row(name, k):
        return f"{name},{['ok', 'nok'][k % 2]},{['train', 'val', 'test', 'train'][k // 2 % 4]},p{k // 4}"

    table(tmp_path, "image,label,split,patient", row, more=["s00.png,ok,test,p9"])
    said = shown(tmp_path)
    assert "1 image has two cells in column split (s00.png: train in row 2, test in row 42)" in said
    assert "1 image has two cells in column patient (s00.png: p0 in row 2, p9 in row 42)" in said
    assert "splits none; divided now" in said


def test_more_than_fifty_classes_are_those_of_the_column_that_is_called_so(tmp_path):
    names = [f"s{k}.png" for k in range(204)]
    table(tmp_path, "image,label,sex", lambda name, k: f"{name},p{k % 51},{'mf'[k % 2]}", names)
    assert "(from column label of labels.csv)" in shown(tmp_path)
    counts = Counter(Manifest.read(tmp_path / "manifest.csv").table["label"])
    assert len(counts) == 51
    assert set(counts.values()) == {4}


def test_many_findings_joined_in_cells_are_counted_by_their_names(tmp_path):
    names = [f"s{k}.png" for k in range(128)]
    several = ["|".join(name for bit, name in enumerate("abcdef") if k >> bit & 1) or "None" for k in range(64)]
    table(tmp_path, "image,label,sex", lambda name, k: f"{name},{several[k % 64]},{'mf'[k % 2]}", names)
    assert "classes (none) 2, a 64, b 64, c 64, d 64, e 64, ... (from column label of labels.csv; several" in (
        shown(tmp_path)
    )


def test_a_label_of_its_own_for_nearly_each_image_is_asked_about(tmp_path):
    names = [f"s{k}.png" for k in range(60)]
    table(tmp_path, "image,label,sex", lambda name, k: f"{name},words{k},{'mf'[k % 2]}", names)
    assert "labels.csv: column label has 60 different labels for 60 images; correct the table" in refused(tmp_path)


def test_a_column_of_labels_that_is_empty_leaves_the_class_to_no_other_column(tmp_path):
    table(tmp_path, "image,label,sex", lambda name, k: f"{name},,{'mf'[k % 2]}")
    assert "nothing says which class an image has" in refused(tmp_path)


def test_a_column_of_the_class_that_no_table_has_is_told_beside_folders(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    assert refused(tmp_path, "--label-column", "sex").endswith("no column 'sex'; give --label-column NAME")


UNREADABLE = {
    "latin-1": ("Datum,Gr\xf6\xdfe\n1,2\n".encode("latin-1"), "save it as UTF-8"),
    "utf-16": ("Datum,Wert\n1,2\n".encode("utf-16"), "save it as UTF-8"),
    "long": (
        b"a" * 131_073 + b"\n1\n",
        "field larger than field limit (131072); the first line names the columns",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_table_of_another_encoding_is_passed_over_with_a_remark(kind, tmp_path):
    content, words = UNREADABLE[kind]
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    images(tmp_path / "notes", ["c/0.png"])
    (tmp_path / "notes.csv").write_bytes(content)
    said = shown(tmp_path)
    assert "not used notes.csv cannot be read as CSV: " in said
    assert words in said
    assert len(Manifest.read(tmp_path / "manifest.csv").table) == 41


def test_a_table_of_labels_of_another_encoding_is_named_where_nothing_else_says_the_classes(tmp_path):
    images(tmp_path, FORTY)
    rows = "".join(f"{name},{['gut', 'schön'][k % 2]}\n" for k, name in enumerate(FORTY))
    (tmp_path / "labels.csv").write_bytes(f"image,label\n{rows}".encode("latin-1"))
    said = refused(tmp_path)
    assert "Not used: labels.csv cannot be read as CSV: 'utf-8' codec can't decode byte 0xf6" in said
    assert said.endswith("save it as UTF-8")


def turned_photos(folder):
    """40 photos in two folders, ten of them turned by their EXIF tag; the masks of all were drawn on what is stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for k in range(40):
        path = folder / "images" / "ab"[k % 2] / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 256, (32, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(path, exif=exif if k < 10 else Image.Exif())
        save(folder / "masks" / "ab"[k % 2] / f"{k}.png", np.pad(np.full((8, 8), 255, np.uint8), ((8, 16), (8, 32))))


def test_faulty_marks_are_told_by_the_dry_run_and_each_is_listed_that_is_left_out(tmp_path):
    turned_photos(tmp_path)
    assert refused(tmp_path, "--dry-run") == refused(tmp_path)
    said = salign("init", tmp_path, "--dry-run", code=2).err
    assert said.startswith(f"error: {tmp_path}: 10 faults\n")
    assert said.endswith("mend them, or take all others and leave these out (--leave-out)\n")
    assert said.count("the tool saw the picture without its EXIF turn") == 10
    for options in (["--dry-run"], []):
        ended = salign("init", tmp_path, "--leave-out", *options)
        words = "left out 10 faults of marks, listed below; 30 images have marks that can be drawn"
        assert words in " ".join(ended.out.split())
        listed = [line for line in ended.out.splitlines() if line.startswith("left out: ")]
        assert len(listed) == 10
        assert listed[0].startswith("left out: images/a/0.jpg: annotated at 48 x 32 pixels, and the image is 32 x 48")
    assert "30 maps" in ended.out
    assert Manifest.read(tmp_path / "manifest.csv").table["saliency"].notna().sum() == 30


def ultralytics(folder):
    names = [f"{split}/{k}.jpg" for split, count in (("train", 24), ("val", 8), ("test", 8)) for k in range(count)]
    images(folder / "images", names)
    for k, name in enumerate(names):
        path = (folder / "labels" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{k % 2} .375 .375 .5 .25\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n")


def test_the_names_of_yolo_lie_above_the_folders_of_images_and_labels(tmp_path):
    ultralytics(tmp_path)
    said = shown(tmp_path)
    assert "classes cat 20, dog 20 (from annotations)" in said
    assert "not used" not in said
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["split"]) == {"train": 24, "val": 8, "test": 8}
    assert {int((read_saliency(tmp_path / path) > 0).sum()) for path in table["saliency"]} == {128}


def test_labels_of_yolo_without_names_are_passed_over_unless_they_are_asked_for(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    (tmp_path / "a" / "s00.txt").write_text("0 .5 .5 .2 .2\n")
    said = "not used a: 1 file like YOLO's labels, and none of classes.txt, obj.names, data.yaml there or above names"
    assert said in shown(tmp_path, "--dry-run")
    assert "a: found none of classes.txt, obj.names, data.yaml; put the file with the names there, or" in (
        refused(tmp_path, "--maps", "yolo")
    )


def test_the_bookkeeping_of_a_tool_names_no_classes(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    shape = '"{""name"":""rect"",""x"":4,""y"":8,""width"":16,""height"":8}"'
    header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rows = [f"{name},{9000 + k % 3},{{}},1,0,{shape},{{}}" for k, name in enumerate(FORTY)]
    (tmp_path / "via.csv").write_text("\n".join([header, *rows]))
    assert "classes a 20, b 20 (from folders) maps via (via.csv), 40 images" in shown(tmp_path)
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert {int((read_saliency(tmp_path / path) > 0).sum()) for path in table["saliency"]} == {128}


def test_neither_viewers_nor_kinds_of_boxes_are_classes(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    rows = [f"{name},{'pq'[k // 2 % 2]},8.5,16.5,200" for k, name in enumerate(FORTY)]
    (tmp_path / "gaze.csv").write_text("\n".join(["image,subject,x,y,duration", *rows]))
    rows = [f"{name},0.1,0.5,0.2,0.4,{k % 2},{k // 2 % 2}" for k, name in enumerate(FORTY)]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,xmin,xmax,ymin,ymax,occluded,truncated", *rows]))
    assert "classes a 20, b 20 (from folders)" in shown(tmp_path, "--dry-run")


def test_rows_whose_image_is_not_there_are_counted(tmp_path):
    table(tmp_path, "image,label,sex", label_and_sex, more=["t0.png,ok,m", "t1.png,nok,f", "t1.png,nok,f"])
    assert "not used labels.csv: rows of 2 names that no image here has, or several have; first t0.png" in (
        shown(tmp_path)
    )
    assert len(Manifest.read(tmp_path / "manifest.csv").table) == 40


def test_masks_of_isic_lie_in_a_folder_that_ends_so(tmp_path):
    names = [f"ISIC_{k:07}" for k in range(40)]
    images(tmp_path / "ISIC2018_Task1-2_Training_Input", [f"{name}.jpg" for name in names])
    for name in names:
        path = tmp_path / "ISIC2018_Task1_Training_GroundTruth" / f"{name}_segmentation.png"
        save(path, np.pad(np.full((8, 16), 255, np.uint8), ((8, 16), (4, 12))))
    rows = [f"{name},{float(k % 2 == 0)},{float(k % 2 == 1)},0.0" for k, name in enumerate(names)]
    (tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv").write_text("\n".join(["image,MEL,NV,BCC", *rows]))
    assert "maps 40 masks in ISIC2018_Task1_Training_GroundTruth/, of 40 images" in shown(tmp_path)
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["label"]) == {"MEL": 20, "NV": 20}
    assert {int((read_saliency(tmp_path / path) > 0).sum()) for path in table["saliency"]} == {128}


def test_grey_photographs_in_classes_that_end_in_mask_are_images(tmp_path):
    images(tmp_path, [f"{label}/{k}.png" for label in ("with_mask", "without_mask", "askew") for k in range(20)])
    assert "classes askew 20, with_mask 20, without_mask 20 (from folders) maps none" in shown(tmp_path, "--dry-run")


def test_the_next_command_names_the_manifest_that_there_is(tmp_path):
    images(tmp_path / "photos", [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    for k, name in enumerate(FORTY):
        path = tmp_path / "photos" / "ab"[k % 2] / name.replace(".", "_mask.")
        save(path, np.full((32, 32), 255 * (k > 4), np.uint8))
    salign("init", tmp_path / "photos")
    whole = tmp_path / "photos" / "manifest.csv"
    last = salign("init", tmp_path / "photos", "--out", tmp_path / "work").last
    assert last == f"Next: salign run {tmp_path}/work (look first: salign data check {whole})"
    table = Manifest.read(whole).table
    whole.write_text(table.drop(columns="row").assign(split="train").to_csv(index=False))
    (tmp_path / "photos" / "study.yaml").unlink()
    said = salign("init", tmp_path / "photos")
    assert f"will write into {tmp_path}/photos: manifest-split.csv, and study.yaml" in said.out
    command = f"salign data check {tmp_path}/photos/manifest-split.csv"
    assert said.last == f"Next: salign run {tmp_path}/photos (look first: {command})"
    last = salign("init", tmp_path / "photos", "--out", tmp_path / "again").last
    command = f"salign data check {tmp_path}/again/manifest.csv --root {tmp_path}/photos"
    assert last == f"Next: salign run {tmp_path}/again (look first: {command})"
    assert "40 images" in salign(*command.split()[1:]).out


def test_people_annotate_the_manifest_that_has_the_splits(tmp_path):
    images(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)])
    salign("data", "import", "folder", tmp_path, "--split", "train")
    assert salign("init", tmp_path).last.endswith(
        f"salign annotate {tmp_path} --manifest {tmp_path}/manifest-split.csv"
    )


def with_masks(folder, names):
    images(folder, names)
    for name in names:
        save(folder / name.replace(".", "_mask."), np.pad(np.full((8, 16), 255, np.uint8), ((8, 16), (4, 12))))


def test_a_class_that_a_split_has_no_image_of_is_told_with_a_command_that_runs_without_it(tmp_path):
    with_masks(tmp_path, [f"{'ab'[k % 2]}/{name}" for k, name in enumerate(FORTY)] + ["single one/0.png"])
    ended = salign("init", tmp_path)
    assert "no image val and test have no image of single one: runs are refused. Merge the class" in (
        " ".join(ended.out.split())
    )
    value = 'recipe.data.classes=["a", "b"]'
    command = f"salign run {tmp_path} --set '{value}'"
    assert f"without single one: {command}\n" in ended.out
    assert ended.last == f"Next: {command} (look first: salign data check {tmp_path}/manifest.csv)"
    assert len(Manifest.read(tmp_path / "manifest.csv").table) == 41
    without = prepare(expand(Study.read(tmp_path / "study.yaml", [value]))[0].recipe.data)
    assert (without.classes, len(without.train), len(without.val)) == (("a", "b"), 28, 6)
    with pytest.raises(SalignError, match="the validation set has no image of single one; it needs one"):
        prepare(expand(Study.read(tmp_path / "study.yaml"))[0].recipe.data)


def test_a_set_of_two_classes_of_which_one_cannot_be_trained_is_refused(tmp_path):
    images(tmp_path, [f"a/{name}" for name in FORTY] + ["b/0.png"])
    assert refused(tmp_path) == (
        f"error: {tmp_path}: val and test have no image of b. Too few classes are left that can be trained: give more "
        "images of each, or other --shares"
    )


def test_a_label_beside_others_that_a_split_lacks_is_left_out_of_the_recipe(tmp_path):
    cells = ["a", "a;b", "b", ""]
    images(tmp_path, FORTY)
    rows = [f"{k},{name},{cells[k % 4] if k else 'a;rare'}" for k, name in enumerate(FORTY)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,path,label", *rows]))
    value = 'data.classes=["a", "b"]'
    ended = salign("init", tmp_path)
    assert ended.last.endswith(f"Next: salign train {tmp_path}/recipe.yaml --set '{value}'")
    assert prepare(Recipe.read(tmp_path / "recipe.yaml", [value]).data).classes == ("a", "b")


def test_a_class_that_only_the_test_set_lacks_is_no_reason_to_leave_it_out(tmp_path):
    splits = [("train", 24), ("val", 8), ("test", 8)]
    names = [f"{split}/{'abc'[k % 3]}/{k}.png" for split, count in splits for k in range(count)]
    with_masks(tmp_path, [name for name in names if not name.startswith("test/c")])
    ended = salign("init", tmp_path)
    assert "no image test has no image of c, so that nothing is measured of it" in " ".join(ended.out.split())
    assert ended.last.startswith(f"Next: salign run {tmp_path} (look first")
