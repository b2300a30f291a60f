"""What people report of annotation tools, a case each: read as it was meant, or refused with its place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from annotation_samples import png
from references.rle import coco_counts, packed
from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.annotations.formats.fixations import Gaze
from salign.annotations.formats.notes import Notes
from salign.annotations.resolve import Naming
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import ManifestError
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.maps.shapes import Box, Fixation, Polygon, Stroke
from tool_files import (
    BOX,
    IMAGES,
    KINDS,
    MASK,
    RECT,
    RECTANGLE,
    coco,
    cvat,
    drawn,
    labelme,
    result,
    studio,
    via,
    voc,
)  # fmt: skip


def marks(found):
    return [(one.image, one.label, one.shapes) for one in found]


# ---- boxes and polygons of detection: COCO, VOC, YOLO, tables

COCO = {
    "numbers in quotes": ({"segmentation": [["1", "2", "9", "2", "9", "8"]]}, Polygon(((1, 2), (9, 2), (9, 8)))),
    "a bbox in quotes": ({"bbox": ["1", "2", "3", "4"]}, Box(1, 2, 4, 6)),
    "no outline, written {}": ({"segmentation": {}, "bbox": [1, 2, 3, 4]}, Box(1, 2, 4, 6)),
    "no outline, written null": ({"segmentation": None, "bbox": [1, 2, 3, 4]}, Box(1, 2, 4, 6)),
    "an empty outline among others": (
        {"segmentation": [[], [1, 2, 9, 2, 9, 8]]}, Polygon(((1, 2), (9, 2), (9, 8)))
    ),
    "attributes as text": ({"bbox": [1, 2, 3, 4], "attributes": "occluded"}, Box(1, 2, 4, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", COCO)
def test_coco_reads(name, read):
    one, shape = COCO[name]
    assert read("coco", coco(one), "c.json") == ([Annotated("a.png", (40, 60), "cat", (shape,))], [])


COCO_FAULTS = {
    "a width below 0": ({"bbox": [10, 2, -3, 4]}, "annotations[1].bbox: expected [x, y, width, height], got a list"),
    "a bbox of 3 numbers": ({"bbox": [1, 2, 3]}, "annotations[1].bbox: expected [x, y, width, height], got a list"),
    "two corners as an outline": (
        {"segmentation": [[1, 2, 9, 8]]}, "annotations[1].segmentation[0]: expected a polygon [x1, y1, x2, y2, x3, y3"
    ),
    "an image that is not listed": ({"image_id": 9, "bbox": [1, 2, 3, 4]}, "annotations[1]: there is no image with"),
    "a category that is not listed": ({"category_id": 9, "bbox": [1, 2, 3, 4]}, "annotations[1]: there is no category"),
    "run lengths of another size": (
        {"segmentation": {"size": [60, 40], "counts": coco_counts(MASK)}}, "which are 40 and 60, got a list"
    ),
    "run lengths that do not add up": (
        {"segmentation": {"size": [40, 60], "counts": [7, 9]}}, "the runs add up to 16 pixels; expected 60 x 40 = 2400"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COCO_FAULTS)
def test_coco_leaves_out_one_annotation_and_keeps_the_others(name, read):
    odd, message = COCO_FAULTS[name]
    found, faults = read("coco", coco({"bbox": [1, 2, 3, 4]}, odd), "c.json")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 4, 6),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("coco", coco(odd | {"image_id": odd.get("image_id", 1)}), "c.json")[0] == (
        [Annotated("a.png", (40, 60))] if odd.get("image_id") == 9 else []  # a faulty mark is no blank
    )


def test_coco_ids_that_are_used_twice(read):
    other = {"id": 1, "file_name": "b.png"}
    found, faults = read("coco", coco({"bbox": [1, 2, 3, 4]}, images=[*IMAGES, other]), "c.json")
    assert (found, faults) == ([], ["c.json: images[1]: the id 1 is used twice"])
    found, faults = read("coco", coco({"bbox": [1, 2, 3, 4]}, images=[*IMAGES, *IMAGES]), "c.json")  # merged files
    assert (len(found), faults) == (1, [])
    twice = [*KINDS, {"id": 3, "name": "dog"}]
    found, faults = read("coco", coco({"bbox": [1, 2, 3, 4]}, categories=twice), "c.json")
    assert (found, faults) == ([], ["c.json: categories[1]: the id 3 is used twice"])


def test_coco_without_the_size_of_images_takes_that_of_the_run_lengths(read):
    bare = [{"id": 1, "file_name": "a.png"}]
    segmentation = {"size": [40, 60], "counts": coco_counts(MASK)}
    ((one,), faults) = read("coco", coco({"segmentation": segmentation, "iscrowd": 1}, images=bare), "c.json")
    assert faults == []
    assert np.array_equal(one.mask.decode(), MASK)


def test_coco_categories_and_images_may_be_numbers(read):
    found, faults = read("coco", coco({"bbox": [1, 2, 3, 4]}, categories=[{"id": "3", "name": 7}]), "c.json")
    assert (marks(found), faults) == ([("a.png", "7", (Box(1, 2, 4, 6),))], [])


def test_voc_corners_that_are_swapped_parts_and_floats(read):
    found, faults = read("voc", {"a.xml": voc("a.png", (1.0, 2, 9.5, 8), (9, 2, 1, 8))})
    assert marks(found) == [("a.png", "cat", (Box(0, 1, 9.5, 8),))]  # the parts of a thing are not marks
    assert faults == [
        "a.xml: object 2: <name>: box: expected the top left corner first, got (8, 1) and (1, 8); swap them"
    ]


def test_voc_other_shapes_are_faults_and_no_blank(read):
    thing = "<object><name>cat</name><polygon><pt><x>1</x><y>1</y></pt></polygon></object>"
    found, faults = read("voc", {"a.xml": f"<annotation><filename>a.png</filename>{thing}</annotation>"})
    assert (found, faults) == ([], ["a.xml: object 1 has no <bndbox>; other shapes are not part of Pascal VOC"])


def test_voc_files_that_name_the_same_image_are_faults(read):
    """Copied files keep the name of the first image."""
    found, faults = read("voc", {"a.xml": voc("a.png", (1, 2, 9, 8)), "b.xml": voc("a.png", (3, 3, 4, 4))})
    assert (found, faults) == ([], ["b.xml: is of a.png, and so is a.xml; each image has one file"])


def test_voc_and_labelme_files_beside_images_of_equal_names_keep_their_folder(read):
    files = {"cat/1.xml": voc("1.png", (1, 2, 9, 8)), "dog/1.xml": voc("1.png", (3, 3, 4, 4))}
    found, faults = read("voc", files)
    assert ([one.image for one in found], faults) == (["cat/1.png", "dog/1.png"], [])


@pytest.mark.parametrize("half", ["<size><width>60</width><height>0</height></size>"])
def test_voc_half_a_size_is_a_fault(half, read):
    found, faults = read("voc", {"a.xml": voc("a.png", (1, 2, 9, 8), size=half)})
    assert found == []
    assert "expected height and width, or neither of them, got '60'" in faults[0]


YOLO_LINES = {
    "the shares of a prediction": ("0 .5 .5 .2 .2 .93", "got 5 numbers"),
    "pixels": ("0 30 20 12 8", "expected a number from -1 to 2, got '30'"),
    "a class that has no name": ("7 .5 .5 .2 .2", "line 2: class 7, and there are 1 names"),
    "the name of a class": ("cat .5 .5 .2 .2", "line 2: expected a number from 0 to 1e+09, got 'cat'"),
    "half a class": ("0.5 .5 .5 .2 .2", "expected a whole number"),
    "a width below 0": ("0 .5 .5 -.2 .2", "box: expected the top left corner first"),
    "decimal commas": ("0 0,5 0,5 0,2 0,2", "expected a number from -1 to 2, got '0,5'"),
    "not a number": ("0 nan .5 .2 .2", "expected a number from -1 to 2, got 'nan'"),
}


@pytest.mark.parametrize("name", YOLO_LINES)
def test_yolo_leaves_out_a_line_and_keeps_the_others(name, read):
    line, message = YOLO_LINES[name]
    found, faults = read("yolo", {"a.txt": f"0 .5 .5 .5 .25\r\n{line}\r\n", "classes.txt": "cat\n"})
    assert marks(found) == [("a", "cat", (Box(0.25, 0.375, 0.75, 0.625),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert faults[0].startswith("a.txt: ")


def test_yolo_a_mark_at_the_beginning_and_a_class_written_as_a_float(read):
    found, faults = read("yolo", {"a.txt": "\ufeff0.0 .5 .5 .5 .25\n", "classes.txt": "\ufeffcat\r\n"})
    assert (marks(found), faults) == ([("a", "cat", (Box(0.25, 0.375, 0.75, 0.625),))], [])


def test_yolo_names_that_contradict_each_other(read, tmp_path):
    files = {"a.txt": "1 .5 .5 .5 .25", "classes.txt": "dog\nperson\n", "data.yaml": "names: [cat, lynx]\n"}
    with pytest.raises(SalignError, match=r"classes\.txt and .*data\.yaml name other classes, or in another order"):
        read("yolo", files)
    found, _ = read("yolo", {}, classes=tmp_path / "in" / "data.yaml")
    assert [one.label for one in found] == ["lynx"]


def test_yolo_names_in_a_file_among_the_labels_are_not_labels(read, tmp_path):
    found, faults = read("yolo", {"a.txt": "0 .5 .5 .5 .25", "names.txt": "1\n"}, classes=tmp_path / "in" / "names.txt")
    assert ([(one.image, one.label) for one in found], faults) == ([("a", "1")], [])


def test_yolo_words_that_yaml_may_take_for_something_else_are_names(read):
    found, _ = read("yolo", {"a.txt": "0 .5 .5 .5 .25\n1 .2 .2 .1 .1", "data.yaml": "names:\n  0: no\n  1: on\n"})
    assert [one.label for one in found] == ["no", "on"]


def test_yolo_a_turned_box_of_four_corners(read):
    found, _ = read("yolo", {"a.txt": "0 .5 .1 .9 .5 .5 .9 .1 .5", "classes.txt": "cat"})
    assert found[0].shapes == (Polygon(((0.5, 0.1), (0.9, 0.5), (0.5, 0.9), (0.1, 0.5))),)


TABLES = {
    "semicolons": ("image;label;x;y;width;height\na;cat;1;2;3;4\n", "separated by semicolons; save it with commas"),
    "tabs": ("image\tlabel\tx\ty\twidth\theight\na\tcat\t1\t2\t3\t4\n", "separated by tabs; save it with commas"),
    "no column for the image": ("label,x,y,width,height\ncat,1,2,3,4\n", "expected a column for the image"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_boxes_that_are_refused(name, read):
    content, message = TABLES[name]
    with pytest.raises(SalignError, match=message):
        read("boxes", {"b.csv": content}, "b.csv")


def test_tables_of_boxes_leave_out_rows_with_their_number(read):
    rows = [
        "image,label,x,y,width,height",
        "a,cat,10,20,30,40",
        "a,cat,1",
        'a,cat,"1,5",2,3,4',
        "b,cat,5,5,-2,4",
        "c,,,,,",
    ]
    found, faults = read("boxes", {"b.csv": "\r\n".join(rows)}, "b.csv")
    assert marks(found) == [("a", "cat", (Box(10, 20, 40, 60),)), ("c", None, ())]
    assert [fault.split(": ")[1] for fault in faults] == ["row 3", "row 4", "row 5"]


# ---- tools to label with: LabelMe, VIA, CVAT, Label Studio


LABELME_FAULTS = {
    "a polygon of two points": (drawn("polygon", [1, 2], [9, 8]), "polygon: expected 3 to 100000 points, got 2"),
    "a circle of one point": (drawn("circle", [1, 2]), "a circle has 2 points, got 1"),
    "a line without a thickness": (drawn("linestrip", [1, 2], [9, 8]), "give --width"),
    "a point with three numbers": (drawn("polygon", [1, 2, 3], [9, 8], [4, 4]), "points[0]: expected [x, y], got 3"),
    "a kind that is new": (drawn("points", [1, 2]), "shape_type: expected polygon, rectangle,"),
    "no label": (drawn("rectangle", [1, 2], [9, 8], label=None), "the key 'label' is missing"),
    "a mask that is no picture": (drawn("mask", [1, 2], [9, 8], mask="AAAA"), "expected a PNG in base64"),
}


@pytest.mark.parametrize("name", LABELME_FAULTS)
def test_labelme_leaves_out_one_shape_and_keeps_the_others(name, read):
    odd, message = LABELME_FAULTS[name]
    found, faults = read("labelme", {"a.json": labelme(drawn("rectangle", [9, 8], [1, 2]), odd)})
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 9, 8),))]
    assert len(faults) == 1
    assert faults[0].startswith("a.json: shapes[1]")
    assert message in faults[0]
    assert read("labelme", {"a.json": labelme(odd)})[0] == []  # no blank


def test_labelme_beside_the_images_and_twice_of_one_image(read):
    here, there = labelme(imagePath="1.png"), labelme(imagePath="..\\dog\\1.png")
    found, faults = read("labelme", {"cat/1.json": here, "x/1.json": there})
    assert ([one.image for one in found], faults) == (["cat/1.png", "dog/1.png"], [])
    found, faults = read("labelme", {"x/2.json": there})
    assert [one.image for one in found] == ["cat/1.png"]
    assert faults == ["x/2.json: is of dog/1.png, and so is x/1.json; each image has one file"]


def test_labelme_another_json_in_the_folder_is_a_fault_of_its_own(read):
    found, faults = read("labelme", {"a.json": labelme(), "settings.json": {"theme": "dark"}})
    assert [one.image for one in found] == ["a.png"]
    assert faults == ["settings.json: the key 'shapes' is missing; there is 'theme'"]


def test_labelme_a_mask_without_the_size_of_the_image_is_a_fault(read):
    shape = drawn("mask", [1, 2], [3, 4], mask=png(np.ones((3, 3), np.uint8)))
    found, faults = read("labelme", {"a.json": labelme(shape, imageHeight=0, imageWidth=0)})
    assert found == []
    assert "a mask needs imageHeight and imageWidth" in faults[0]


VIA_FAULTS = {
    "a width below 0": ({**RECT, "width": -3}, "expected the top left corner first"),
    "a rect without height": ({key: RECT[key] for key in ("name", "x", "y", "width")}, "the key 'height' is missing"),
    "as many x as y": (
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "3 x and 2 y; expected as many of both"
    ),
    "null for a number": ({**RECT, "x": None}, "the key 'x' is missing"),
    "a kind that is new": ({"name": "bezier"}, "name: expected rect, polygon, ellipse, circle, polyline, point"),
}  # fmt: skip


@pytest.mark.parametrize("name", VIA_FAULTS)
def test_via_leaves_out_one_region_and_keeps_the_others(name, read):
    shape, message = VIA_FAULTS[name]
    found, faults = read("via", via((RECT, {"kind": "cat"}), (shape, {"kind": "cat"})), "v.json")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 4, 6),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("via", via((shape, {"kind": "cat"})), "v.json")[0] == []


def test_via_a_csv_row_that_is_cut_is_no_blank_image(read):
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rect = json.dumps(RECT).replace('"', '""')
    good = f'a.png,1,"{{}}",2,0,"{rect}","{{""kind"":""cat""}}"'
    files = {"v.csv": "\n".join([head, good, "a.png,1", 'b.png,1,"{}",1,0,"{","{}"'])}
    found, faults = read("via", files, "v.csv")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 4, 6),))]
    assert [("row 3" in faults[0]), ("row 4" in faults[1])] == [True, True]


CVAT_FAULTS = {
    "a cuboid": ('<cuboid label="cat" xtl1="1"/>', "<cuboid> is not read; polygon, box"),
    "a skeleton": ('<skeleton label="cat"><points label="1" points="1,2"/></skeleton>', "<skeleton> is not read"),
    "points that are no pairs": ('<polygon label="cat" points="1,2;3"/>', "expected points x,y;x,y;..."),
    "no label": ('<box xtl="1" ytl="2" xbr="9" ybr="8"/>', "the key 'label' is missing"),
    "corners that are swapped": ('<box label="cat" xtl="9" ytl="2" xbr="1" ybr="8"/>', "top left corner first"),
    "a mask that does not fill its box": (
        '<mask label="cat" rle="3, 4" left="0" top="0" width="3" height="3"/>', "the runs add up to 7 pixels"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CVAT_FAULTS)
def test_cvat_leaves_out_one_shape_and_keeps_the_others(name, read):
    shape, message = CVAT_FAULTS[name]
    found, faults = read("cvat", cvat(BOX, shape), "c.xml")
    assert marks(found) == [("a.png", "cat", (Box(1, 2, 9, 8),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("cvat", cvat(shape), "c.xml")[0] == []


def test_cvat_points_are_apart_and_not_a_line(read):
    found, _ = read("cvat", cvat('<points label="cat" points="5,5;25,5"/>'), "c.xml", width=4.0)
    assert found[0].shapes == (Stroke(((5, 5),), (2,)), Stroke(((25, 5),), (2,)))


STUDIO_FAULTS = {
    "an image that was turned": (
        result("r2", "rectanglelabels", RECTANGLE) | {"image_rotation": 90},
        "expected an image that was not turned",
    ),
    "a video": (result("r2", "videorectangle", {"sequence": []}), "type: expected polygon, rectangle, ellipse"),
    "a size of 0": (result("r2", "rectanglelabels", RECTANGLE) | {"original_width": 0}, "expected 1 to 89,478,485"),
    "a mask of another size": (
        result("r2", "brushlabels", {"format": "rle", "rle": packed(np.ones((9, 9), bool)), "brushlabels": ["cat"]}),
        "expected 9600 values of 8 bits",
    ),
    "a mask in another packing": (
        result("r2", "brushlabels", {"format": "png", "rle": [], "brushlabels": ["cat"]}),
        "expected 'rle', got 'png'",
    ),
}


@pytest.mark.parametrize("name", STUDIO_FAULTS)
def test_label_studio_leaves_out_one_result_and_keeps_the_others(name, read):
    odd, message = STUDIO_FAULTS[name]
    found, faults = read("label-studio", studio(result("r1", "rectanglelabels", RECTANGLE), odd), "ls.json")
    assert [(one.label, one.shapes) for one in found] == [("cat", (Box(6, 4, 36, 24),))]
    assert len(faults) == 1
    assert message in faults[0]
    assert read("label-studio", studio(odd), "ls.json")[0] == []


def test_label_studio_a_task_without_annotations_is_told_and_others_are_read(read):
    good = studio(result("r1", "rectanglelabels", RECTANGLE))["ls.json"]
    found, faults = read("label-studio", {"ls.json": [{"image": "a.png", "label": []}, *good]}, "ls.json")
    assert len(found) == 1
    assert faults == ["ls.json: [0]: has no annotations; export as JSON, not JSON-MIN"]


def test_label_studio_names_are_decoded(read):
    for address, name in (
        ("https://example.org/a%20b.png?X-Sig=1", "/a b.png"),
        ("/data/local-files/?d=x%2Fa.png", "x/a.png"),
    ):
        found, _ = read("label-studio", studio(result("r1", "rectanglelabels", RECTANGLE), image=address), "ls.json")
        assert found[0].image == name


def test_label_studio_of_several_questions_one_is_the_class(read):
    asked = [
        result("c1", "choices", {"choices": ["ill"]}, "diagnosis"),
        result("c2", "choices", {"choices": ["blurred"]}, "quality"),
    ]
    found, _ = read("label-studio", studio(*asked), "ls.json")
    assert found == [Annotated("/data/upload/1/1a2b3c4d-a.png", image_labels=("ill", "blurred"))]
    found, _ = read("label-studio", studio(*asked), "ls.json", attribute="diagnosis")
    assert found == [Annotated("/data/upload/1/1a2b3c4d-a.png", image_labels=("ill",))]


CONTRADICTIONS = {
    "label-studio": (studio(result("c", "choices", {"choices": ["ill", "well"]})), "ls.json"),
    "cvat": (cvat('<tag label="ill"/>', '<tag label="well"/>'), "c.xml"),
    "labelme": ({"a.json": labelme(flags={"ill": True, "well": True, "sure": False})}, ""),
    "via": (via((RECT, {"kind": "x"}), attributes={"kind": {"ill": True, "well": True}}), "v.json"),
}


@pytest.mark.parametrize("form", CONTRADICTIONS)
def test_classes_that_contradict_each_other_are_a_fault_unless_one_is_left_out(form, read, tmp_path):
    found, faults = read(form, *CONTRADICTIONS[form])
    assert faults == []
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(images / "a.png")
    with pytest.raises(ManifestError, match=r"a\.png: has the labels ill, well: which is its class"):
        write_annotated(found, images)
    brought = write_annotated(found, images, naming=Naming({"ill": "ill", "well": "", "x": ""}))
    assert brought.manifest.table["label"].tolist() == ["ill"]


# ---- gaze


def test_gaze_that_was_lost_is_told_by_row_and_the_rest_kept(read):
    rows = [
        "image,x,y,duration",
        "a.png,20,10,100",
        "a.png,NaN,10,100",
        "a.png,,,",
        "a.png,-1,-1,80",
        "b.png,nan,nan,9",
    ]
    found, faults = read("fixations", {"f.csv": "\n".join(rows)}, "f.csv")
    assert marks(found) == [("a.png", None, (Fixation(20, 10, 100), Fixation(-1, -1, 80)))]  # beside it: no weight
    assert sorted({fault.split(",")[0] for fault in faults}) == ["row 3", "row 4", "row 6"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,-1,-1,100\na.png,90,5,100", "none of 2 fixations is on the image for any time"),
        ("a.png,20,10,0", "none of 1 fixations is on the image for any time"),
    ],
)
def test_gaze_that_never_meets_the_image_is_a_fault_and_no_blank_map(rows, message, read, tmp_path):
    found, _ = read("fixations", {"f.csv": f"image,x,y,duration\n{rows}\nb.png,20,10,50"}, "f.csv")
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(images / name)
    naming = Naming(default="photo")
    with pytest.raises(ManifestError, match=message):
        write_annotated(found, images, Output(sigma=3), naming=naming)
    brought = write_annotated(found, images, Output(sigma=3, leave_out=True), naming=naming)
    assert (brought.manifest.table["path"].tolist(), brought.blank) == (["images/b.png"], 0)


GAZE = {
    "semicolons and decimal commas": ("image;x;y;duration\na.png;20,5;10;100\n", {}, "separated by semicolons"),
    "tabs in a .csv": ("image\tx\ty\tduration\na.png\t20\t10\t100\n", {}, "separated by tabs"),
    "times that run back": (
        "image,x,y,start,end\na.png,20,10,5,4\n",
        {},
        "row 2, end: expected an end after the start",
    ),
    "no time at all": ("image,x,y\na.png,20,10\n", {}, "expected a column duration, or start and end"),
    "a name of a column in other letters": ("image,X,Y,Duration\na.png,20,10,9\n", {}, "no column 'x' for x"),
    "a weight that is none": (
        "image,x,y,duration\na.png,20,10,9\n",
        {"weight": "time"},
        "weight: expected duration or",
    ),
    "a position that is none": ("image,x,y,duration\na.png,20,10,9\n", {"position": "px"}, "position: expected"),
    "shares without a screen": ("image,x,y,duration\na.png,.2,.1,9\n", {"position": "shares"}, "need its size"),
    "degrees without a screen": ("image,x,y,duration\na.png,2,1,9\n", {"position": "degrees"}, "size of the screen"),
}


@pytest.mark.parametrize("name", GAZE)
def test_gaze_that_is_refused(name, tmp_path):
    content, gaze, message = GAZE[name]
    (tmp_path / "f.csv").write_text(content)
    with pytest.raises(SalignError, match=message):
        annotation_format("fixations").read(tmp_path / "f.csv", gaze=Gaze(**gaze))


def test_gaze_a_mark_at_the_beginning_and_windows_line_ends(read):
    found, faults = read("fixations", {"f.csv": "\ufeffimage,x,y,duration\r\na.png,20,10,100\r\n"}, "f.csv")
    assert (marks(found), faults) == ([("a.png", None, (Fixation(20, 10, 100),))], [])


def test_eyetagger_leaves_out_one_entry_and_keeps_the_others(read):
    alpha = np.zeros((40, 60, 4), np.uint8)
    alpha[MASK] = (0, 255, 0, 85)
    good = {"annotator": 3, "image": "a", "annotation": f"data:image/png;base64,{png(alpha)}"}
    opaque = {"annotator": 3, "image": "b", "annotation": f"data:image/png;base64,{png(alpha[:, :, :3])}"}
    turned = {"objects": [{"type": "path", "strokeWidth": 2, "angle": 9, "path": [["M", 1, 1], ["L", 2, 2]]}]}
    entries = [good, opaque, {"annotator": 3, "image": "c", "annotation": turned}, {"annotator": 3, "image": "d"}]
    found, faults = read("eyetagger", {"e.json": entries}, "e.json")
    assert [one.image for one in found] == ["a"]
    assert np.array_equal(found[0].mask.decode(), MASK)
    assert "[1].annotation: expected a transparent picture with strokes" in faults[0]
    assert "[2].annotation.objects[0].angle: expected 0: a path as it was drawn" in faults[1]


# ---- masks, arrays, run lengths


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()

    def save(name, values, **options):
        Image.fromarray(values).save(folder / name, **options)
        return folder

    return save


MARKED = MASK.astype(np.uint8) * 255


def masked(folder, **options):
    notes = Notes()
    found = annotation_format("masks").read(folder, notes, **options)
    return {one.image: None if one.mask is None else np.asarray(one.mask.decode()) for one in found}, notes


def test_a_webp_without_loss_needs_no_threshold_and_one_with_loss_does(masks):
    masks("a.webp", np.stack([MASK.astype(np.uint8)] * 3, -1), lossless=True, exact=True)
    found, notes = masked(masks("b.webp", np.stack([MARKED] * 3, -1), quality=20), values="nonzero")
    assert np.array_equal(found["a"], MASK)  # class number 1
    assert np.array_equal(found["b"], MASK)
    assert "1 masks are lossy pictures, first b.webp" in notes.remarks[0]


def test_a_threshold_holds_for_every_mask_at_its_own_depth(masks):
    masks("a.png", np.where(MASK, 128, 127).astype(np.uint8))
    deep = np.where(MASK, 32896, 32639).astype(np.uint16)
    found, notes = masked(masks("b.png", deep), threshold=128 / 255)
    assert np.array_equal(found["a"], MASK)
    assert np.array_equal(found["b"], MASK)
    assert notes.remarks == []


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5, float("nan")])
def test_a_threshold_is_a_share(threshold, masks):
    with pytest.raises(SalignError, match="expected a threshold above 0 and up to 1"):
        masked(masks("a.png", MARKED), threshold=threshold)


def test_a_faulty_mask_is_left_out_and_the_others_are_read(masks):
    folder = masks("a.png", MARKED)
    masks("numbers.png", MASK.astype(np.uint8))
    masks("red.png", np.stack([MARKED, MARKED * 0, MARKED * 0], -1))
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    found, notes = masked(folder)
    assert list(found) == ["a"]
    assert sorted(fault.column for fault in notes.faults) == ["cut.png", "numbers.png", "red.png"]


def test_a_faulty_array_is_left_out_and_the_others_are_read(tmp_path):
    for name, values in {"a": MASK, "b": MASK * 3.0, "c": np.full((40, 60), np.nan), "d": MASK[0]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    notes = Notes()
    with pytest.raises(ManifestError, match="3 faults"):
        annotation_format("arrays").read(tmp_path)
    found = annotation_format("arrays").read(tmp_path, notes)
    assert [one.image for one in found] == ["a"]
    assert [fault.column for fault in notes.faults] == ["b", "c", "d"]


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
