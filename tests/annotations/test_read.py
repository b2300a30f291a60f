"""The marks of a manifest: shapes where all of them are known, else the pixels of the map."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from annotate_page import join, write_images
from command import salign
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.annotations.read import read_marked
from salign.annotations.shape_files import entry_line, shapes_file, write_entries
from salign.annotations.write import write_annotated
from salign.data.manifest import Manifest
from salign.maps.rasterize import rasterize
from salign.maps.shapes import Box, Polygon, Stroke

SIZE = (20, 30)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "set" / "images"
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE, 99, np.uint8)).save(folder / name)
    return folder


def test_shapes_come_back_from_the_file_and_masks_from_the_maps(images):
    shapes = (Polygon(((1, 1), (9, 2), (5, 15)), times=(1.0, 2.0, 3.0)), Stroke(((3, 3), (20, 9)), (2, 3)))
    mask = rasterize([Box(3, 3, 9, 9)], SIZE)
    annotated = [Annotated("a.png", SIZE, "cat", shapes, annotator="ann"), Annotated("b.png", SIZE, "cat", mask=mask)]
    brought = write_annotated(annotated, images)
    found = read_marked(brought.manifest, shapes_file(brought.path))
    assert found[0] == Annotated("images/a.png", SIZE, "cat", shapes, annotator="ann")
    assert np.array_equal(found[1].mask.decode(), mask)
    assert [one.mask is None for one in read_marked(brought.manifest)] == [False, False]


def test_a_map_is_read_back_as_a_mask_a_blank_one_as_looked_at_and_of_a_machine_by_its_name(images):
    left = np.zeros(SIZE, np.uint8)
    left[:, :10], left[:, 10:20] = 128, 127  # from one half of the range on
    for name, values in (("left", left), ("blank", np.zeros(SIZE, np.uint8))):
        Image.fromarray(values).save(images / f"{name}.png")
    (images / "m.csv").write_text(
        "id,path,label,split,saliency,provenance\n1,a.png,cat,train,left.png,model:net@1\n"
        "2,b.png,dog,train,blank.png,human:ann\n3,sub/c.png,cat,train,,\n"
    )
    found = read_marked(Manifest.read(images / "m.csv"))
    assert [(one.image, one.label, one.size, one.annotator) for one in found] == [
        ("a.png", "cat", SIZE, "model:net@1"), ("b.png", "dog", SIZE, None),
    ]  # fmt: skip
    assert np.array_equal(found[0].mask.decode(), left == 128)
    assert found[1].mask is None


def test_marks_are_in_the_pixels_in_which_they_were_made(images):
    """The image is larger now: the size of the entry counts, and only where it has none the image's."""
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(images / "m.png")
    (images / "m.csv").write_text(
        "id,path,label,split,saliency\n1,a.png,cat,train,m.png\n2,b.png,cat,train,m.png\n3,sub/c.png,cat,train,m.png\n"
    )
    box = Box(1, 1, 3, 3)
    lines = [
        entry_line("1", Annotated("a.png", (10, 15), shapes=(box,))),
        entry_line("2", Annotated("b.png", shapes=(box,))),
    ]
    path = write_entries(images / "shapes.json", lines)
    found = read_marked(Manifest.read(images / "m.csv"), path)
    assert [(one.size, one.shapes) for one in found] == [((10, 15), (box,)), (SIZE, (box,)), (SIZE, ())]
    assert found[2].mask.pixels == 600, "no entry: its map"


def test_who_said_nothing_of_where_is_not_taken_for_one_who_saw_nothing(images):
    """Two people: one marked, the other answered and marked nothing, or accepted a draft that is a picture."""
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(images / "m.png")
    (images / "m.csv").write_text("id,path,label,split,saliency\n1,a.png,cat,train,m.png\n")
    manifest = Manifest.read(images / "m.csv")
    marked = entry_line("1", Annotated("a.png", SIZE, shapes=(Box(1, 1, 3, 3),), annotator="ann"), blank=False)

    def found(**other):
        line = entry_line("1", Annotated("a.png", SIZE, annotator="ben"), **other)
        return read_marked(manifest, write_entries(images / "shapes.json", [marked, line]))

    assert [(one.annotator, len(one.shapes)) for one in found(blank=False)] == [("ann", 1)]
    assert [(one.annotator, len(one.shapes)) for one in found(blank=True)] == [("ann", 1), ("ben", 0)]
    assert [(one.annotator, len(one.shapes)) for one in found(blank=False, review="reject")] == [("ann", 1)]
    (whole,) = found(blank=False, review="accept")
    assert whole.mask.pixels == 600, "the map has the marks of both"


def test_a_map_that_was_taken_over_from_a_picture_goes_out_as_its_pixels(tmp_path):
    """It went out as an image on which somebody had found nothing to mark."""
    folder = write_images(tmp_path / "set", 1)
    picture = np.zeros((30, 40), np.uint8)
    picture[5:15, 10:30] = 255
    Image.fromarray(picture).save(folder / "m.png")
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\n1,0.png,cat,train,m.png\n")
    collection = open_collection(folder, mode="review")
    page = join(collection, "Rev")
    page.save(page.tasks()[0]["id"], answer=None, shapes=[], review="accept", draft=0)
    export_to(collection, folder / "reviewed")
    collection.store.close()
    salign("maps", "export", folder / "reviewed" / "manifest.csv", "coco", folder / "out.json")
    (one,) = annotation_format("coco").read(folder / "out.json")
    assert np.array_equal(one.mask.decode(), picture > 0)
