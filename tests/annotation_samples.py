"""Small annotation sets in the formats of the real tools, written by their documentation; all of the same two images.

`lesion.png` (60 wide, 40 high) carries marks, `clear.png` (30 wide, 20 high) was looked at and not marked.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from references.rle import coco_counts, cvat_counts, packed
from salign.annotations.draw import draw_marks
from salign.annotations.formats.fixations import REFLACX, Gaze

SIZES = {"lesion.png": (40, 60), "clear.png": (20, 30)}
SAMPLE_MASK = np.zeros((40, 60), dtype=bool)
SAMPLE_MASK[5:15, 8:20] = True
SAMPLE_MASK[9, 12] = False
"""What the masks of the samples mark: a rectangle with a hole."""


class Sample(NamedTuple):
    files: dict[str, bytes]
    """By relative path."""
    path: str
    """What is given to the reader; "" for the folder."""
    options: dict[str, Any]


def png(values: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def labelme() -> Sample:
    corners = [[8, 5], [19, 14]]
    shapes = [
        {"label": "lesion", "points": [[30.5, 5], [50, 5.25], [50, 30]], "shape_type": "polygon", "group_id": None},
        {"label": "lesion", "points": [[25, 35], [20, 30]], "shape_type": "rectangle", "flags": {}},
        {"label": "lesion", "points": [[10, 30], [10, 34]], "shape_type": "circle"},
        {
            "label": "lesion",
            "points": corners,
            "shape_type": "mask",
            "mask": png(SAMPLE_MASK[5:15, 8:20].astype(np.uint8)),
        },
        {"label": "vessel", "points": [[2, 2], [20, 2], [20, 8]], "shape_type": "linestrip"},
        {"label": "vessel", "points": [[55, 20]], "shape_type": "point"},
    ]
    head = {"version": "5.5.0", "flags": {}, "imageData": None}
    lesion = head | {"shapes": shapes, "imagePath": "..\\pictures\\lesion.png", "imageHeight": 40, "imageWidth": 60}
    clear = head | {"shapes": [], "imagePath": "clear.png", "imageHeight": 20, "imageWidth": 30}
    files = {"lesion.json": json.dumps(lesion, indent=2).encode(), "sub/clear.json": json.dumps(clear).encode()}
    return Sample(files, "", {"width": 4.0})


def coco() -> Sample:
    content = {
        "info": {"description": "sample"},
        "images": [
            {"id": 7, "file_name": "lesion.png", "width": 60, "height": 40},
            {"id": 9, "file_name": "clear.png", "width": 30, "height": 20},
        ],
        "annotations": [
            {
                "id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "bbox": [30, 5, 20, 25], "area": 245.0,
                "segmentation": [[30.5, 5, 50, 5.25, 50, 30], [1, 1, 4, 1, 4, 4, 1, 4]],
            },
            {
                "id": 2, "image_id": 7, "category_id": 3, "iscrowd": 1, "bbox": [8, 5, 12, 10], "area": 119,
                "segmentation": {"size": [40, 60], "counts": coco_counts(SAMPLE_MASK)},
            },
            {
                "id": 3, "image_id": 7, "category_id": 3, "iscrowd": 0, "bbox": [8, 5, 12, 10], "area": 119,
                "segmentation": {"size": [40, 60], "counts": COCO_STRING},
            },
            {"id": 4, "image_id": 7, "category_id": 5, "iscrowd": 0, "bbox": [20, 30, 5, 5], "area": 25},
        ],
        "categories": [{"id": 3, "name": "lesion", "supercategory": ""}, {"id": 5, "name": "vessel"}],
    }  # fmt: skip
    return Sample({"instances.json": json.dumps(content).encode()}, "instances.json", {})


COCO_STRING = "U::n0000000JSO1m05000000000000ka1"


def cvat() -> Sample:
    rle = ", ".join(map(str, cvat_counts(SAMPLE_MASK, 5, 8, 10, 12)))
    text = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id><name>eyes</name><size>2</size><mode>annotation</mode>
      <labels><label><name>lesion</name><color>#ff0000</color><type>any</type></label></labels>
      <owner><username>boss</username><email></email></owner>
      <assignee><username>ann</username><email>ann@example.org</email></assignee>
    </task>
    <dumped>2026-01-01 00:00:00.000000+00:00</dumped>
  </meta>
  <image id="0" name="pictures/lesion.png" width="60" height="40">
    <polygon label="lesion" source="manual" occluded="0" points="30.50,5.00;50.00,5.25;50.00,30.00" z_order="0">
      <attribute name="sure">yes</attribute>
    </polygon>
    <box label="lesion" source="manual" occluded="0" xtl="20.00" ytl="30.00" xbr="25.00" ybr="35.00" z_order="0"></box>
    <box label="lesion" occluded="0" xtl="30.00" ytl="32.00" xbr="40.00" ybr="36.00" rotation="90.00" z_order="0"></box>
    <ellipse label="lesion" occluded="0" cx="10.00" cy="30.00" rx="6.00" ry="3.00" rotation="30.00"></ellipse>
    <mask label="lesion" occluded="0" rle="{rle}" left="8" top="5" width="12" height="10" z_order="0"></mask>
    <polyline label="vessel" occluded="0" points="2.00,2.00;20.00,2.00" z_order="0"></polyline>
    <points label="vessel" occluded="0" points="55.00,20.00" z_order="0"></points>
  </image>
  <image id="1" name="clear.png" width="30" height="20">
    <tag label="clear" source="manual"></tag>
  </image>
</annotations>
"""
    return Sample({"annotations.xml": text.encode()}, "annotations.xml", {"width": 4.0})


