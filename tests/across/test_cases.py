"""Small files that were read wrongly once, as tools write them: what each gives by `salign maps import`, in pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import salign
from salign.data.manifest import Manifest
from salign.data.reading.image import read_image, read_saliency
from tool_files import write_dicom


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the commands run; `photos/a.png` is 200 wide and 100 high."""
    monkeypatch.chdir(tmp_path)
    picture("photos/a.png")
    return tmp_path


def picture(name, width=200, height=100):
    write(name, "")
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(name)


def write(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def bring(*arguments):
    """Import; what is printed, and for each image its class and map."""
    printed = salign("maps", "import", *arguments, "--images", "photos", "--overwrite").out
    read = Manifest.read("manifest.csv")
    paths, labels = read.table["path"], read.table["label"]
    maps = {path: read_saliency(read.saliency_path(i)).numpy() for i, path in enumerate(paths)}
    return printed, dict(zip(paths, labels, strict=True)), maps


def refused(*arguments):
    """What an import that is refused says; nothing may be written."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    said = salign("maps", "import", *arguments, "--images", "photos", "--overwrite", code=2).err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return said


def only(maps, path="photos/a.png"):
    assert set(maps) == {path}
    return maps[path]


def box(rows, columns, height=100, width=200):
    expected = np.zeros((height, width), np.float32)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    return expected


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ("[4, 3]", "0 0.5 0.5 0.4 0.4 0.45 0.45 2 0.55 0.45 2 0.45 0.55 1 0.55 0.55 2"),
        ("[4, 2]", "0 0.5 0.5 0.4 0.4 0.45 0.45 0.55 0.45 0.45 0.55 0.55 0.55"),
    ],
)
def test_a_pose_of_yolo_is_its_box(folder, shape, line):
    picture("photos/a.png", 100, 100)
    write("labels/data.yaml", f"kpt_shape: {shape}\nnames: [face]\n")
    write("labels/a.txt", line)
    _, labels, maps = bring("yolo", "labels")
    assert labels == {"photos/a.png": "face"}
    assert np.array_equal(only(maps), box((30, 69), (30, 69), 100, 100))
    write("labels/a.txt", "0 0.5 0.5 0.4 0.4")
    assert "a.txt: line 1: expected a class, 4 numbers (box) and 4 x" in refused("yolo", "labels")


def test_key_points_without_their_layout_are_no_polygon(folder):
    write("labels/classes.txt", "face\n")
    write("labels/a.txt", "0 0.5 0.5 0.4 0.4 0.45 0.45 2 0.55 0.45 2 0.45 0.55 1 0.55 0.55 2")
    assert "got 2, as of a visible key point; of a pose, data.yaml says" in refused("yolo", "labels")


def region(own, kind, value):
    place = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
    about = {"original_width": 200, "original_height": 100, "image_rotation": 0, "to_name": "image"}
    return about | {"id": own, "type": kind, "from_name": kind, "value": place | value}


def task(image, *results):
    return {"data": {"image": f"/data/upload/1/1a2b3c4d-{image}"}, "annotations": [{"result": [*results]}]}


def test_a_choice_about_one_region_is_not_the_class_of_the_image(folder):
    picture("photos/b.png")
    marked = region("r1", "rectanglelabels", {"rectanglelabels": ["lesion"]})
    severe = region("r1", "choices", {"choices": ["severe"]})
    mild = region("r2", "choices", {"choices": ["mild"]})
    second = region("r2", "rectanglelabels", {"rectanglelabels": ["lesion"]})
    write("ls.json", [task("a.png", marked, severe), task("b.png", marked, severe, second, mild)])
    _, labels, maps = bring("label-studio", "ls.json")
    assert labels == {"photos/a.png": "lesion", "photos/b.png": "lesion"}
    assert np.array_equal(maps["photos/a.png"], box((10, 29), (20, 59)))


def test_boxes_within_0_and_1_are_shares_and_it_is_said(folder):
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded"
    write("boxes.csv", f"{header}\na,xclick,plane,1,0.25,0.75,0.4,0.6,0\n")
    printed, labels, maps = bring("boxes", "boxes.csv")
    assert labels == {"photos/a.png": "plane"}
    assert np.array_equal(only(maps), box((40, 59), (50, 149)))
    assert "note: boxes.csv: all numbers are from 0 to 1, and are taken as shares of width and height" in printed
    write("boxes.csv", "image,label,x,y,width,height\na.png,fake,0.25,0.25,0.5,0.5\n")
    assert np.array_equal(only(bring("boxes", "boxes.csv")[2]), box((25, 74), (50, 149)))


def test_a_single_row_within_0_and_1_is_a_fault(folder):
    picture("photos/b.png")
    write("boxes.csv", "image,label,x,y,width,height\na.png,fake,20,10,5,5\nb.png,fake,0,0,1,1\n")
    said = refused("boxes", "boxes.csv")
    assert "b.png: the box from (0, 0) to (1, 1) is within 0 and 1, as shares of width and height are" in said
    assert np.array_equal(only(bring("boxes", "boxes.csv", "--leave-out")[2]), box((10, 14), (20, 24)))


def shares(kind):
    """A box of shares where pixels are expected."""
    if kind == "coco":
        one = {"image_id": 1, "category_id": 1, "bbox": [0.25, 0.25, 0.5, 0.5]}
        head = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "x"}]}
        return "c.json", head | {"annotations": [one]}
    if kind == "labelme":
        shape = {"label": "x", "shape_type": "polygon", "points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}
        return "l.json", {"imagePath": "a.png", "shapes": [shape]}
    if kind == "via":
        shape = {"name": "circle", "cx": 0.5, "cy": 0.5, "r": 0.25}
        regions = [{"shape_attributes": shape, "region_attributes": {"kind": "x"}}]
        return "v.json", {"a": {"filename": "a.png", "regions": regions}}
    box_ = '<box label="x" xtl="0.2" ytl="0.2" xbr="0.8" ybr="0.8"/>'
    if kind == "cvat":
        return "c.xml", f'<annotations><image name="a.png" width="200" height="100">{box_}</image></annotations>'
    corners = "<xmin>0.2</xmin><ymin>0.2</ymin><xmax>0.8</xmax><ymax>0.8</ymax>"
    thing = f"<object><name>x</name><bndbox>{corners}</bndbox></object>"
    return "v.xml", f"<annotation><filename>a.png</filename>{thing}</annotation>"


@pytest.mark.parametrize("kind", ["coco", "labelme", "via", "cvat", "voc"])
def test_shares_where_pixels_are_expected_are_faults(folder, kind):
    path, content = shares(kind)
    write(path, content)
    assert "is within 0 and 1, as shares of width and height are; expected pixels" in refused(kind, path)


GAZE = ("--sigma", 24, "--gaze", "position=screen", "--gaze", "screen=800x600")
GAZEPOINT = ("--column", "x=FPOGX", "--column", "y=FPOGY", "--column", "duration=FPOGD", "--label", "photo")


def test_gaze_in_shares_of_the_screen(folder):
    picture("photos/a.png", 800, 600)
    write("fix.csv", "image,FPOGX,FPOGY,FPOGD\na.png,0.5,0.5,0.30\na.png,0.75,0.25,0.20\na.png,1.02,-0.01,0.1\n")
    printed, _, maps = bring("fixations", "fix.csv", *GAZE, *GAZEPOINT)
    found = only(maps)
    assert np.unravel_index(found.argmax(), found.shape) == (299, 399)
    assert found[150, 600] == pytest.approx(2 / 3, abs=0.01)  # .20 of .30, and nothing of the first reaches so far
    assert "note: fix.csv: all positions lie within -1 and 2, and are taken as shares of the screen" in printed
    told = ("--sigma", 24, "--gaze", "position=shares", "--gaze", "screen=800x600")
    printed, _, again = bring("fixations", "fix.csv", *told, *GAZEPOINT)
    assert np.array_equal(only(again), found)
    assert "note" not in printed


def test_gaze_in_shares_is_never_pixels_of_an_image(folder):
    write("fix.csv", "image,x,y,duration\na.png,0.5,0.5,300\n")
    assert "shares, not pixels of an image; say so (position=shares" in refused(
        "fixations", "fix.csv", "--sigma", 3, "--label", "x"
    )
    write("fix.csv", "image,x,y,duration\na.png,50,20,300\n")
    said = refused(
        "fixations", "fix.csv", "--sigma", 3, "--label", "x", "--gaze", "position=shares", "--gaze", "screen=80x60"
    )
    assert "expected shares of the screen, 0 to 1; not all positions lie within -1 and 2" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--gaze", "position=degree"),
            "position: expected image, screen, shares or degrees, got 'degree'; did you mean",
        ),
        (("--gaze", "weight=counts"), "weight: expected duration or count, got 'counts'; did you mean 'count'?"),
        (("--gaze", "postion=screen"), "a key of --gaze: expected position, screen, "),
        (("--empty", "blanc"), "--empty: expected blank or missing, got 'blanc'; did you mean 'blank'?"),
        (("--classes-from", "folder"), "--classes-from: expected annotations or folders, got 'folder'; did you mean"),
    ],
)
def test_options_by_name_are_checked(folder, options, message):
    write("fix.csv", "image,x,y,duration\na.png,20,20,1000\n")
    said = refused("fixations", "fix.csv", "--label", "x", "--sigma", "3", *options)
    assert message in said


def test_values_of_masks_are_checked_by_name(folder):
    Image.fromarray(box((1, 2), (3, 4)).astype(np.uint8)).save(folder / "m.png")
    said = refused("masks", ".", "--values", "non-zero")
    assert "values of masks: expected grey or nonzero, got 'non-zero'; did you mean 'nonzero'?" in said


def coco(**more):
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [20, 5, 30, 10]} | more
    head = {"images": [{"id": 1, "file_name": "a.png", "height": 100, "width": 200}]}
    return head | {"categories": [{"id": 1, "name": "fake"}], "annotations": [one]}


@pytest.mark.parametrize("leave_out", [(), ("--leave-out",)])
@pytest.mark.parametrize("odd", [{"attributes": []}, {"segmentation": [[]]}, {"segmentation": [[], []]}])
def test_what_is_not_needed_stops_nothing(folder, odd, leave_out):
    write("c.json", coco(**odd))
    _, labels, maps = bring("coco", "c.json", *leave_out)
    assert labels == {"photos/a.png": "fake"}
    assert np.array_equal(only(maps), box((5, 14), (20, 49)))


VOC = """<annotation><filename>a.png</filename><size><width>{0}</width><height>{0}</height></size>
<object><name>fake</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>60</xmax><ymax>30</ymax></bndbox></object>{1}
</annotation>"""


def test_a_size_of_0_is_not_said(folder):
    write("ann/a.xml", VOC.format(0, ""))
    assert np.array_equal(only(bring("voc", "ann")[2]), box((10, 29), (20, 59)))
    content = coco()
    content["images"][0] |= {"height": 0, "width": 0}
    write("c.json", content)
    assert np.array_equal(only(bring("coco", "c.json")[2]), box((5, 14), (20, 49)))
    shape = {"label": "x", "points": [[20, 5], [50, 15]], "shape_type": "rectangle"}
    for size in ({"imageHeight": 0, "imageWidth": 0}, {"imageHeight": None, "imageWidth": None}, {}):
        write("l.json", {"imagePath": "a.png", "shapes": [shape]} | size)
        assert np.array_equal(only(bring("labelme", "l.json")[2]), box((5, 14), (20, 49)))
    write("b.csv", "image,label,xmin,ymin,xmax,ymax,width,height\na.png,x,20,5,50,15,0,0\n")
    assert np.array_equal(only(bring("boxes", "b.csv")[2]), box((5, 14), (20, 49)))


def test_a_readme_beside_the_labels_is_told_whole_and_may_be_left_out(folder):
    write("labels/README.txt", "# hello\nProvided by me\n")
    write("labels/README.roboflow.txt", "# what Roboflow writes beside them\n")
    write("labels/classes.txt", "fake\n")
    write("labels/a.txt", "0 0.5 0.5 0.2 0.4\n")
    said = refused("yolo", "labels")
    assert "2 faults" in said
    assert "README.txt: line 1: expected a number from 0 to 1e+09, got '#'" in said
    assert "README.txt: line 2: expected a number from 0 to 1e+09, got 'Provided'" in said
    printed, _, maps = bring("yolo", "labels", "--leave-out")
    assert np.array_equal(only(maps), box((30, 69), (80, 119)))
    assert printed.count("left out: README.txt") == 2


def test_a_rectangle_given_by_four_corners(folder):
    shape = {"label": "fake", "points": [[20, 10], [60, 10], [60, 30], [20, 30]], "shape_type": "rectangle"}
    content = {"imagePath": "a.png", "imageHeight": 100, "imageWidth": 200, "shapes": [shape]}
    write("ann/a.json", content)
    assert np.array_equal(only(bring("labelme", "ann")[2]), box((10, 29), (20, 59)))
    shape["points"] = [[40, 10], [60, 20], [40, 30], [20, 20]]  # turned: half of the box around it
    write("ann/a.json", content)
    assert only(bring("labelme", "ann")[2]).sum() == pytest.approx(400, abs=20)
    shape["points"] = shape["points"][:3]
    write("ann/a.json", content)
    assert "a rectangle has 2 or 4 points, got 3" in refused("labelme", "ann")


def test_names_that_yaml_takes_for_octal_numbers(folder):
    write("labels/data.yaml", "names: [001, 010]\n")
    write("labels/a.txt", "1 0.5 0.5 0.2 0.4\n")
    assert "quote it if it is a name ('001')" in refused("yolo", "labels")
    write("labels/data.yaml", "names: ['001', '010']\n")
    assert bring("yolo", "labels")[1] == {"photos/a.png": "010"}
    write("labels/data.yaml", "names: [a, b]\nnames: [b, a]\n")
    assert "the key 'names' occurs twice" in refused("yolo", "labels")


def test_a_lossy_mask_needs_a_threshold(folder):
    drawn = np.zeros((100, 200), np.uint8)
    drawn[20:60, 50:120] = 255
    (folder / "masks").mkdir()
    Image.fromarray(drawn).save("masks/a.jpg", quality=30)
    assert (np.asarray(Image.open("masks/a.jpg")) > 0).sum() > 2900  # the ripples
    printed, _, maps = bring("masks", "masks", "--label", "x", "--values", "nonzero")
    assert np.array_equal(only(maps) * 255, drawn)
    assert only(maps).sum() == 2800
    assert "note: 1 masks are lossy pictures, first a.jpg, whose black is not all 0" in printed
    printed, _, maps = bring("masks", "masks", "--label", "x", "--threshold", "0.7")
    assert only(maps).sum() == 2800
    assert "note" not in printed
    Image.fromarray(drawn // 8).save("masks/a.jpg", quality=90)
    said = refused("masks", "masks", "--label", "x", "--values", "nonzero")
    assert "of the full range, and one is marked from 50.0% on; lower the threshold" in said


def test_marks_outside_or_too_thin_are_faults_and_never_a_blank_map(folder):
    picture("photos/b.png")
    rows = ["image,label,x,y,width,height", "a.png,fake,600,150,140,300", "a.png,fake,10.6,10.6,0.3,50"]
    write("b.csv", "\n".join([*rows, "b.png,fake,20,10,5,5"]))
    said = refused("boxes", "b.csv")
    assert "a.png: the box from (600, 150) to (740, 450) lies outside; the image has 200 x 100 pixels" in said
    assert "a.png: the box from (10.6, 10.6) to (10.9, 60.6) is too thin: it holds the centre of no pixel" in said
    printed, _, maps = bring("boxes", "b.csv", "--leave-out")
    assert np.array_equal(only(maps, "photos/b.png"), box((10, 14), (20, 24)))
    assert "blank" not in printed


def test_a_name_in_one_form_of_unicode_finds_the_file_in_the_other(folder):
    picture("photos/cafe\u0301.png")
    content = coco(bbox=[20, 5, 30, 10])
    content["images"][0]["file_name"] = "caf\u00e9.png"
    write("c.json", content)
    _, labels, maps = bring("coco", "c.json")
    assert labels == {"photos/cafe\u0301.png": "fake"}
    assert np.array_equal(maps["photos/cafe\u0301.png"], box((5, 14), (20, 49)))


def test_spaces_around_labels_and_splits_stop_check_and_training(folder):
    labels = "real ", "real", "fake", "fake", "real", "fake"
    splits = "train", "val", "train", "val", "test ", "test"
    rows = ["id,path,label,split"]
    for k, (label, split) in enumerate(zip(labels, splits, strict=True)):
        picture(f"photos/{k}.png", 20, 20)
        rows.append(f"{k},photos/{k}.png,{label},{split}")
    write("manifest.csv", "\n".join(rows))
    write(
        "r.yaml",
        "name: x\ndata: {manifest: manifest.csv, image_size: 64}\nmodel: {backbone: test_resnet, weights: null}",
    )
    told = ["row 2, label: 'real ' has spaces around it; write 'real'"]
    told += ["row 6, split: 'test ' has spaces around it; write 'test'"]
    checked = salign("data", "check", "manifest.csv", code=1).out
    trained = salign("train", "r.yaml", code=2).err
    for line in told:
        assert line in checked
        assert line in trained
    assert not Path("runs").exists()


def test_a_folder_is_read_whole_and_what_is_passed_over_is_counted_and_named(folder, caplog):
    Path("photos/a.png").unlink()
    for name in ("real/0.png", "real/x.jfif", "real/y.gif", "real/z.jpe", "fake/1.png", "fake/w.ppm", "fake/noext"):
        path = Path("photos/train") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".ppm": "PPM"}.get(path.suffix, "PNG")
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path, kind)
    for name in ("fake/h.HEIC", "real/._0.png", "real/Thumbs.db", ".DS_Store"):
        write(f"photos/train/{name}", "x")
    Path("photos/train/real/again").symlink_to(Path("photos/train").resolve())
    salign("data", "import", "folder", "photos")
    table = Manifest.read("photos/manifest.csv").table
    assert sorted(zip(table["path"], table["label"], strict=True)) == [
        ("train/fake/1.png", "fake"), ("train/fake/noext", "fake"), ("train/fake/w.ppm", "fake"),
        ("train/real/0.png", "real"), ("train/real/x.jfif", "real"), ("train/real/y.gif", "real"),
        ("train/real/z.jpe", "real"),
    ]  # fmt: skip
    assert "1 *.heic ('train/fake/h.HEIC')" in caplog.text
    assert "1 links to folders ('train/real/again')" in caplog.text


def test_dicom_is_rescaled_by_both_or_neither_and_nan_is_refused_with_its_file(folder):
    ramp = np.array([[0, 1000], [2000, 4095]], np.uint16)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    tags = {
        "p1": {"RescaleIntercept": -1024}, "p2": {"RescaleSlope": 2}, "p3": {"RescaleSlope": None},
        "zero": {"RescaleSlope": 0, "RescaleIntercept": 0},
    }  # fmt: skip
    rows = ["id,path,label,split"]
    for k, (name, more) in enumerate(tags.items()):
        write_dicom(Path(f"photos/{name}.dcm"), ramp.repeat(8, 0).repeat(8, 1), bits=12, **window, **more)
        rows.append(f"{name},photos/{name}.dcm,{'xy'[k % 2]},train")
    write("manifest.csv", "\n".join(rows))
    said = salign("data", "check", "manifest.csv", code=1).out.replace("\n", " ")
    assert "row 5" in said
    assert "RescaleSlope 0" in said
    for name in ("p1", "p2", "p3"):
        assert f"{name}.dcm: " not in said
        assert read_image(Path(f"photos/{name}.dcm")).numpy()[0, ::8, ::8].ravel() == pytest.approx(
            ramp.ravel() / 4095, abs=2e-4
        )
