"""Two classes of one image, two images of one name, two names of one image: faults with their place in every format."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from references.rle import packed
from salign.annotations.annotated import Annotated
from salign.annotations.match import Images
from salign.annotations.resolve import Naming, settle
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import Manifest, ManifestError
from salign.errors import SalignError
from salign.maps.shapes import Box
from tool_files import BOX, IMAGES, KINDS, MASK, RECT, RECTANGLE, coco, cvat, drawn, labelme, result, studio, via, voc


@pytest.fixture
def images(tmp_path):
    """`a.png` and `b.png` of 60 x 40 pixels."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(folder / name)
    return folder


DOG = {"id": 4, "name": "dog"}
CAT_BOX = {"bbox": [1, 2, 8, 6]}
RECT_LABELME = drawn("rectangle", [1, 2], [9, 8])


def picture(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


MARKED = picture(MASK.astype(np.uint8) * 255)

TWO_CLASSES = {
    "coco": (coco(CAT_BOX, CAT_BOX | {"category_id": 4}, categories=[*KINDS, DOG]), "c.json", {}, "a.png"),
    "voc": (
        {"a.xml": voc("a.png", (1, 2, 9, 8)).replace("</annotation>", "<object><name>dog</name><bndbox><xmin>1</xmin>"
         "<ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>")}, "", {}, "a.xml: a.png",
    ),
    "yolo": ({"a.txt": "0 .5 .5 .2 .2\n1 .5 .5 .2 .2", "classes.txt": "cat\ndog"}, "", {}, "a.txt: a"),
    "boxes": ({"b.csv": "image,label,x,y,w,h\na,cat,1,2,8,6\na,dog,1,2,8,6"}, "b.csv", {}, "a"),
    "labelme": ({"a.json": labelme(RECT_LABELME, drawn("rectangle", [1, 2], [9, 8], label="dog"))}, "", {},
                "a.json: a.png"),
    "via": (via((RECT, {"kind": {"cat": True, "dog": True}})), "v.json", {}, "a.png"),
    "cvat": (cvat(BOX, BOX.replace("cat", "dog")), "c.xml", {}, "a.png"),
    "label-studio": (
        studio(result("r", "rectanglelabels", RECTANGLE | {"rectanglelabels": ["cat", "dog"]})), "ls.json", {},
        "/data/upload/1/1a2b3c4d-a.png",
    ),
    "masks": ({"cat/a.png": MARKED, "dog/a.png": MARKED}, "", {"pattern": "{label}/{image}"}, "a"),
}  # fmt: skip
"""Files, which of them is read, options, and the place that the fault names."""


@pytest.mark.parametrize("form", TWO_CLASSES)
def test_two_labels_of_one_image_are_a_fault_and_neither_is_taken(form, read, images):
    files, start, options, place = TWO_CLASSES[form]
    found, faults = read(form, files, start, **options)
    assert faults == []
    with pytest.raises(ManifestError) as caught:
        write_annotated(found, images)
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"{place}: has the labels cat, dog: which is its class?")
    brought = write_annotated(found, images, naming=Naming({"cat": "cat", "dog": "cat"}))
    assert brought.manifest.table["label"].tolist() == ["cat"]


def test_annotators_who_disagree_on_the_class_contradict_each_other(read, images):
    asked = [
        {"result": [result("c", "choices", {"choices": [word]})], "completed_by": who}
        for who, word in ((1, "ill"), (2, "well"))
    ]
    found, _ = read("label-studio", {"ls.json": [{"data": {"image": "a.png"}, "annotations": asked}]}, "ls.json")
    with pytest.raises(ManifestError, match=r"a\.png: has the labels ill, well: which is its class"):
        write_annotated(found, images)


def test_a_class_that_contradicts_the_manifest_is_a_fault(images):
    (images / "m.csv").write_text("id,path,label,split\n1,a.png,ill,train\n2,b.png,well,train\n")
    base, output = Manifest.read(images / "m.csv"), Output(target=images / "new.csv", overwrite=True)

    def marks(said):
        return [Annotated("a.png", (40, 60), "lesion", (Box(1, 2, 9, 8),), image_labels=(said,))]

    with pytest.raises(ManifestError, match=r"1 fault\n  a\.png: annotated as 'well', and its class is 'ill'"):
        write_annotated(marks("well"), None, output, base=base)
    for said in ("ill", "blurred"):  # what is no class there contradicts none
        brought = write_annotated(marks(said), None, output, base=base)
        assert brought.manifest.table["label"].tolist() == ["ill", "well"]


