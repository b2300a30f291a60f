"""Pascal VOC: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from annotation_samples import box_pixels, marked_pixels
from salign.maps.shapes import Box
from tool_files import (
    marks,
    voc,
)  # fmt: skip


def test_voc_counts_from_one_and_includes_the_last_pixel(read_sample):
    assert np.array_equal(marked_pixels(read_sample("voc")), box_pixels(8, 5, 20, 15))


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
