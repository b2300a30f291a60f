"""Drafts of a review: from which files and columns they come, of which images they are, in whose pixels,
and what is exported of them."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from PIL import Image

from annotate_page import all_tasks, box, join, mask, unit_of, write_images
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
from salign.maps.rasterize import rasterize
from salign.maps.shapes import Box, Fixation, shape_from_json

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


def test_reviews_accept_edit_and_reject(annotated, tmp_path, joined):
    export_to(annotated, tmp_path / "export")
    collection = open_collection(
        tmp_path / "photos", out=tmp_path / "review", mode="review", drafts=str(tmp_path / "export" / "shapes.json")
    )
    page = joined(collection, "Rev")
    verdicts = {"0": ("accept", []), "1": ("edit", [box(0, 0, 3, 3)]), "4": ("reject", [])}
    for task in all_tasks(page):
        image = collection.store.task(int(task["id"]), 1).unit[0]
        if image == "0":
            assert [draft["from"] for draft in task["drafts"]] == ["Ann B.", "Bob"]
            assert task["drafts"][0]["shapes"] == [box(0, 0, 10, 10, erase=False)]
        verdict, shapes = verdicts.get(image, ("accept", []))
        page.save(task["id"], answer=None, shapes=shapes, review=verdict, draft=len(task["drafts"]) - 1)
    export_to(collection, tmp_path / "reviewed")
    entries = json.loads((tmp_path / "reviewed" / "shapes.json").read_text())["annotations"]
    found = {entry["image"]: entry for entry in entries}
    assert found["0.png"]["shapes"][0]["points"] == [[5, 0], [15, 10]], "the draft that was accepted"
    assert found["1.png"]["shapes"] == [box(0, 0, 3, 3, erase=False)]
    assert (tmp_path / "reviewed" / "maps" / "Rev").is_dir()
    assert found["4.png"]["review"] == "reject"
    maps = {path.stem[:1] for path in (tmp_path / "reviewed" / "maps" / "all").iterdir()}
    assert maps == {"0", "1", "2"}, "the rejected one has no map, and the blank draft that was accepted is a blank map"
    (blank,) = (tmp_path / "reviewed" / "maps" / "all").glob("2*")
    assert not read_saliency(blank).any()


def test_an_accepted_draft_that_is_a_picture_is_its_map(tmp_path, joined):
    folder = write_images(tmp_path / "set", 1)
    soft = np.linspace(0, 255, 1200).reshape(30, 40).astype(np.uint8)
    Image.fromarray(soft).save(folder / "m.png")
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\na,0.png,cat,train,m.png\n")
    collection = open_collection(folder, mode="review")
    page = joined(collection, "Rev")
    (task,) = page.tasks()
    page.save(task["id"], answer=None, shapes=[], review="accept", draft=0)
    export_to(collection, tmp_path / "export")
    found = read_saliency(tmp_path / "export" / "maps" / "all" / "a.png").numpy()
    assert np.allclose(found, soft / 255, atol=1e-4)


def machine_drafts(folder):
    """Five images: one of a person's map, three of a machine's, one without."""
    write_images(folder, 5)
    for k in range(4):
        Image.fromarray(np.uint8(255 * mask((5 * k, 4, 5 * k + 6, 20)))).save(folder / f"m{k}.png")
    lines = [
        "0,0.png,cat,train,m0.png,human:ann,",
        "1,1.png,cat,train,m1.png,model:net@1,0.9",
        "2,2.png,dog,train,m2.png,model:net@1,0.2",
        "3,3.png,dog,train,m3.png,model:net@1,0.5",
        "4,4.png,dog,train,,,",
    ]
    header = "id,path,label,split,saliency,provenance,confidence"
    (folder / "manifest.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def test_a_machines_drafts_come_least_sure_first_and_can_be_edited(tmp_path, joined):
    collection = open_collection(machine_drafts(tmp_path / "set"), mode="review")
    page, seen = joined(collection, "Rev"), []
    for task in all_tasks(page):
        image = unit_of(collection, task)
        seen.append(image)
        (draft,) = task["drafts"]
        assert draft["from"] == ("human:ann" if image == "0" else "model:net@1")
        shapes = [shape_from_json(one) for one in draft["shapes"]]
        k = int(image)
        assert np.array_equal(rasterize(shapes, (30, 40)), mask((5 * k, 4, 5 * k + 6, 20)) > 0)
        page.save(task["id"], answer=None, shapes=draft["shapes"], review="accept", draft=0)
    assert seen == ["2", "3", "1", "0"]


def test_what_nobody_judged_keeps_its_map_and_what_people_judged_is_theirs(tmp_path, joined):
    collection = open_collection(machine_drafts(tmp_path / "set"), mode="review")
    page = joined(collection, "Rev")
    (first,) = page.tasks()[:1]
    page.save(first["id"], answer=None, shapes=[box(1, 1, 5, 5)], review="edit", draft=0)
    (second,) = page.tasks()[:1]
    page.save(second["id"], answer=None, shapes=[], review="reject", draft=0)
    export_to(collection, tmp_path / "set" / "reviewed")
    manifest = Manifest.read(tmp_path / "set" / "reviewed" / "manifest.csv", tmp_path / "set")
    table = manifest.table.set_index("id").fillna("")
    assert table["provenance"].to_dict() == {"0": "human:ann", "1": "model:net@1", "2": "human:Rev", "3": "", "4": ""}
    assert table["confidence"].to_dict() == {"0": "", "1": "0.9", "2": "", "3": "", "4": ""}
    assert table["saliency"].to_dict() | {"2": ""} == {"0": "m0.png", "1": "m1.png", "2": "", "3": "", "4": ""}
    assert np.array_equal(read_saliency(tmp_path / "set" / table.loc["2", "saliency"]).numpy(), mask((1, 1, 5, 5)))
    assert int(manifest.machine_made.sum()) == 1


def test_other_columns_of_maps_are_found_from_the_export_too(tmp_path, joined):
    """The root of an export beside the images is the folder above both."""
    folder = machine_drafts(tmp_path / "set")
    lines = [
        "id,path,label,split,saliency,net,net_provenance,site",
        "0,0.png,cat,train,m0.png,m1.png,model:net@1,m2.png",
    ]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    collection = open_collection(folder, mode="review")
    page = joined(collection, "Rev")
    page.save(page.tasks()[0]["id"], answer=None, shapes=[box(1, 1, 5, 5)], review="edit", draft=0)
    export_to(collection, tmp_path / "reviewed")
    net = Manifest.read(tmp_path / "reviewed" / "manifest.csv", tmp_path).with_maps("net")
    assert net.table[["saliency", "site"]].to_numpy().tolist() == [["set/m1.png", "m2.png"]]
    assert net.machine_made.tolist() == [True]


def test_a_column_that_says_whose_maps_are_is_no_draft(tmp_path, joined):
    """What stands in it is who made the maps beside it; it was offered as the map of a person `net_provenance`."""
    folder = machine_drafts(tmp_path / "set")
    lines = ["id,path,label,split,saliency,saliency_net,saliency_net_provenance,saliency_ann",
             "0,0.png,cat,train,,m1.png,model:net@1,m2.png"]  # fmt: skip
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    collection = open_collection(folder, mode="review")
    (task,) = joined(collection, "Rev").tasks()
    assert [(draft["from"], draft["answer"]) for draft in task["drafts"]] == [("model:net@1", "cat"), ("ann", "cat")]