def label_studio() -> Sample:
    base = {"original_width": 60, "original_height": 40, "image_rotation": 0, "to_name": "image", "origin": "manual"}

    def result(kind: str, value: dict[str, Any], name: str = "r") -> dict[str, Any]:
        return base | {"id": name, "from_name": "label", "type": kind, "value": value}

    lesion: dict[str, Any] = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90}
    round_: dict[str, Any] = {"x": 20, "y": 75, "radiusX": 10, "radiusY": 7.5, "rotation": 0}
    outline: dict[str, Any] = {"points": [[50, 12.5], [80, 12.5], [80, 75]], "closed": True}
    plain: dict[str, Any] = {"x": 0, "y": 0, "width": 5, "height": 5, "rotation": 0}
    results = [
        result("polygonlabels", outline | {"polygonlabels": ["lesion"]}),
        result("rectanglelabels", lesion | {"rectanglelabels": ["lesion"]}),
        result("ellipselabels", round_ | {"ellipselabels": ["lesion"]}),
        result("keypointlabels", {"x": 90, "y": 50, "width": 5, "keypointlabels": ["vessel"]}),
        result("brushlabels", {"format": "rle", "rle": packed(SAMPLE_MASK), "brushlabels": ["lesion"]}),
        result("rectangle", plain, "apart"),
        result("labels", plain | {"labels": ["vessel"]}, "apart"),
        {"id": "c", "from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": ["ill"]}},
    ]
    clear = [{"id": "c", "from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": ["well"]}}]
    tasks = [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/0a1b2c3d-lesion.png"},
            "annotations": [
                {"id": 1, "completed_by": 2, "was_cancelled": False, "result": results, "lead_time": 9.1},
                {"id": 2, "completed_by": {"id": 3, "email": "bob@example.org"}, "was_cancelled": True, "result": []},
            ],
            "predictions": [],
        },
        {
            "id": 2,
            "data": {"image": "/data/local-files/?d=pictures/clear.png"},
            "annotations": [{"id": 3, "completed_by": 2, "was_cancelled": False, "result": clear}],
        },
        {"id": 3, "data": {"image": "s3://bucket/unseen.png"}, "annotations": []},
    ]
    return Sample({"export.json": json.dumps(tasks).encode()}, "export.json", {})


_REGIONS = [
    ({"name": "polygon", "all_points_x": [30, 50, 50], "all_points_y": [5, 5, 30]}, {"kind": "lesion"}),
    ({"name": "rect", "x": 20, "y": 30, "width": 5, "height": 5}, {"kind": "lesion"}),
    ({"name": "ellipse", "cx": 10, "cy": 30, "rx": 6, "ry": 3, "theta": 0.5}, {"kind": "lesion"}),
    ({"name": "circle", "cx": 55, "cy": 10, "r": 3}, {"kind": "vessel"}),
    ({"name": "polyline", "all_points_x": [2, 20], "all_points_y": [2, 2]}, {"kind": "vessel"}),
    ({"name": "point", "cx": 55, "cy": 20}, {"kind": "vessel"}),
]