def test_one_of_several_labels_of_the_manifest_is_no_contradiction(images):
    (images / "m.csv").write_text("id,path,label,split\n1,a.png,cat;dog,train\n2,b.png,cat,train\n")
    base = Manifest.read(images / "m.csv")
    marks = [Annotated("a.png", (40, 60), "cat", (Box(1, 2, 9, 8),))]
    brought = write_annotated(marks, None, Output(target=images / "new.csv"), base=base)
    assert brought.manifest.table["label"].tolist() == ["cat;dog", "cat"]
    assert brought.maps == 1


@pytest.mark.parametrize("label", ["cat;dog", "dog;cat", "dog", "dog;tail"])
def test_a_label_of_several_names_as_an_export_writes_it_contradicts_by_its_names(label, images):
    (images / "m.csv").write_text("id,path,label,split\n1,a.png,cat;dog,train\n2,b.png,cat,train\n")
    base, output = Manifest.read(images / "m.csv", multi_label=True), Output(target=images / "new.csv")
    mark = Annotated("a.png", (40, 60), label, (Box(1, 2, 9, 8),))
    assert write_annotated([mark], None, output, base=base).maps == 1
    with pytest.raises(ManifestError, match=rf"b\.png: annotated as '{label}', and its class is 'cat'"):
        write_annotated([replace(mark, image="b.png")], None, replace(output, overwrite=True), base=base)


# ---- one image, two entries


def entries(form):
    """A file that lists `a.png` twice and `b.png` once, and its name."""
    if form == "coco":
        twice = [*IMAGES, IMAGES[0] | {"id": 2}, IMAGES[0] | {"id": 3, "file_name": "b.png"}]
        return coco(CAT_BOX, CAT_BOX | {"image_id": 3}, images=twice), "c.json"
    if form == "cvat":
        image = '<image name="{}.png" width="60" height="40">{}</image>'
        parts = image.format("a", BOX), image.format("a", ""), image.format("b", BOX)
        return {"c.xml": f"<annotations>{''.join(parts)}</annotations>"}, "c.xml"
    if form == "via":
        one = via((RECT, {"kind": "cat"}))["v.json"]["a.png1"]
        return {"v.json": {"a.png1": one, "a.png2": one | {"size": 2}, "b": one | {"filename": "b.png"}}}, "v.json"
    if form == "via csv":
        head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        rect, kind = (json.dumps(one).replace('"', '""') for one in (RECT, {"kind": "cat"}))
        rows = [f'{name}.png,{size},"{{}}",1,0,"{rect}","{kind}"' for name, size in (("a", 1), ("a", 2), ("b", 3))]
        return {"v.csv": "\n".join([head, *rows])}, "v.csv"
    if form == "masks":
        return {"a.png": MARKED, "a.tif": MARKED, "b.png": MARKED}, ""
    if form == "yolo":
        line = "0 .5 .5 .2 .2"
        return {"a.txt": line, "a.TXT": line, "b.txt": line, "classes.txt": "cat"}, ""
    if form == "labelme":
        one = labelme(RECT_LABELME)
        return {"a.json": one, "c.json": one, "b.json": one | {"imagePath": "b.png"}}, ""
    return {"a.xml": voc("a.png", (1, 2, 9, 8)), "c.XML": voc("a.png"), "b.xml": voc("b.png", (1, 2, 9, 8))}, ""


TWICE = {
    "coco": "c.json: the image 2: is of a.png, and so is the image 1; each image has one entry",
    "cvat": "c.xml: image 2: is of a.png, and so is image 1; each image has one entry",
    "via": "v.json: file 2: is of a.png, and so is file 1; each image has one entry",
    "via csv": "v.csv: file 2: is of a.png, and so is file 1; each image has one entry",
    "masks": "a.tif: is of a, and so is a.png; each image has one mask",
    "yolo": "a.txt: is of a, and so is a.TXT; each image has one file",
    "labelme": "c.json: is of a.png, and so is a.json; each image has one file",
    "voc": "c.XML: is of a.png, and so is a.xml; each image has one file",
}


@pytest.mark.parametrize("form", TWICE)
def test_of_two_entries_of_one_image_neither_is_taken(form, read):
    found, faults = read(form.split()[0], *entries(form))
    assert faults == [TWICE[form]]
    assert [one.image.removesuffix(".png") for one in found] == ["b"]


