"""What is exported of reviewed drafts, whether people or machines drew them."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from annotate_page import all_tasks, box, mask, unit_of, write_images
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.maps.rasterize import rasterize
from salign.maps.shapes import shape_from_json


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