def via() -> Sample:
    regions = [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in _REGIONS]
    content = {
        "_via_settings": {"ui": {}, "project": {"name": "eyes"}},
        "_via_img_metadata": {
            "lesion.png123": {"filename": "lesion.png", "size": 123, "regions": regions, "file_attributes": {}},
            "clear.png45": {"filename": "clear.png", "size": 45, "regions": [], "file_attributes": {}},
        },
        "_via_attributes": {"region": {"kind": {"type": "text"}}, "file": {}},
    }
    return Sample({"via.json": json.dumps(content).encode()}, "via.json", {"width": 4.0})


def via_csv() -> Sample:
    def quoted(value: object) -> str:
        return '"' + json.dumps(value).replace('"', '""') + '"'

    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for k, (shape, attributes) in enumerate(_REGIONS):
        lines.append(f'lesion.png,123,"{{}}",{len(_REGIONS)},{k},{quoted(shape)},{quoted(attributes)}')
    lines.append('clear.png,45,"{}",0,0,"{}","{}"')
    return Sample({"via.csv": "\n".join(lines).encode()}, "via.csv", {"width": 4.0})


def voc() -> Sample:
    def page(name: str, height: int, width: int, objects: str) -> bytes:
        return f"""<annotation>
  <folder>pictures</folder><filename>{name}</filename><path>/home/ann/pictures/{name}</path>
  <source><database>Unknown</database></source>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <segmented>0</segmented>{objects}
</annotation>""".encode()

    thing = """
  <object><name>lesion</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>
    <bndbox><xmin>9</xmin><ymin>6</ymin><xmax>20</xmax><ymax>15</ymax></bndbox></object>"""
    files = {"lesion.xml": page("lesion.png", 40, 60, thing), "clear.xml": page("clear.png", 20, 30, "")}
    return Sample(files, "", {})


def yolo() -> Sample:
    files = {
        "classes.txt": b"vessel\nlesion\n",
        "train/lesion.txt": b"1 0.5 0.5 0.25 0.125\n0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n",
        "train/clear.txt": b"",
    }
    return Sample(files, "", {})


def boxes_nih() -> Sample:
    text = "Image Index,Finding Label,Bbox [x,y,w,h],,,\nlesion.png,lesion,8.5,5.25,12,10,,,\n"
    return Sample({"BBox_List_2017.csv": text.encode()}, "BBox_List_2017.csv", {})


def boxes_rsna() -> Sample:
    text = "patientId,x,y,width,height,Target\nlesion,8.0,5.0,12.0,10.0,1\nlesion,30,20,5,5,1\nclear,,,,,0\n"
    return Sample({"stage_2_train_labels.csv": text.encode()}, "stage_2_train_labels.csv", {})


def eyetagger() -> Sample:
    alpha = np.zeros((40, 60, 4), np.uint8)
    alpha[SAMPLE_MASK] = (0, 255, 0, 85)
    path = [["M", 10, 10], ["Q", 10, 10, 15, 12], ["L", 20, 14]]
    drawn = {"type": "path", "strokeWidth": 20, "path": path, "scaleX": 1, "angle": 0}
    canvas = {"version": "3.6.3", "objects": [drawn]}
    entries = [
        {"annotator": 3, "image": "lesion", "annotation": f"data:image/png;base64,{png(alpha)}", "pk": 1},
        {"annotator": 4, "image": "lesion", "annotation": json.dumps(canvas), "pk": 2},
        {"annotator": 5, "image": "lesion", "annotation": _svg(), "pk": 3},
        {"annotator": 3, "image": "clear", "annotation": f"data:image/png;base64,{png(alpha[:20, :30] * 0)}", "pk": 4},
    ]
    return Sample({"annotations.json": json.dumps(entries).encode()}, "annotations.json", {})


def _svg() -> str:
    return """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="60" height="40" viewBox="0 0 60 40" xml:space="preserve">
<desc>Created with Fabric.js 3.6.3</desc><defs></defs>
<g transform="matrix(1 0 0 1 15.01 12)"><path style="stroke: rgb(0,255,0); stroke-width: 20; fill: none;"
 transform=" translate(-15.01, -12)" d="M 10 10 Q 10 10 15 12 L 20 14" stroke-linecap="round" /></g>
</svg>"""


