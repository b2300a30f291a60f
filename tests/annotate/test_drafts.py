"""Drafts of a review: from which files and columns they come, of which images they are, and in whose pixels."""

from __future__ import annotations

import json
import logging

import pytest
from PIL import Image

from annotate_page import join, write_images
from salign.annotate.answers import answers_of
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotate.reviewed import summarise_review
from salign.annotations.annotated import Annotated
from salign.annotations.read import read_marked
from salign.annotations.shape_files import entry_line, shapes_file, write_entries
from salign.annotations.write import write_annotated
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.maps.shapes import Box, Fixation

SIZE = (30, 40)


def review(folder, drafts, **more):
    return open_collection(folder, mode="review", drafts=str(drafts), classes=["cat"], **more)


def test_drafts_of_an_import_are_found_by_the_paths_of_their_images(tmp_path):
    """An import calls images by other ids than a folder does; who drew is not known of one of them."""
    folder = write_images(tmp_path / "set" / "images", 3)
    marks = [
        Annotated("0.png", SIZE, "cat", (Box(1, 2, 9, 9),), annotator="ann"),
        Annotated("1.png", SIZE, "cat", (Box(5, 5, 9, 9),)),
    ]
    brought = write_annotated(marks, folder)
    collection = review(folder, shapes_file(brought.path))
    assert {name: [draft.source for draft in drafts] for name, drafts in collection.drafts.items()} == {
        "0.png": ["ann"], "1.png": ["unknown"],
    }  # fmt: skip
    page = join(collection, "Rev")
    while tasks := page.tasks():
        (draft,) = tasks[0]["drafts"]
        assert draft["shapes"][0]["points"] in ([[1, 2], [9, 9]], [[5, 5], [9, 9]])
        page.save(tasks[0]["id"], shapes=[], review="accept", draft=0)
    answers, _ = answers_of(collection, collection.store.snapshot())
    assert (summarise_review(collection, answers).accepted, summarise_review(collection, answers).machine) == (2, 0)
    export_to(collection, tmp_path / "out")
    manifest = Manifest.read(tmp_path / "out" / "manifest.csv")
    assert [read_saliency(manifest.saliency_path(k)).sum().item() for k in range(2)] == [8 * 7, 4 * 4]


def test_an_accepted_draft_of_nothing_to_mark_is_a_blank_map_and_one_that_says_nothing_of_where_is_none(tmp_path):
    folder = write_images(tmp_path / "set", 2)
    lines = [entry_line(f"{k}.png", Annotated(f"{k}.png", SIZE), answer="cat", blank=k == 0) for k in (0, 1)]
    collection = review(folder, write_entries(tmp_path / "shapes.json", lines))
    page = join(collection, "Rev")
    while tasks := page.tasks():
        page.save(tasks[0]["id"], shapes=[], review="accept", draft=0)
    assert export_to(collection, tmp_path / "out").maps == 1
    manifest = Manifest.read(tmp_path / "out" / "manifest.csv")
    assert manifest.table["id"].tolist() == ["0.png", "1.png"]
    assert read_saliency(manifest.saliency_path(0)).tolist() == [[0] * 40] * 30
    assert manifest.saliency_path(1) is None
    (marks,) = read_marked(manifest, tmp_path / "out" / "shapes.json")
    assert (marks.image, marks.shapes, marks.mask, marks.annotator) == ("set/0.png", (), None, "Rev")


def test_a_draft_of_an_image_that_grew_is_shown_and_drawn_where_it_was_made(tmp_path):
    folder = write_images(tmp_path / "set", 2)
    lines = [
        entry_line(f"{k}.png", Annotated(f"{k}.png", SIZE, shapes=(Box(4, 2, 14, 12),)), answer="cat") for k in (0, 1)
    ]
    drafts = write_entries(tmp_path / "shapes.json", lines)
    Image.open(folder / "0.png").resize((80, 60)).save(folder / "0.png")
    Image.new("RGB", (30, 40)).save(folder / "1.png")
    collection = review(folder, drafts)
    page, shown = join(collection, "Rev"), {}
    while tasks := page.tasks():
        size = (tasks[0]["images"][0]["height"], tasks[0]["images"][0]["width"])
        shown[size] = tasks[0]["drafts"][0]["shapes"][0]["points"]
        page.save(tasks[0]["id"], shapes=[], review="accept", draft=0)
    assert shown[60, 80] == [[8, 4], [28, 24]]
    done = export_to(collection, tmp_path / "out")
    manifest = Manifest.read(tmp_path / "out" / "manifest.csv")
    assert manifest.table["id"].tolist() == ["0.png"]
    values = read_saliency(manifest.saliency_path(0))
    assert (values.sum().item(), values[4:24, 8:28].min().item()) == (400, 1)
    assert done.unreadable == {"1.png": ("1.png", "marked at 40 x 30 pixels, and the image has 30 x 40 now")}


def test_drafts_of_other_images_are_counted_and_of_all_others_refused(tmp_path, caplog):
    folder = write_images(tmp_path / "set", 1)
    lines = [entry_line(name, Annotated(name, SIZE, shapes=(Box(1, 1, 3, 3),))) for name in ("0.png", "x.png", "y.png")]
    with caplog.at_level(logging.WARNING, "salign.annotate"):
        collection = review(folder, write_entries(tmp_path / "shapes.json", lines))
    assert list(collection.drafts) == ["0.png"]
    assert "2 drafts are of no image of this study, first 'x.png'" in caplog.text
    with pytest.raises(SalignError, match="nothing to hand out in mode review"):
        review(folder, write_entries(tmp_path / "other.json", lines[1:]), out=tmp_path / "other")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (json.loads(entry_line("0.png", Annotated("0.png", SIZE, shapes=(Fixation(1, 1, 9),)))), "'0.png' are gaze"),
        ({"image": "0.png"}, "the key 'shapes' is missing"),
        ({"image": "0.png", "shapes": [{"kind": "box", "points": [[1, 1]]}]}, r"shapes\[0\]: box: expected 2"),
    ],
)
def test_drafts_that_cannot_be_judged_are_refused_before_anybody_is_asked(entry, words, tmp_path):
    folder = write_images(tmp_path / "set", 1)
    (tmp_path / "shapes.json").write_text(json.dumps({"annotations": [entry]}))
    with pytest.raises(SalignError, match=words):
        review(folder, tmp_path / "shapes.json")
    assert not (folder / "annotations").exists()
