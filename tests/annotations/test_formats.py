"""What annotation tools write is read as it was meant: every shape of every format, on samples like the tools'."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK, SAMPLES, SIZES, marked_pixels, put
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.annotations.formats import ANNOTATION_FORMATS, annotation_format
from salign.errors import SalignError


@pytest.mark.parametrize("name", SAMPLES)
def test_both_images_are_known_and_the_clear_one_is_blank(name, read_sample):
    found = read_sample(name)
    lesion = [one for one in found if "lesion" in one.image]
    clear = [one for one in found if "clear" in one.image]
    assert len(lesion) + len(clear) == len(found)
    for one in lesion:
        assert one.size in (None, (40, 60))
    assert marked_pixels(found).any()
    if name not in ("boxes nih", "eyetagger svg", "fixations", "reflacx"):  # these only list what was marked
        assert [(one.shapes, one.mask) for one in clear] == [((), None)]
        assert clear[0].size in (None, (20, 30))


@pytest.mark.parametrize("name", ["labelme", "cvat", "via"])
def test_lines_and_points_need_a_thickness(name, read_sample):
    with pytest.raises(SalignError, match="lines and points have no area; give --width"):
        read_sample(name, width=None)


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
    assert SIZES["lesion.png"] == SAMPLE_MASK.shape


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


SIZE = 50, 70
TURN = 25.0
"""Degrees."""


def label_studio(kind, **value):
    result = {
        "original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "id": "r", "type": kind,
        "value": {"x": 100 * 20 / SIZE[1], "y": 100 * 15 / SIZE[0], "rotation": TURN, **value},
    }  # fmt: skip
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "completed_by": 2, "result": [result]}]}
    return "a.json", json.dumps([task])


def cvat(shape):
    image = f'<image id="0" name="a.png" width="{SIZE[1]}" height="{SIZE[0]}">{shape}</image>'
    return "a.xml", f"<annotations><version>1.1</version>{image}</annotations>"


def via(shape):
    region = {"shape_attributes": shape, "region_attributes": {}}
    return "a.json", json.dumps(
        {"a.png5": {"filename": "a.png", "size": 5, "regions": [region], "file_attributes": {}}}
    )


def turned(middle, inside, degrees):
    """Pixels whose centre, turned back about `middle`, is inside."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    marked = np.zeros(SIZE, dtype=bool)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            x, y = column + 0.5 - middle[0], row + 0.5 - middle[1]
            marked[row, column] = inside(c * x + s * y, -s * x + c * y)
    return marked


def ellipse(x, y):
    return (x / 14) ** 2 + (y / 5) ** 2 <= 1


def box_about_its_middle(x, y):
    return abs(x) <= 15 and abs(y) <= 4


def box_from_its_corner(x, y):
    return 0 <= x <= 30 and 0 <= y <= 8


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


CASES = {
    "cvat box": (
        "cvat", cvat('<box label="a" xtl="20" ytl="21" xbr="50" ybr="29" rotation="25"></box>'),
        (35, 25), box_about_its_middle,
    ),
    "cvat ellipse": (
        "cvat", cvat('<ellipse label="a" cx="30" cy="25" rx="14" ry="5" rotation="25"></ellipse>'), (30, 25), ellipse
    ),
    "label studio rectangle": (
        "label-studio", label_studio("rectangle", width=100 * 30 / SIZE[1], height=100 * 8 / SIZE[0]),
        (20, 15), box_from_its_corner,
    ),
    "label studio ellipse": (
        "label-studio", label_studio("ellipse", radiusX=100 * 14 / SIZE[1], radiusY=100 * 5 / SIZE[0]),
        (20, 15), ellipse,
    ),
    "via ellipse": (
        "via", via({"name": "ellipse", "cx": 35, "cy": 25, "rx": 14, "ry": 5, "theta": math.radians(TURN)}),
        (35, 25), ellipse,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_turned_shape_lies_as_it_was_seen(name, tmp_path):
    form, (file, content), middle, inside = CASES[name]
    (tmp_path / file).write_text(content)
    (found,) = annotation_format(form).read(tmp_path / file)
    marked = draw_marks([Annotated("", shapes=found.shapes)], SIZE) > 0
    expected = turned(middle, inside, TURN)
    for other in (-TURN, 0, TURN + 90, 90 - TURN):  # what would be taken for it is far from it
        assert overlap(expected, turned(middle, inside, other)) < 0.75
    assert overlap(expected, marked) > 0.95