def test_maps_of_one_stack_with_one_id_are_faults(tmp_path, read):
    arrays = {"maps": np.stack([MASK, MASK[::-1], MASK]), "ids": np.array(["a", "a", "b"])}
    np.savez(tmp_path / "s.npz", **arrays)
    found, faults = read("arrays", {"s.npz": (tmp_path / "s.npz").read_bytes()}, "s.npz")
    assert faults == ["a, map 2: is of a, and so is a, map 1; each image has one map"]
    assert [one.image for one in found] == ["b"]
    people = np.array(["anna", "ben", "anna"])
    np.savez(
        tmp_path / "p.npz", maps=np.stack([MASK, MASK[::-1], MASK]), ids=np.array(["a", "a", "b"]), annotators=people
    )
    found, faults = read("arrays", {"p.npz": (tmp_path / "p.npz").read_bytes()}, "p.npz")
    assert ([(one.image, one.annotator) for one in found], faults) == ([("a", "anna"), ("a", "ben"), ("b", "anna")], [])


def test_rows_of_a_via_table_that_say_two_things_of_their_file_are_faults(read):
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rect = json.dumps(RECT).replace('"', '""')
    rows = [
        f'{name}.png,1,"{{""kind"":""{kind}""}}",2,0,"{rect}","{{""kind"":""x""}}"'
        for name, kind in (("a", "ill"), ("a", "well"), ("a", "ill"), ("b", "well"))
    ]
    found, faults = read("via", {"v.csv": "\n".join([head, *rows])}, "v.csv")
    assert faults == ["v.csv: row 3: has other file_attributes of a.png than a row above"]
    assert [(one.image, one.image_labels) for one in found] == [("b.png", ("well",))]


def test_tasks_of_a_cvat_project_have_an_assignee_each(read):
    tasks = "".join(
        f"<task><id>{number}</id><assignee><username>{who}</username></assignee></task>"
        for number, who in ((7, "ann"), (8, "bob"))
    )
    meta = f"<meta><project><assignee><username>boss</username></assignee><tasks>{tasks}</tasks></project></meta>"
    image = '<image name="a.png" task_id="{}" width="60" height="40">{}</image>'
    unsaid = image.replace('task_id="{}" ', "").replace("a.png", "b.png").format(BOX)
    parts = image.format(7, BOX), image.format(8, ""), unsaid
    found, faults = read("cvat", {"c.xml": f"<annotations>{meta}{''.join(parts)}</annotations>"}, "c.xml")
    assert faults == []
    assert [(one.image, one.annotator, len(one.shapes)) for one in found] == [
        ("a.png", "ann", 1), ("a.png", "bob", 0), ("b.png", None, 1),
    ]  # fmt: skip


# ---- a name matches a file only if nothing contradicts it


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("voc", {"b.xml": voc("a.png", (1, 2, 9, 8))}),
        ("labelme", {"b.json": labelme(RECT_LABELME)}),
    ],
)
def test_a_file_with_the_name_of_another_image_than_the_one_it_says_is_a_fault(form, files, read, images):
    found, faults = read(form, files)
    assert faults == []
    (name,) = files
    with pytest.raises(ManifestError) as caught:
        write_annotated(found, images)
    assert [str(fault) for fault in caught.value.faults] == [
        f"{name}: a.png: the image that it names is a.png, and its own name is that of b.png; rename one"
    ]
    (images / "b.png").unlink()
    assert write_annotated(found, images).manifest.table["path"].tolist() == ["images/a.png"]


def test_two_names_of_one_image_are_a_fault_and_neither_is_taken(images):
    marks = [Annotated(name, (40, 60), "cat", (Box(1, 2, 9, 8),)) for name in ("a.png", "0a1b2c3d-a.png", "b.png")]
    with pytest.raises(ManifestError, match=r"0a1b2c3d-a\.png: is the image a\.png, and so is 'a\.png'"):
        write_annotated(marks, images)
    brought = write_annotated(marks, images, Output(leave_out=True))
    assert brought.manifest.table["path"].tolist() == ["images/b.png"]


