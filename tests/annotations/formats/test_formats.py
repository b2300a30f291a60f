"""What annotation tools write is read as it was meant: every shape of every format, on samples like the tools'."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from annotation_samples import MASK, SAMPLES, SIZES, put
from salign.annotations.annotated import Annotated
from salign.annotations.formats import ANNOTATION_FORMATS, annotation_format
from salign.annotations.resolve import drawn
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon, Stroke


@pytest.fixture
def read(tmp_path):
    def reader(name, **changes):
        of, make = SAMPLES[name]
        sample = make()
        return annotation_format(of).read(put(sample, tmp_path), **(sample.options | changes))

    return reader


def pixels(found, *, image="lesion", label=None, annotator=None):
    """What is marked on one image, `(40, 60)` bool."""
    marks = [one for one in found if image in one.image]
    marks = [one for one in marks if label in (None, one.label) and annotator in (None, one.annotator)]
    return drawn(marks, (40, 60)) > 0


def box(x0, y0, x1, y1):
    marked = np.zeros((40, 60), dtype=bool)
    marked[y0:y1, x0:x1] = True
    return marked


@pytest.mark.parametrize("name", SAMPLES)
def test_both_images_are_known_and_the_clear_one_is_blank(name, read):
    found = read(name)
    lesion = [one for one in found if "lesion" in one.image]
    clear = [one for one in found if "clear" in one.image]
    assert len(lesion) + len(clear) == len(found)
    for one in lesion:
        assert one.size in (None, (40, 60))
    assert pixels(found).any()
    if name not in ("boxes nih", "eyetagger svg", "fixations", "reflacx"):  # these only list what was marked
        assert [(one.shapes, one.mask) for one in clear] == [((), None)]
        assert clear[0].size in (None, (20, 30))


def test_labelme(read):
    found = read("labelme")
    assert {one.image for one in found} == {"..\\pictures\\lesion.png", "sub/clear.png"}
    shapes = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert shapes == (
        Polygon(((30.5, 5), (50, 5.25), (50, 30))),
        Box(20, 30, 25, 35),
        Stroke(((10, 30),), (4,)),
    )
    masks = [one.mask for one in found if one.mask is not None]
    assert np.array_equal(masks[0].decode(), MASK)
    lines = next(one.shapes for one in found if one.label == "vessel")
    assert lines == (Stroke(((2, 2), (20, 2), (20, 8)), (2, 2, 2)), Stroke(((55, 20),), (2,)))


def test_labelme_flags_are_the_class_of_the_image(tmp_path):
    content = {"flags": {"ill": True, "well": False}, "shapes": [], "imagePath": "a.png"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content | {"imageHeight": 4, "imageWidth": 5}))
    assert annotation_format("labelme").read(path) == [Annotated("a.png", (4, 5), image_labels=("ill",))]


def test_coco(read):
    found = read("coco")
    lesions = [one for one in found if one.label == "lesion"]
    assert lesions[0].shapes == (
        Polygon(((30.5, 5), (50, 5.25), (50, 30))),
        Polygon(((1, 1), (4, 1), (4, 4), (1, 4))),
    )
    assert [np.array_equal(one.mask.decode(), MASK) for one in lesions[1:]] == [True, True]
    assert [one.shapes for one in found if one.label == "vessel"] == [(Box(20, 30, 25, 35),)]


def test_cvat(read):
    found = read("cvat")
    assert {one.annotator for one in found} == {"ann"}
    polygon, plain, turned, ellipse = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert polygon == Polygon(((30.5, 5), (50, 5.25), (50, 30)))
    assert plain == Box(20, 30, 25, 35)
    expected = box(33, 29, 37, 39)  # 10 x 4 about (35, 34), turned by a quarter
    assert np.array_equal(drawn([Annotated("", shapes=(turned,))], (40, 60)) > 0, expected)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    far = max(ellipse.points, key=lambda point: math.dist(point, (10, 30)))
    assert math.dist(far, (10, 30)) == pytest.approx(6, rel=1e-3)
    assert abs(math.degrees(math.atan2(far[1] - 30, far[0] - 10)) % 180 - 30) < 2  # clockwise: y is down
    assert [np.array_equal(one.mask.decode(), MASK) for one in found if one.mask is not None] == [True]
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Stroke(((2, 2), (20, 2)), (2, 2)), Stroke(((55, 20),), (2,)))
    ]
    assert [one.image_labels for one in found if one.image == "clear.png"] == [("clear",)]


def polygon_area(points):
    x, y = np.array(points).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_label_studio(read):
    found = read("label-studio")
    assert {one.annotator for one in found} == {"2"}  # the cancelled annotation of the other does not count
    assert {one.image: one.image_labels for one in found} == {
        "/data/upload/1/0a1b2c3d-lesion.png": ("ill",),
        "pictures/clear.png": ("well",),
    }
    polygon, turned, ellipse = next(one.shapes for one in found if one.label == "lesion" and one.shapes)
    assert polygon == Polygon(((30, 5), (48, 5), (48, 30)))
    expected = box(22, 20, 30, 26)  # 6 x 8 with its corner at (30, 20), turned clockwise by a quarter about it
    assert np.array_equal(drawn([Annotated("", shapes=(turned,))], (40, 60)) > 0, expected)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    assert [np.array_equal(one.mask.decode(), MASK) for one in found if one.mask is not None] == [True]
    assert [one.shapes for one in found if one.label == "vessel"] == [(Stroke(((54, 20),), (3,)), Box(0, 0, 3, 2))]


@pytest.mark.parametrize("name", ["via", "via csv"])
def test_via(name, read):
    found = read(name)
    polygon, plain, ellipse = next(one.shapes for one in found if one.label == "lesion")
    assert polygon == Polygon(((30, 5), (50, 5), (50, 30)))
    assert plain == Box(20, 30, 25, 35)
    assert polygon_area(ellipse.points) == pytest.approx(math.pi * 6 * 3, rel=1e-9)
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Stroke(((55, 10),), (3,)), Stroke(((2, 2), (20, 2)), (2, 2)), Stroke(((55, 20),), (2,)))
    ]


def test_via_asks_which_of_several_attributes_is_the_label(tmp_path):
    region = {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}
    attributes = {"kind": {"lesion": True, "vessel": False}, "sure": "yes"}
    regions = {"0": {"shape_attributes": region, "region_attributes": attributes}}
    files = {"a": {"filename": "a.png", "regions": regions}}
    path = tmp_path / "via.json"
    path.write_text(json.dumps(files))
    with pytest.raises(SalignError, match="'kind', 'sure'; say with --attribute"):
        annotation_format("via").read(path)
    (one,) = annotation_format("via").read(path, attribute="kind")
    assert (one.label, one.shapes) == ("lesion", (Box(1, 1, 3, 3),))


def test_voc_counts_from_one_and_includes_the_last_pixel(read):
    assert np.array_equal(pixels(read("voc")), box(8, 5, 20, 15))


def test_yolo_says_shares_of_the_image(read):
    found = read("yolo")
    assert {one.image for one in found} == {"train/lesion", "train/clear"}
    assert all(one.relative and one.size is None for one in found)
    assert [one.shapes for one in found if one.label == "lesion"] == [(Box(0.375, 0.4375, 0.625, 0.5625),)]
    assert [one.shapes for one in found if one.label == "vessel"] == [
        (Polygon(((0.1, 0.1), (0.3, 0.1), (0.3, 0.4), (0.1, 0.4))),)
    ]


@pytest.mark.parametrize("names", ["{0: vessel, 1: lesion}", "[vessel, lesion]"])
def test_yolo_takes_names_from_yaml(tmp_path, names):
    (tmp_path / "a.txt").write_text("1 .5 .5 1 1\n")
    (tmp_path / "data.yaml").write_text(f"train: images\nnc: 2\nnames: {names}\n")
    assert [one.label for one in annotation_format("yolo").read(tmp_path)] == ["lesion"]
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(SalignError, match=r"found none of classes\.txt"):
        annotation_format("yolo").read(tmp_path)


def test_tables_of_boxes(read, tmp_path):
    assert [(one.label, one.shapes) for one in read("boxes nih")] == [("lesion", (Box(8.5, 5.25, 20.5, 15.25),))]
    assert [(one.image, one.label, one.shapes) for one in read("boxes rsna")] == [
        ("lesion", "1", (Box(8, 5, 20, 15),)),
        ("lesion", "1", (Box(30, 20, 35, 25),)),
        ("clear", "0", ()),
    ]
    path = tmp_path / "vindr.csv"
    path.write_text("image_id,class_name,rad_id,x_min,y_min,x_max,y_max\na,mass,R1,1,2,3,4\na,No finding,R2,,,,\n")
    assert [(one.label, one.annotator, one.shapes) for one in annotation_format("boxes").read(path)] == [
        ("mass", "R1", (Box(1, 2, 3, 4),)),
        ("No finding", "R2", ()),
    ]
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\na.png,60,40,mass,1,2,3,4\n")
    assert [one.size for one in annotation_format("boxes").read(path)] == [(40, 60)]


def test_eyetagger(read):
    found = read("eyetagger")
    assert [(one.image, one.annotator) for one in found[:3]] == [("lesion", "3"), ("lesion", "4"), ("lesion", "5")]
    assert np.array_equal(pixels(found, annotator="3"), MASK)
    assert np.array_equal(pixels(found, annotator="4"), pixels(found, annotator="5"))
    (stroke,) = found[1].shapes
    assert stroke.points[0] == (10, 10)
    assert stroke.points[-1] == (20, 14)
    assert set(stroke.radii) == {10.0}
    half = stroke.points[len(stroke.points[1:]) // 2]  # a quadratic curve with its control at its beginning
    assert half == pytest.approx((10 + 5 * 0.25, 10 + 2 * 0.25))
    (svg,) = read("eyetagger svg")
    assert (svg.image, svg.size) == ("lesion", (40, 60))
    assert [tuple(map(tuple, np.round(one.points, 9))) for one in svg.shapes] == [
        tuple(map(tuple, np.round(stroke.points, 9)))
    ]


@pytest.mark.parametrize("name", ["labelme", "cvat", "via"])
def test_lines_and_points_need_a_thickness(name, read):
    with pytest.raises(SalignError, match="lines and points have no area; give --width"):
        read(name, width=None)


def test_all_faults_of_a_folder_come_together(tmp_path):
    put(SAMPLES["labelme"][1](), tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "worse.json").write_text('{"imageHeight": 1e9, "imageWidth": 1e9, "shapes": []}')
    with pytest.raises(SalignError, match=r"2 faults\n.*bad.json.*not JSON(?s:.*)worse.json.*expected 1 to 89,478,485"):
        annotation_format("labelme").read(tmp_path, width=2.0)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    inside = tmp_path / "labels"
    put(SAMPLES["labelme"][1](), inside)
    (tmp_path / "secret.json").write_text("{")
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    assert len({one.image for one in annotation_format("labelme").read(inside, width=2.0)}) == 2


def test_formats_are_known_by_name_and_say_their_options():
    with pytest.raises(SalignError, match="did you mean 'labelme'"):
        annotation_format("labelmee")
    with pytest.raises(SalignError, match="voc has no option width; it takes none"):
        ANNOTATION_FORMATS["voc"].read("a", width=3.0)
    with pytest.raises(SalignError, match="voc is read, not written; exports are labelme, coco"):
        _ = ANNOTATION_FORMATS["voc"].writer
    assert SIZES["lesion.png"] == MASK.shape


def test_a_name_too_long_for_a_file_is_an_error_like_others(tmp_path):
    put(SAMPLES["reflacx"][1](), tmp_path)
    path = tmp_path / "metadata_phase_1.csv"
    path.write_text(path.read_text().replace("P1R1", "P" * 300))
    with pytest.raises(SalignError, match=r"metadata_phase_1\.csv"):
        annotation_format("reflacx").read(path)


HOSTILE_XML = {
    "entities": '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><annotations>&c;</annotations>',
    "external": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>',
    "deep": "<annotations>" + "<a>" * 5000 + "</a>" * 5000 + "</annotations>",
    "encoding": '<?xml version="1.0" encoding="klingon"?><annotations/>',
    "other": "<svg/>",
}


@pytest.mark.parametrize("kind", HOSTILE_XML)
@pytest.mark.parametrize("name", ["cvat", "voc"])
def test_hostile_xml_is_refused(kind, name, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(HOSTILE_XML[kind])
    with pytest.raises(SalignError, match=r"a\.xml"):
        annotation_format(name).read(path)


HOSTILE = {
    "a zip archive": b"PK\x03\x04../../evil",
    "deep nesting": b'{"shapes":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"imageHeight": ' + b"9" * 5000 + b"}",
    "not a number": b'{"imageHeight": NaN}',
    "not text": b"\xff\xfe\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", sorted(ANNOTATION_FORMATS))
def test_hostile_files_are_refused(kind, name, tmp_path):
    suffix = {"cvat": ".xml", "voc": ".xml", "yolo": ".txt", "arrays": ".npz"}.get(name, ".json")
    suffix = ".csv" if name in ("boxes", "fixations", "reflacx") else suffix
    path = tmp_path / f"a{suffix}"
    path.write_bytes(HOSTILE[kind])
    (tmp_path / "classes.txt").write_text("a\n")
    if (name, kind) == ("yolo", "nothing"):  # that is a blank
        assert len(annotation_format(name).read(path)) == 1
        return
    with pytest.raises(SalignError, match=rf"a\{suffix}"):
        annotation_format(name).read(path)
    with pytest.raises(SalignError, match=r"missing\.json"):
        annotation_format(name).read(tmp_path / "missing.json")
