"""From annotations to a manifest with maps: matching, sizes, classes, people, blanks; all faults at once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign.annotations.annotated import Annotated, by_label
from salign.annotations.draw import draw_marks
from salign.annotations.read import read_marked
from salign.annotations.resolve import Naming
from salign.annotations.rle import Runs
from salign.annotations.shape_files import entry_line, read_shapes, shapes_file, write_entries
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import Manifest, ManifestError
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.maps.rasterize import fixation_map, rasterize
from salign.maps.shapes import Box, Fixation
from tool_files import (
    MASK,
    coco,
    cvat,
)  # fmt: skip

SIZE = (20, 30)
LEFT, RIGHT, TOP = Box(0, 0, 10, 20), Box(20, 0, 30, 20), Box(0, 0, 30, 5)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "set" / "images"
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE, 99, np.uint8)).save(folder / name)
    return folder


def marked(name, *shapes, label="cat", **more):
    return Annotated(name, SIZE, label, shapes, **more)


def saved(brought, row, column="saliency"):
    return read_saliency(brought.manifest.with_maps(column).saliency_path(row)).numpy()


def test_a_manifest_with_maps_and_shapes_is_written(images):
    annotated = [marked("c", LEFT), marked("a.png", RIGHT, annotator="ann"), marked("b.png", label="dog")]
    brought = write_annotated(annotated, images)
    assert brought.path == images.parent / "manifest.csv"
    again = Manifest.read(brought.path)
    assert again.table.drop(columns="row").fillna("").to_dict("records") == [
        {"id": "a", "path": "images/a.png", "label": "cat", "split": "train", "saliency": "maps/a.png",
         "provenance": "human:ann", "saliency_ann": "annotators/ann/a.png", "saliency_unknown": ""},
        {"id": "b", "path": "images/b.png", "label": "dog", "split": "train", "saliency": "maps/b.png",
         "provenance": "mask", "saliency_ann": "", "saliency_unknown": "annotators/unknown/b.png"},
        {"id": "sub/c", "path": "images/sub/c.png", "label": "cat", "split": "train", "saliency": "maps/sub/c.png",
         "provenance": "mask", "saliency_ann": "", "saliency_unknown": "annotators/unknown/sub/c.png"},
    ]  # fmt: skip
    assert (brought.maps, brought.blank) == (3, 1)
    assert np.array_equal(saved(brought, 0), rasterize([RIGHT], SIZE))
    assert not saved(brought, 1).any()
    with Image.open(images.parent / "maps" / "a.png") as file:
        assert file.mode == "I;16"
        assert np.asarray(file).max() == 65535
    entries = json.loads((images.parent / "shapes.json").read_text())["annotations"]
    assert [(one["image"], one["annotator"], one["answer"], len(one["shapes"])) for one in entries] == [
        ("a", "ann", "cat", 1), ("b", None, "dog", 0), ("sub/c", None, "cat", 1)
    ]  # fmt: skip
    assert not list(images.parent.rglob("*.partial"))


def test_everything_wrong_is_said_at_once_or_left_out(images):
    (images / "broken.png").write_bytes(b"\x89PNG no")
    annotated = [
        marked("a.png", LEFT),
        marked("nowhere.png", LEFT),
        marked("../../../etc/passwd", LEFT),
        Annotated("b.png", (30, 20), "cat", (LEFT,)),
        marked("sub/c.png", LEFT),
        marked("./c.jpg", LEFT),
        marked("broken.png", LEFT),
        marked("a.png", LEFT, label="tail"),
    ]
    naming = Naming({"cat": "animal"})
    with pytest.raises(ManifestError) as caught:
        write_annotated(annotated, images, naming=naming)
    said = {fault.column: fault.message for fault in caught.value.faults}
    assert set(said) == {"nowhere.png", "../../../etc/passwd", "b.png", "c.jpg", "broken.png", "unknown label 'tail'"}
    assert "20 x 30 pixels, and the image is 30 x 20" in said["b.png"]
    assert "without its EXIF turn" in said["b.png"]
    assert said["c.jpg"] == "is the image sub/c.png, and so is 'sub/c.png'; rename one of the files"
    assert said["unknown label 'tail'"] == "1 times, first on a.png; name it (tail=CLASS), or leave it out (tail=)"
    assert not (images.parent / "manifest.csv").exists()
    brought = write_annotated(annotated, images, Output(leave_out=True), naming=naming)
    assert brought.manifest.table["path"].tolist() == ["images/a.png"]
    assert brought.manifest.classes == ("animal",)
    assert {fault.column for fault in brought.left_out} == set(said)


def test_marks_of_another_size_are_scaled_if_the_shape_agrees(images):
    half = Annotated("a.png", (10, 15), "cat", (Box(5, 0, 15, 10),))
    mask = np.zeros((40, 60), bool)
    mask[:20, :30] = True
    brought = write_annotated([half, Annotated("b.png", (40, 60), "cat", mask=mask)], images)
    assert brought.resized == ("a.png", "b.png")
    assert np.array_equal(saved(brought, 0), rasterize([Box(10, 0, 30, 20)], SIZE))
    assert np.array_equal(saved(brought, 1), rasterize([Box(0, 0, 15, 10)], SIZE))
    share = Annotated("a.png", None, "cat", (Box(0, 0, 0.5, 0.5),), relative=True)
    brought = write_annotated([share], images, Output(overwrite=True))
    assert brought.resized == ()
    assert np.array_equal(saved(brought, 0), rasterize([Box(0, 0, 15, 10)], SIZE))


def test_the_upright_size_counts(images):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(images / "turned.jpg", exif=exif)  # upright: 20 high, 30 wide
    brought = write_annotated([marked("turned.jpg", TOP)], images)
    assert np.array_equal(saved(brought, 0), rasterize([TOP], SIZE))


def test_labels_may_be_renamed_or_left_out(images):
    annotated = [marked("a.png", LEFT), marked("a.png", RIGHT, label="pipe"), marked("b.png", RIGHT, label="pipe")]
    brought = write_annotated(annotated, images, naming=Naming({"cat": "animal", "pipe": ""}, default="animal"))
    assert brought.manifest.table["label"].tolist() == ["animal", "animal"]
    assert np.array_equal(saved(brought, 0), rasterize([LEFT], SIZE))
    assert not saved(brought, 1).any()  # looked at, and nothing of what counts was marked


def test_the_class_is_the_images_own_or_its_labels_one(images):
    with pytest.raises(ManifestError, match="has the labels cat, dog: which is its class"):
        write_annotated([marked("a.png", LEFT), marked("a.png", RIGHT, label="dog")], images)
    with pytest.raises(ManifestError, match="no label says its class"):
        write_annotated([marked("a.png", LEFT, label=None)], images)
    both = [marked("a.png", LEFT, image_labels=("zoo",)), marked("a.png", RIGHT, label="dog", image_labels=("zoo",))]
    assert write_annotated(both, images).manifest.classes == ("zoo",)


def test_maps_are_merged_into_a_manifest(images):
    rows = [
        ("one", "images/a.png", "cat", "train", "old/a.png", "phone"),
        ("two", "images/b.png", "dog", "test", "old/a.png", "phone"),
        ("three", "images/sub/c.png", "dog", "test", "", "webcam"),
    ]
    root = images.parent
    (root / "old").mkdir()
    Image.fromarray(np.full(SIZE, 7, np.uint8)).save(root / "old" / "a.png")
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency", "camera"])
    path = Manifest.of(table, root).write(root / "manifest.csv")
    base = Manifest.read(path)
    annotated = [marked("a.png", LEFT, label="whatever"), marked("c.png", label=None)]
    brought = write_annotated(annotated, None, Output(target=path, overwrite=True), base=base, annotator="ann")
    merged = brought.manifest.table.fillna("")
    assert merged["saliency"].tolist() == ["maps/images/a.png", "old/a.png", "maps/images/sub/c.png"]
    assert merged["provenance"].tolist() == ["human:ann", "", "human:ann"]
    assert merged["saliency_ann"].tolist() == ["annotators/ann/images/a.png", "", "annotators/ann/images/sub/c.png"]
    kept = ["id", "path", "label", "split", "camera"]
    assert merged[kept].equals(base.table[kept])
    into = Output(target=path, overwrite=True)
    with pytest.raises(ManifestError, match="annotated as 'dog', and its class is 'cat'"):
        write_annotated([marked("a.png", LEFT, label="dog")], None, into, base=base)
    second = write_annotated([marked("b.png", TOP, label="dog")], None, into, base=Manifest.read(path))
    assert [one.image for one in read_marked(second.manifest, shapes_file(path))] == [
        "images/a.png", "images/b.png", "images/sub/c.png"
    ]  # fmt: skip
    again = write_annotated([marked("a.png", RIGHT)], None, into, base=Manifest.read(path), annotator="ben")
    assert np.array_equal(saved(again, 0), rasterize([RIGHT], SIZE))  # the last import, with the first beside it
    assert np.array_equal(saved(again, 0, "saliency_ann"), rasterize([LEFT], SIZE))
    apart = write_annotated(annotated, None, Output(out=root.parent / "elsewhere"), base=base)
    assert apart.path == root.parent / "manifest.csv"
    assert apart.manifest.table.fillna("")["saliency"].tolist() == [
        "elsewhere/maps/images/a.png", "set/old/a.png", "elsewhere/maps/images/sub/c.png"
    ]  # fmt: skip


def test_only_rows_below_the_folder_of_images_are_matched(images):
    table = pd.DataFrame({"id": ["1", "2"], "path": ["a.png", "sub/c.png"], "label": "x", "split": "s", "saliency": ""})
    base = Manifest.of(table, images)
    with pytest.raises(ManifestError, match=r"a\.png: no image of this name"):
        write_annotated([marked("a.png", LEFT)], images / "sub", base=base)
    (images / "subs").mkdir()
    (images / "a.png").rename(images / "subs" / "a.png")
    base = Manifest.of(table.assign(path=["subs/a.png", "sub/c.png"]), images)
    with pytest.raises(ManifestError, match=r"a\.png: no image of this name"):  # beside it, by a name that begins alike
        write_annotated([marked("a.png", LEFT)], images / "sub", base=base)


def test_a_manifest_that_is_there_is_not_replaced_by_accident(images):
    write_annotated([marked("a.png", LEFT)], images)
    with pytest.raises(SalignError, match=r"manifest.csv is there: merge into it \(--manifest\)"):
        write_annotated([marked("a.png", LEFT)], images)
    assert write_annotated([marked("b.png", LEFT)], images, Output(overwrite=True)).maps == 1


PEOPLE = [
    marked("a.png", LEFT, annotator="ann"),
    marked("a.png", TOP, annotator="ben"),
    marked("a.png", TOP, RIGHT, annotator="cy"),
]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("union", rasterize([LEFT, TOP, RIGHT], SIZE)),
        ("majority", rasterize([TOP], SIZE)),
        ("mean", sum(rasterize(one.shapes, SIZE).astype(float) for one in PEOPLE) / 3),
    ],
)
def test_several_people_are_combined_and_kept_apart(images, how, expected):
    brought = write_annotated(PEOPLE, images, Output(combine=how))
    assert np.allclose(saved(brought, 0), expected, atol=1e-4)
    assert brought.manifest.table["provenance"].tolist() == ["human:ann+ben+cy"]
    for one in PEOPLE:
        assert np.array_equal(saved(brought, 0, f"saliency_{one.annotator}"), rasterize(one.shapes, SIZE))


def test_everybody_may_get_a_row(images):
    brought = write_annotated(PEOPLE, images, Output(combine="each"))
    assert brought.manifest.table["id"].tolist() == ["a@ann", "a@ben", "a@cy"]
    assert brought.manifest.table["annotator"].tolist() == ["ann", "ben", "cy"]
    for row, one in enumerate(PEOPLE):
        assert np.array_equal(saved(brought, row), rasterize(one.shapes, SIZE))


def test_the_shapes_of_a_row_are_those_of_its_person(images):
    brought = write_annotated(PEOPLE, images, Output(combine="each"))
    found = read_marked(brought.manifest, shapes_file(brought.path))
    assert [(one.annotator, one.shapes) for one in found] == [(one.annotator, one.shapes) for one in PEOPLE]
    again = Output(target=brought.path, combine="each", overwrite=True)
    more = [marked("b.png", LEFT, RIGHT, annotator="ann"), marked("b.png", TOP, annotator="ben")]
    base = pd.DataFrame([{"id": "b", "path": "images/b.png", "label": "cat", "split": "train", "saliency": ""}])
    path = Manifest.of(base, images.parent).write(images.parent / "other.csv")
    write_annotated([more[0]], None, Output(target=path, overwrite=True), base=Manifest.read(path), annotator="ann")
    brought = write_annotated(more, None, replace(again, target=path), base=Manifest.read(path))
    found = read_marked(brought.manifest, shapes_file(path))
    assert [(one.annotator, one.shapes) for one in found] == [(one.annotator, one.shapes) for one in more]
    entries = [entry.image for entry in read_shapes(shapes_file(path))]
    assert entries == brought.manifest.table["id"].tolist() == ["b@ann", "b@ben"]


def test_each_row_of_an_image_has_the_shapes_of_the_map_that_was_merged_into_it(images):
    rows = [(f"a{k}", "images/a.png", "cat", "train", "") for k in (1, 2)]
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"])
    path = Manifest.of(table, images.parent).write(images.parent / "manifest.csv")
    brought = write_annotated(
        [marked("a.png", LEFT)], None, Output(target=path, overwrite=True), base=Manifest.read(path)
    )
    assert [entry.image for entry in read_shapes(shapes_file(path))] == ["a1", "a2"]
    assert [one.shapes for one in read_marked(brought.manifest, shapes_file(path))] == [(LEFT,)] * 2


def test_a_merge_into_another_file_takes_the_shapes_of_the_manifest_and_none_that_lie_there(images):
    first = write_annotated([marked("a.png", LEFT), marked("b.png", TOP)], images)
    target = images.parent / "more.csv"
    other = entry_line("images/c", marked("sub/c.png", TOP), answer="cat", blank=False, skipped=None)
    write_entries(shapes_file(target), [other])
    into = Output(target=target, overwrite=True)
    merged = write_annotated([marked("a.png", RIGHT)], None, into, base=Manifest.read(first.path))
    found = read_marked(merged.manifest, shapes_file(target))
    assert [(one.image, one.shapes) for one in found] == [("images/a.png", (RIGHT,)), ("images/b.png", (TOP,))]
    assert {entry.image for entry in read_shapes(shapes_file(target))} == {"a", "b"}
    assert {entry.image: entry.marks.shapes for entry in read_shapes(shapes_file(first.path))}["a"] == (LEFT,)


def test_marks_of_one_person_are_united_and_what_was_erased_stays_so(images):
    annotated = [
        marked("a.png", LEFT, Box(0, 0, 5, 5, erase=True), annotator="ann"),
        marked("a.png", RIGHT, annotator="ann"),
        Annotated("a.png", SIZE, "cat", mask=Runs.of(rasterize([Box(12, 12, 14, 14)], SIZE)), annotator="ann"),
    ]
    brought = write_annotated(annotated, images)
    expected = rasterize([LEFT, Box(0, 0, 5, 5, erase=True), RIGHT, Box(12, 12, 14, 14)], SIZE)
    assert np.array_equal(saved(brought, 0), expected)
    assert not (images.parent / "shapes.json").exists()  # a mask cannot be given back as shapes


def test_fixations_need_a_sigma_and_are_pooled(images):
    ann = Annotated("a.png", SIZE, "cat", (Fixation(5, 5, 100),), annotator="ann")
    ben = Annotated("a.png", SIZE, "cat", (Fixation(25, 5, 300), Fixation(9, 9, 50)), annotator="ben")
    with pytest.raises(SalignError, match="give its sigma in pixels"):
        write_annotated([ann], images)
    brought = write_annotated([ann, ben], images, Output(sigma=3.0))
    assert np.allclose(saved(brought, 0), fixation_map([*ann.shapes, *ben.shapes], SIZE, 3.0), atol=1e-4)
    assert np.allclose(saved(brought, 0, "saliency_ben"), fixation_map(ben.shapes, SIZE, 3.0), atol=1e-4)
    assert brought.manifest.table["provenance"].tolist() == ["human:ann+ben"]
    nameless = Annotated("a.png", SIZE, "cat", ann.shapes)
    looked = write_annotated([nameless], images, Output(sigma=3.0, overwrite=True)).manifest
    assert looked.table["provenance"].tolist() == ["human:unknown"]


def test_images_that_differ_in_their_suffix_only_keep_it(images):
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(images / "a.bmp")
    brought = write_annotated([marked("a.png", LEFT), marked("a.bmp", TOP)], images)
    assert brought.manifest.table["id"].tolist() == ["a.bmp", "a.png"]
    assert brought.manifest.table["saliency"].tolist() == ["maps/a.bmp.png", "maps/a.png.png"]


def test_a_machines_marks_beside_a_persons_are_no_persons_maps(images):
    brought = write_annotated([marked("a.png", LEFT, annotator="model:n@1"), marked("a.png", TOP)], images)
    table = brought.manifest.table
    assert table["provenance"].tolist() == ["model:n@1 with mask"]
    (column,) = (name for name in table if name.startswith("saliency_model") and not name.endswith("provenance"))
    assert brought.manifest.with_maps(column).machine_made.tolist() == [True]
    assert brought.manifest.with_maps("saliency_unknown").machine_made.tolist() == [False]


def test_two_people_whose_names_differ_by_case_have_a_folder_each(images):
    """On a file system that ignores case one would be drawn over the other; a second import knows who is who."""
    brought = write_annotated([marked("a.png", LEFT, annotator="ann"), marked("a.png", TOP, annotator="Ann")], images)
    columns = [name for name in brought.manifest.table if name.startswith("saliency_")]
    assert len({name.lower() for name in columns}) == 2
    into = Output(target=brought.path, overwrite=True)
    for who, shape in (("ann", RIGHT), ("Ann", TOP)):
        brought = write_annotated([marked("a.png", shape)], None, into, base=brought.manifest, annotator=who)
    assert [name for name in brought.manifest.table if name.startswith("saliency_")] == columns
    assert [np.array_equal(saved(brought, 0, name), rasterize([shape], SIZE)) for name, shape in
            zip(sorted(columns), (TOP, RIGHT), strict=True)] == [True, True]  # fmt: skip


def test_a_column_that_says_whose_maps_are_is_no_column_of_maps(images):
    """Merged into a manifest whose root moves up, paths of maps move along, and provenance stays as it is."""
    (images / "net.png").write_bytes((images / "a.png").read_bytes())
    header = "id,path,label,split,saliency,saliency_ann,saliency_ann_provenance,net,net_provenance\n"
    (images / "m.csv").write_text(f"{header}1,a.png,cat,train,,net.png,model:x@1,net.png,model:n@2\n")
    brought = write_annotated(
        [marked("a.png", LEFT)], None, Output(out=images.parent / "out"), base=Manifest.read(images / "m.csv")
    )
    row = brought.manifest.table.iloc[0]
    assert row["saliency_ann"] == row["net"] == "images/net.png"
    assert (row["saliency_ann_provenance"], row["net_provenance"]) == ("model:x@1", "model:n@2")
    assert brought.manifest.with_maps("saliency_ann").machine_made.tolist() == [True]


def test_nothing_that_was_said_of_a_map_is_left_to_the_one_that_replaces_it(images):
    (images / "net.png").write_bytes((images / "a.png").read_bytes())
    header = "id,path,label,split,saliency,provenance,confidence,saliency_ann,saliency_ann_provenance\n"
    rows = "1,a.png,cat,train,net.png,model:x@1,0.9,net.png,model:y@2\n2,b.png,cat,train,net.png,model:x@1,0.8,,\n"
    (images / "m.csv").write_text(header + rows)
    into = Output(target=images / "m.csv", overwrite=True)
    base = Manifest.read(images / "m.csv")
    table = write_annotated([marked("a.png", LEFT)], None, into, base=base, annotator="ann").manifest.table.fillna("")
    said = table[["provenance", "confidence", "saliency_ann_provenance"]].to_numpy().tolist()
    assert said == [["human:ann", "", "human:ann"], ["model:x@1", "0.8", ""]]


def test_marks_are_grouped_by_label():
    runs = Runs.of(np.eye(4, dtype=bool))
    found = by_label([("x", LEFT), ("y", TOP), ("x", RIGHT), ("y", runs)], "a", (4, 4), annotator="ann")
    assert [(one.label, one.shapes, one.mask) for one in found] == [
        ("x", (LEFT, RIGHT), None), ("y", (TOP,), None), ("y", (), runs)
    ]  # fmt: skip
    assert {one.annotator for one in found} == {"ann"}
    assert by_label([], "a") == [Annotated("a")]


def test_a_grey_mask_is_drawn_as_it_is():
    soft = np.linspace(0, 1, 600, dtype=np.float32).reshape(SIZE)
    assert np.array_equal(draw_marks([Annotated("a", SIZE, mask=soft)], SIZE), soft)
    small = draw_marks([Annotated("a", SIZE, mask=soft)], (10, 15))
    assert np.allclose(small, soft.reshape(10, 2, 15, 2).mean((1, 3)), atol=1e-6)


def test_options_that_cannot_be_are_refused(images):
    with pytest.raises(SalignError, match="there is no 'average'"):
        Output(combine="average")
    with pytest.raises(SalignError, match="give the folder of the images"):
        write_annotated([])
    with pytest.raises(SalignError, match="no such folder"):
        write_annotated([], images / "no")
    with pytest.raises(ManifestError, match="nothing is left to import"):
        write_annotated([], images)


def test_a_mask_of_run_lengths_that_marks_nothing_is_a_fault_and_no_blank_map(read, tmp_path):
    empty = {"segmentation": {"size": [40, 60], "counts": [2400]}}
    outside = '<mask label="cat" rle="0, 4" left="70" top="0" width="2" height="2"/>'
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(images / "a.png")
    for found, faults in (read("coco", coco(empty), "c.json"), read("cvat", cvat(outside), "c.xml")):
        assert faults == []
        with pytest.raises(ManifestError, match=r"a\.png: a mask holds no pixel of the image, which has 60 x 40"):
            write_annotated(found, images)


def test_a_faulty_mark_is_left_out_of_the_map_and_the_others_are_drawn(read, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(images / "a.png")
    found, faults = read("coco", coco({"bbox": [7, 5, 13, 4]}, {"bbox": [70, 5, 3, 3]}), "c.json")
    assert faults == []
    brought = write_annotated(found, images, Output(leave_out=True))
    assert np.array_equal(read_saliency(brought.manifest.saliency_path(0)).numpy(), MASK)
    assert [str(fault) for fault in brought.left_out] == [
        "a.png: the box from (70, 5) to (73, 8) lies outside; the image has 60 x 40 pixels"
    ]