SIZES = {
    "coco": (coco(CAT_BOX, images=[IMAGES[0] | {"height": 60}]), "c.json"),
    "voc": ({"a.xml": voc("a.png", (1, 2, 9, 8), size="<size><width>60</width><height>60</height></size>")}, ""),
    "labelme": ({"a.json": labelme(RECT_LABELME, imageHeight=60)}, ""),
    "cvat": ({"c.xml": cvat(BOX)["c.xml"].replace('height="40"', 'height="60"')}, "c.xml"),
    "boxes": ({"b.csv": "image,label,xmin,ymin,xmax,ymax,width,height\na.png,cat,1,2,9,8,60,60"}, "b.csv"),
    "label-studio": (studio(result("r", "rectanglelabels", RECTANGLE) | {"original_height": 60}), "ls.json"),
    "brush": (
        studio(
            result(
                "r", "brushlabels", {"format": "rle", "rle": packed(np.ones((60, 60), bool)), "brushlabels": ["cat"]}
            )
            | {"original_height": 60}
        ),
        "ls.json",
    ),
    "masks": ({"a.png": picture(np.full((60, 60), 255, np.uint8))}, ""),
}


@pytest.mark.parametrize("form", SIZES)
def test_a_size_of_another_shape_is_another_image(form, read, images):
    found, faults = read("label-studio" if form == "brush" else form, *SIZES[form])
    assert faults == []
    with pytest.raises(
        ManifestError, match="annotated at 60 x 60 pixels, and the image is 60 x 40: not the same shape"
    ):
        write_annotated(found, images, naming=Naming(default="cat"))


def test_rows_of_a_table_that_differ_in_the_size_of_the_image_are_faults(read, images):
    rows = "a.png,cat,1,2,9,8,60,40\na.png,cat,1,2,9,8,40,60"
    found, _ = read("boxes", {"b.csv": f"image,label,xmin,ymin,xmax,ymax,width,height\n{rows}"}, "b.csv")
    with pytest.raises(ManifestError, match=r"a\.png: annotated at 40 x 60 pixels, and the image is 60 x 40"):
        write_annotated(found, images)


def test_an_eraser_that_is_left_makes_no_blank_map(images):
    marks = [Annotated("a.png", (80, 120), "cat", (Box(130, 2, 140, 9), Box(0, 0, 4, 4, erase=True)))]
    resolution = settle(marks, Images(["a.png"]), images, Naming())
    assert (resolution.marked, resolution.resized, len(resolution.faults)) == ([], [], 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("A.png", r"A\.png: no image of this name, but x/a\.png: is it that one\? Then rename one of the two"),
        ("other/a.png", r"other/a\.png: no image of this name in this folder, but x/a\.png"),
        ("c.png", r"(?m)c\.png: no image of this name$"),
    ],
)
def test_a_name_that_is_nearly_right_is_not_taken_for_another(name, message, images):
    (images / "x").mkdir()
    (images / "a.png").rename(images / "x" / "a.png")
    with pytest.raises(ManifestError, match=message):
        write_annotated([Annotated(name, None, "cat", (Box(1, 2, 9, 8),))], images)


def test_rows_of_a_manifest_with_one_file_and_two_labels_are_faults(images):
    rows = ["1,a.png,ill,train", "2,a.png,ill,train", "3,a.png,well,train", "4,b.png,well,test"]
    (images / "m.csv").write_text("\n".join(["id,path,label,split", *rows]))
    with pytest.raises(ManifestError) as caught:
        Manifest.read(images / "m.csv")
    assert [str(fault) for fault in caught.value.faults] == ["row 4, label: 'a.png' is 'well' here and 'ill' in row 2"]
    (images / "m.csv").write_text("id,path,label,split\n1,a.png,b;a,train\n2,a.png,a;b,train\n3,b.png,,test\n")
    assert len(Manifest.read(images / "m.csv", multi_label=True)) == 3
    (images / "m.csv").write_text("id,path,label,split\n1,a.png,b;a,train\n2,a.png,a,train\n")
    with pytest.raises(ManifestError, match=r"row 3, label: 'a\.png' is 'a' here and 'b;a' in row 2"):
        Manifest.read(images / "m.csv", multi_label=True)


def test_an_annotation_file_in_capitals_is_read_like_any_other(read):
    found, faults = read("voc", {"A.XML": voc("a.png", (1, 2, 9, 8)), "b.xml": voc("b.png")})
    assert ([one.image for one in found], faults) == (["a.png", "b.png"], [])
    with pytest.raises(SalignError, match=r"expected 1 to 1,000,000 files \*\.json, found 0"):
        read("labelme", {})


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
