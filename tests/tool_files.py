"""Small files of annotation tools, about the image `a.png` of 60 x 40 pixels, as they are written by hand."""

from __future__ import annotations

import numpy as np
import pytest

IMAGES = [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}]
KINDS = [{"id": 3, "name": "cat"}]
MASK = np.zeros((40, 60), dtype=bool)
MASK[5:9, 7:20] = True


def coco(*annotations, images=IMAGES, categories=KINDS):
    listed = [{"image_id": 1, "category_id": 3} | one for one in annotations]
    return {"c.json": {"images": images, "annotations": listed, "categories": categories}}


def voc(name, *boxes, size=""):
    things = "".join(
        f"<object><name>cat</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
        "</object>"
        for x0, y0, x1, y1 in boxes
    )
    return f"<annotation><filename>{name}</filename>{size}{things}</annotation>"


def labelme(*shapes, **more):
    return {"imagePath": "a.png", "imageHeight": 40, "imageWidth": 60, "imageData": None, "shapes": [*shapes]} | more


def drawn(kind, *points, **more):
    return {"label": "cat", "shape_type": kind, "points": [*points]} | more


def via(*regions, attributes=None):
    listed = [{"shape_attributes": shape, "region_attributes": labels} for shape, labels in regions]
    file = {"filename": "a.png", "size": 1, "regions": listed, "file_attributes": attributes or {}}
    return {"v.json": {"a.png1": file}}


RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}


def cvat(*shapes):
    inner = "".join(shapes)
    return {"c.xml": f'<annotations><image name="a.png" width="60" height="40">{inner}</image></annotations>'}


BOX = '<box label="cat" xtl="1" ytl="2" xbr="9" ybr="8"/>'


def result(own, kind, value, name="label"):
    about = {"original_width": 60, "original_height": 40, "image_rotation": 0}
    return about | {"id": own, "type": kind, "from_name": name, "value": value}


def studio(*results, image="/data/upload/1/1a2b3c4d-a.png", **more):
    return {"ls.json": [{"data": {"image": image}, "annotations": [{"result": [*results]} | more]}]}


RECTANGLE = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["cat"]}


def write_dicom(path, pixels, photometric="MONOCHROME2", bits=12, syntax=None, data=None, **tags):
    """Write a picture, in explicit little endian unless `syntax` is given; `data` is a frame, encoded already."""
    pytest.importorskip("pydicom")
    from pydicom import uid
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    syntax = syntax or uid.ExplicitVRLittleEndian
    meta = FileMetaDataset()
    first = uid.ExplicitVRLittleEndian if syntax == uid.RLELossless else syntax  # the library packs those by itself
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = first, uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    how = {
        "is_implicit_VR": syntax == uid.ImplicitVRLittleEndian,
        "is_little_endian": syntax != uid.ExplicitVRBigEndian,
    }
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **how)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes() if data is None else encapsulate([data])
    for name, value in tags.items():
        setattr(ds, name, value)
    if syntax == uid.RLELossless:
        ds.compress(uid.RLELossless, generate_instance_uid=False)
    elif data is not None:
        ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    return path


def marks(found):
    """What a test compares of what was read."""
    return [(one.image, one.label, one.shapes) for one in found]