def eyetagger_svg() -> Sample:
    return Sample({"lesion.svg": _svg().encode()}, "", {})


def fixations() -> Sample:
    lines = ["image,subject,x,y,duration", "lesion.png,1,10.5,8,250", "lesion.png,2,40,20,180.5", "clear.png,1,3,3,90"]
    return Sample({"fixations.csv": "\n".join(lines).encode()}, "fixations.csv", {"gaze": Gaze(sigma=3.0)})


def reflacx() -> Sample:
    readings = "id,image,image_size_x,image_size_y,eye_tracking_data_discarded,split"
    rows = ["P1R1,files/lesion.png,60,40,False,train", "P1R2,files/clear.png,30,20,False,train"]
    gaze = [",".join(REFLACX.values()), "20,15,0.2,0.5,6,5,0,0,60,40,0,0,600,400"]
    files = {
        "metadata_phase_1.csv": "\n".join([readings, *rows]).encode(),
        "P1R1/fixations.csv": "\n".join([*gaze, "30,10,0.6,1.6,3,2.5,20,0,40,15,0,0,600,400"]).encode(),
        "P1R2/fixations.csv": "\n".join([*gaze]).encode(),
    }
    return Sample(files, "metadata_phase_1.csv", {})


def masks() -> Sample:
    blank = np.zeros((20, 30), np.uint8)
    files = {"ann/lesion_mask.png": SAMPLE_MASK.astype(np.uint8) * 255, "ann/clear_mask.png": blank}
    encoded = {name: base64.b64decode(png(values)) for name, values in files.items()}
    return Sample(encoded, "", {"pattern": "{annotator}/{image}_mask"})


def arrays() -> Sample:
    stream = io.BytesIO()
    np.savez(stream, lesion=SAMPLE_MASK.astype(np.float32) / 2, clear=np.zeros((20, 30), bool))
    return Sample({"maps.npz": stream.getvalue()}, "maps.npz", {})


def arrays_folder() -> Sample:
    files = {}
    for name, values in (("lesion", SAMPLE_MASK.astype(np.uint8)), ("clear", np.zeros((20, 30), np.float32))):
        stream = io.BytesIO()
        np.save(stream, values)
        files[f"{name}.npy"] = stream.getvalue()
    return Sample(files, "", {"scale": True})


SAMPLES = {
    "labelme": ("labelme", labelme),
    "coco": ("coco", coco),
    "cvat": ("cvat", cvat),
    "label-studio": ("label-studio", label_studio),
    "via": ("via", via),
    "via csv": ("via", via_csv),
    "voc": ("voc", voc),
    "yolo": ("yolo", yolo),
    "boxes nih": ("boxes", boxes_nih),
    "boxes rsna": ("boxes", boxes_rsna),
    "eyetagger": ("eyetagger", eyetagger),
    "eyetagger svg": ("eyetagger", eyetagger_svg),
    "fixations": ("fixations", fixations),
    "reflacx": ("reflacx", reflacx),
    "masks": ("masks", masks),
    "arrays": ("arrays", arrays),
    "arrays folder": ("arrays", arrays_folder),
}
"""Name -> format, and what makes the sample."""


def put(sample: Sample, folder: Path) -> Path:
    """Write the files of a sample; what to give to the reader."""
    for name, content in sample.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / sample.path


def put_images(folder: Path) -> Path:
    """Write the two images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        Image.fromarray(np.full(size, 128, np.uint8)).save(folder / name)
    return folder


def marked_pixels(found, *, image="lesion", label=None, annotator=None):
    """What is marked on one image, `(40, 60)` bool."""
    marks = [one for one in found if image in one.image]
    marks = [one for one in marks if label in (None, one.label) and annotator in (None, one.annotator)]
    return draw_marks(marks, (40, 60)) > 0


def box_pixels(x0, y0, x1, y1):
    marked = np.zeros((40, 60), dtype=bool)
    marked[y0:y1, x0:x1] = True
    return marked


def polygon_area(points):
    x, y = np.array(points).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
