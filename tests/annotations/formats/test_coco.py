"""COCO: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK
from references.rle import coco_counts
from salign.annotations.annotated import Annotated
from salign.maps.shapes import Box, Polygon
from tool_files import (
    IMAGES,
    KINDS,
    MASK,
    coco,
    marks,
)  # fmt: skip


def test_coco(read_sample):
    found = read_sample("coco")
    lesions = [one for one in found if one.label == "lesion"]
    assert lesions[0].shapes == (
        Polygon(((30.5, 5), (50, 5.25), (50, 30))),
        Polygon(((1, 1), (4, 1), (4, 4), (1, 4))),
    )
    assert [np.array_equal(one.mask.decode(), SAMPLE_MASK) for one in lesions[1:]] == [True, True]
    assert [one.shapes for one in found if one.label == "vessel"] == [(Box(20, 30, 25, 35),)]


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
