"""What is exported: manifest, maps, shapes and COCO, from the page's saves to what training reads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
import threading
import zipfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from annotate_page import BOX, owner_of, write_images
from command import salign
from salign import __version__
from salign.annotate.answer_view import draw_answer, view_unit
from salign.annotate.broken import Unshown
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotate.rows import Revision
from salign.annotate.splits import draw_splits
from salign.annotate.study import Export
from salign.annotate.summary import summarise
from salign.annotate.web.owner import INSIDE, zipped
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.maps.aggregate import AGGREGATES
from salign.maps.rasterize import rasterize
from salign.maps.shapes import shape_from_json

STROKE = {"kind": "stroke", "points": [[30, 20]], "radii": [4], "times": [12]}


def box(x0, y0, x1, y1, **more):
    return {"kind": "box", "points": [[x0, y0], [x1, y1]], **more}


def mask(*boxes, size=(30, 40)):
    painted = np.zeros(size, dtype=np.float32)
    for x0, y0, x1, y1 in boxes:
        painted[y0:y1, x0:x1] = 1
    return painted


def all_tasks(page):
    while tasks := page.tasks():
        yield from tasks[:1]


def unit_of(collection, task):
    return collection.store.task(int(task["id"]), 1 if collection.store.task(int(task["id"]), 1) else 2).unit


@pytest.fixture
def annotated(opened, joined):
    """By Ann and Bob: 0 is marked by both, 1 by Ann, 2 is blank, 3 and 5 are skipped, on 4 they disagree."""
    collection = opened(annotators_per_image=2)
    for name in ("Ann B.", "Bob"):
        page, ann = joined(collection, name), name != "Bob"
        for task in all_tasks(page):
            image = unit_of(collection, task)[0]
            if image == "0":
                page.save(
                    task["id"], shapes=[box(0, 0, 10, 10)] if ann else [box(5, 0, 15, 10), box(0, 0, 6, 30, erase=True)]
                )
            elif image == "1" and ann:
                page.save(task["id"], answer="dog", shapes=[box(1, 1, 50, 4), STROKE])
            elif image == "2" and ann:
                page.save(task["id"], shapes=[], blank=True)
            elif image == "3":
                page.save(task["id"], answer=None, shapes=[], skipped='=1+1 "quoted", <b>')
            elif image == "4":
                page.save(task["id"], answer="cat" if ann else "dog")
            else:
                page.save(task["id"], answer=None, shapes=[], skipped="not yet")
    return collection


def test_the_manifest_has_labels_splits_and_a_column_of_maps_for_each(annotated, tmp_path):
    done = export_to(annotated, tmp_path / "export")
    assert (done.images, done.maps, done.answers, done.root) == (3, 4, 12, tmp_path)
    assert sorted(done.unlabelled) == ["3.png", "4.png", "5.png"]
    manifest = Manifest.read(tmp_path / "export" / "manifest.csv", tmp_path)
    table = manifest.table.set_index("id")
    ann, bob = (column for column in table.columns if column.startswith("saliency_"))
    assert bob == "saliency_Bob"
    assert ann.startswith("saliency_Ann_B-")
    assert dict(table["label"]) == {"0.png": "cat", "1.png": "dog", "2.png": "cat"}
    assert manifest.image_path(0).read_bytes() == (tmp_path / "photos" / "0.png").read_bytes()

    def values(image, column="saliency"):
        return read_saliency(tmp_path / table.loc[image, column]).numpy()

    first, second = mask((0, 0, 10, 10)), mask((6, 0, 15, 10))
    assert np.array_equal(values("0.png", ann), first)
    assert np.array_equal(values("0.png", bob), second)
    assert np.allclose(values("0.png"), (first + second) / 2, atol=1e-4)
    assert values("1.png")[1:4, 1:].min() == 1
    assert values("1.png")[20, 30] == 1
    assert values("2.png").max() == 0, "blank is a map of zeros"
    assert table["saliency"].notna().all()
    assert table[bob].isna().tolist() == [False, True, True], "missing is no map"
    with Image.open(tmp_path / table.loc["0.png", "saliency"]) as picture:
        assert picture.mode == "I;16"
    assert manifest.with_maps(bob).saliency_path(0) is not None


@pytest.mark.parametrize(("method", "expected"), [("union", 150), ("majority", 40), ("mean", 95), ("weighted", 95)])
def test_maps_are_aggregated_as_asked(annotated, tmp_path, method, expected):
    export_to(annotated, tmp_path / "export", method)
    table = Manifest.read(tmp_path / "export" / "manifest.csv", tmp_path).table.set_index("id")
    values = read_saliency(tmp_path / table.loc["0.png", "saliency"]).numpy()
    assert values.sum() == pytest.approx(expected, abs=3)


@pytest.mark.parametrize(("grain", "expected"), [("features", 32), ("area", 36), ("boundary", 36)])
def test_maps_are_as_coarse_as_asked_and_smoothed(photos, tmp_path, joined, grain, expected):
    collection = open_collection(photos, classes=["cat"], export={"grain": grain, "sigma": 1.5})
    page = joined(collection, "Ann")
    task = page.tasks()[0]["id"]
    page.save(task, shapes=[box(10, 10, 16, 16), box(12, 12, 14, 14, erase=True)])
    export_to(collection, tmp_path / "export")
    (path,) = (tmp_path / "export" / "maps" / "Ann").iterdir()
    values = read_saliency(path).numpy()
    assert values.sum() == pytest.approx(expected, abs=0.05), "smoothing keeps the sum, away from the border"
    assert 0 < values[8, 13] < values[11, 13] < 1
    (whole,) = (tmp_path / "export" / "maps" / "all").iterdir()
    assert np.array_equal(read_saliency(whole).numpy(), values)


def test_every_way_to_aggregate_can_be_chosen():
    assert set(get_args(Export.model_fields["aggregate"].annotation)) == set(AGGREGATES)


def test_shapes_answers_and_coco_tell_the_same(annotated, tmp_path):
    from pycocotools.coco import COCO

    out = tmp_path / "export"
    export_to(annotated, out)
    entries = json.loads((out / "shapes.json").read_text())["annotations"]
    assert len(entries) == 12
    drawn = {(entry["image"], entry["annotator"]): entry for entry in entries}
    assert drawn["1.png", "Ann B."]["shapes"][1] == {**STROKE, "erase": False}
    assert (drawn["0.png", "Bob"]["width"], drawn["0.png", "Bob"]["height"]) == (40, 30)
    assert drawn["3.png", "Bob"]["skipped"] == '=1+1 "quoted", <b>'
    assert drawn["2.png", "Ann B."]["blank"] is True
    with (out / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert Counter(row["answer"] for row in rows) == {"cat": 4, "dog": 2, "": 6}
    assert {row["seconds"] for row in rows} == {"5.0"}
    assert {"""'=1+1 "quoted", <b>"""} < {row["skipped"] for row in rows}, "a spreadsheet shows it as text"
    coco = COCO(out / "coco.json")
    names = {image["id"]: image["file_name"] for image in coco.dataset["images"]}
    painted = {}
    for one in coco.dataset["annotations"]:
        name = names[one["image_id"]]
        painted[name] = painted.get(name, np.zeros((30, 40))) + coco.annToMask(one)
    assert set(painted) == {"photos/0.png", "photos/1.png", "photos/4.png"}
    assert np.array_equal(painted["photos/0.png"], mask((0, 0, 10, 10)) + mask((6, 0, 15, 10)))


def test_no_text_of_an_annotator_is_a_formula_in_a_spreadsheet(photos, joined, tmp_path):
    collection = open_collection(photos, classes=["+", "-"], require_map=False)
    page = joined(collection, "=cmd|' /C calc'!A0")
    texts = ["@SUM(1)", "-2+3", "\t=1", "a;=1+1;b", "'=1", "5", "\uff1d1"]
    versions = [*texts, ""]
    for number, task in enumerate(all_tasks(page)):
        page.save(task["id"], answer="-", shapes=[], version=versions[number], started="+1")
    export_to(collection, tmp_path / "export")
    with (tmp_path / "export" / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["annotator"] for row in rows} == {"'=cmd|' /C calc'!A0"}
    assert {row["answer"] for row in rows} == {"'-"}
    assert [row["page"] for row in rows] == ["'@SUM(1)", "'-2+3", "'\t'=1", "a;'=1+1;b", "''=1", "5"]
    assert {row["started"] for row in rows} == {"'+1"}
    assert {row["seconds"] for row in rows} == {"5.0"}
    manifest = Manifest.read(tmp_path / "export" / "manifest.csv", tmp_path)
    assert set(manifest.table["label"]) == {"-"}, "what a program reads is as it was said"
    entries = json.loads((tmp_path / "export" / "shapes.json").read_text())["annotations"]
    assert {entry["annotator"] for entry in entries} == {"=cmd|' /C calc'!A0"}


def test_an_export_replaces_an_earlier_one_and_nothing_else(annotated, tmp_path):
    out = tmp_path / "export"
    export_to(annotated, out)
    (out / "maps" / "old.png").write_bytes(b"")
    export_to(annotated, out)
    assert not (out / "maps" / "old.png").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("dear")
    with pytest.raises(SalignError, match="something else than an export"):
        export_to(annotated, tmp_path / "thesis")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "photos", "thesis"]


def test_nothing_annotated_is_said(opened, joined, tmp_path):
    collection = opened()
    with pytest.raises(SalignError, match="nothing has been annotated"):
        export_to(collection, tmp_path / "export")
    assert not (tmp_path / "export").exists()
    owner_of(collection, joined(collection)).call("POST", "/api/owner/export", 400, json={})


def test_the_archive_unpacks_beside_the_images_and_the_study_stays_as_it_was(annotated, opened, joined, photos):
    """As its README says: unpacked in the folder of the images, while most of them are not annotated yet."""
    reply = owner_of(annotated, joined(annotated)).call("POST", "/api/owner/export", json={"aggregate": "union"})
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        archive.extractall(photos)
    files = {"manifest.csv", "annotations.csv", "shapes.json", "coco.json", "README.txt"}
    assert {f"exported/{name}" for name in files} <= set(names)
    assert all(name.startswith("exported/") for name in names)
    assert "Unpack the archive in the folder of the images" in (photos / "exported" / "README.txt").read_text()
    manifest = Manifest.read(photos / "exported" / "manifest.csv", photos)
    assert {"0.png", "1.png", "2.png"} <= set(manifest.table["id"])
    assert read_saliency(manifest.saliency_path(0)).sum() == 150
    assert set(opened().units) == {f"{n}.png" for n in range(6)}, "started again, it asks about the same images"
    owner_of(annotated, joined(annotated)).call("POST", "/api/owner/export", 400, json={"aggregate": "magic"})


def test_no_annotator_takes_the_place_of_another_or_of_everybody(opened, joined, tmp_path):
    """Each draws a box of its own on the same image, under names that mean something or are nearly the same."""
    marked = hashlib.blake2b(b"Ann B.", digest_size=4).hexdigest()
    names = ["all", "ALL", "provenance", "Ann", "Ann_provenance", "saliency", "con", f"Ann_B-{marked}", "Ann B.", "ann",
             "..", "Ann.png"]  # fmt: skip
    collection = opened(annotators_per_image=len(names), export={"aggregate": "union"})
    for number, name in enumerate(names):
        page = joined(collection, name)
        for task in all_tasks(page):
            if collection.store.task(int(task["id"]), number + 1).unit == "0.png":
                page.save(task["id"], shapes=[box(3 * number, 0, 3 * number + 3, 7)])
                break
            page.save(task["id"], answer=None, shapes=[], skipped="not this one")
    out = tmp_path / "export"
    done = export_to(collection, out)
    manifest = Manifest.read(out / "manifest.csv", tmp_path)
    row = manifest.table.set_index("id").loc["0.png"]
    assert read_saliency(tmp_path / row["saliency"]).numpy().sum() == 7 * 36, "of everybody"
    columns = [done.columns[number + 1] for number in range(len(names))]
    assert len({column.lower() for column in columns}) == len(names)
    for number, column in enumerate(columns):
        own = read_saliency(tmp_path / row[column]).numpy()
        assert np.array_equal(own, mask((3 * number, 0, 3 * number + 3, 7))), names[number]
    folders = [path.name for path in (out / "maps").iterdir()]
    assert len({name.lower() for name in folders}) == len(names) + 1
    assert "con" not in folders, "which Windows cannot unpack"


def test_labels_splits_and_columns_of_the_manifest_stay(tmp_path, joined):
    folder = write_images(tmp_path / "set", 3)
    (folder / "manifest.csv").write_text(
        "id,path,label,split,saliency,camera\n../../x,0.png,cat,val,,phone\nb,1.png,dog,train,,\nB,2.png,dog,odd,,web\n"
    )
    collection = open_collection(folder, classes=["dog", "cat", "cow"])
    page = joined(collection, "../../etc")
    for task in all_tasks(page):
        page.save(task["id"], answer="cow")
    export_to(collection, tmp_path / "out" / "export")
    manifest = Manifest.read(tmp_path / "out" / "export" / "manifest.csv", tmp_path)
    table = manifest.table
    assert table["label"].tolist() == ["cat", "dog", "dog"]
    assert table["split"].tolist() == ["val", "train", "odd"]
    assert table["camera"].fillna("").tolist() == ["phone", "", "web"]
    assert table["saliency"].nunique() == 3
    inside = {path.name for path in (tmp_path / "out" / "export" / "maps").iterdir()}
    assert len(inside) == 2
    assert all(".." not in name for name in table["saliency"])


def test_of_a_pair_the_chosen_image_gets_the_class_asked_for(tmp_path, joined):
    folder = write_images(tmp_path / "pairs", 2)
    collection = open_collection(folder, mode="pair", classes=["real", "fake"])
    page = joined(collection, "Ann")
    (task,) = page.tasks()
    page.save(task["id"], answer=None, side=1, shapes=[{**BOX, "image": 1}, {**box(20, 20, 30, 30), "image": 0}])
    chosen = collection.store.tasks(1)[0].images[1]
    export_to(collection, tmp_path / "export")
    table = Manifest.read(tmp_path / "export" / "manifest.csv", tmp_path).table.set_index("id")
    assert table.loc[chosen, "label"] == "fake"
    assert sorted(table["label"]) == ["fake", "real"]
    expected = mask((2, 3, 12, 9))
    assert np.array_equal(read_saliency(tmp_path / table.loc[chosen, "saliency"]).numpy(), expected)
    entries = json.loads((tmp_path / "export" / "shapes.json").read_text())["annotations"]
    assert {entry["image"]: entry["chosen"] for entry in entries}[chosen] is True
    assert len(entries) == 2


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


EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier" / "annotations"


@pytest.fixture
def earlier(tmp_path):
    """The study that version 0.1 kept and exported: three people, six images, of which one grew and one broke."""
    folder = write_images(tmp_path / "photos", 6)
    Image.fromarray(np.full((30, 40), 200, np.uint8)).save(folder / "m.png")
    Image.new("RGB", (80, 60)).save(folder / "3.png")
    (folder / "5.png").write_bytes(b"gone")
    (folder / "manifest.csv").write_bytes((EARLIER / "images.csv").read_bytes())
    (folder / "annotations").mkdir()
    (folder / "annotations" / "study.yaml").write_bytes((EARLIER / "study.yaml").read_bytes())
    with closing(sqlite3.connect(folder / "annotations" / "annotations.db")) as database:
        database.executescript((EARLIER / "annotations.sql").read_text())
    collection = open_collection(folder)
    yield collection
    collection.store.close()


def test_a_study_of_version_0_1_exports_the_same_files(earlier, tmp_path):
    out = tmp_path / "out"
    export_to(earlier, out)
    for name in ("manifest.csv", "annotations.csv", "left_out.csv", "differing.csv", "coco.json", "shapes.json"):
        written = (out / name).read_text().replace(f'"salign": "{__version__}"', '"salign": "0.1.0"')
        assert written == (EARLIER / name).read_text(), name
    found = []
    for path in sorted((out / "maps").rglob("*.png")):
        values = np.asarray(Image.open(path))
        digest = hashlib.sha256(values.astype("<u2").tobytes()).hexdigest()[:16]
        found.append(
            f"{path.relative_to(out / 'maps').as_posix()} {values.dtype} {values.shape[0]}x{values.shape[1]} {digest}"
        )
    assert found == (EARLIER / "maps.txt").read_text().splitlines()


def test_the_map_of_a_blurred_image_is_made_of_the_windows(opened, joined, tmp_path):
    """Their order and times stand in `shapes.json`; a window that was opened twice counts once."""
    page = joined(opened(mode="reveal"), "Ann")
    clicks = [(8.0, 9.0, 1200.0), (30.0, 20.0, 2500.5), (8.0, 9.0, 4000.0)]
    windows = [{"kind": "stroke", "points": [[x, y]], "radii": [4.0], "times": [at]} for x, y, at in clicks]
    page.save(page.tasks()[0]["id"], shapes=windows)
    collection = page.client.app.state.collection
    export_to(collection, tmp_path / "export")
    (path,) = (tmp_path / "export" / "maps" / "Ann").iterdir()
    rows, columns = np.mgrid[:30, :40] + 0.5
    discs = [np.hypot(columns - x, rows - y) <= 4 for x, y, _ in clicks]
    assert np.array_equal(read_saliency(path).numpy() == 1, discs[0] | discs[1])
    (entry,) = json.loads((tmp_path / "export" / "shapes.json").read_text())["annotations"]
    assert [shape["times"] for shape in entry["shapes"]] == [[1200.0], [2500.5], [4000.0]]
    assert [shape["points"] for shape in entry["shapes"]] == [[[x, y]] for x, y, _ in clicks]


def test_a_study_of_version_0_1_is_seen_by_its_owner(earlier):
    with (EARLIER / "annotations.csv").open() as file:
        lines = [(line["unit"], line["annotator"], line["answer"] or None) for line in csv.DictReader(file)]
    rows = {(row["unit"], row["name"]): row for row in summarise(earlier).answers}
    assert sorted((*key, row["answer"]) for key, row in rows.items() if row["answer"]) == sorted(
        line for line in lines if line[2]
    )
    assert len(rows) == len(lines) == 18
    assert view_unit(earlier, int(rows["d", "Ann B."]["task"]))["answers"][0]["revision"] == 2
    picture = draw_answer(earlier, int(rows["a", "Ann B."]["task"]), 1, 0, 256)
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert opened.size == (40, 30)
    with pytest.raises(Unshown):
        draw_answer(earlier, int(rows["f", "Bob"]["task"]), 1, 0, 256)


@pytest.mark.parametrize("mode", ["single", "pair"])
def test_what_was_saved_is_parsed_once(mode, tmp_path, joined, monkeypatch):
    collection = open_collection(write_images(tmp_path / "set", 4), mode=mode, classes=["cat", "dog"])
    page = joined(collection, "Ann")
    for task in all_tasks(page):
        said = {"answer": None, "side": 0, "shapes": [{**BOX, "image": 0}, {**STROKE, "image": 1}]}
        page.save(task["id"], **(said if mode == "pair" else {}))
    parsed = Counter()
    monkeypatch.setattr(Revision, "body", property(lambda self: parsed.update([self.task]) or json.loads(self.text)))
    done = export_to(collection, tmp_path / "out")
    assert (done.maps, set(parsed.values())) == (4, {1})
    assert len(parsed) == done.answers == (2 if mode == "pair" else 4)


def test_exports_while_people_save_are_whole(opened, joined, tmp_path):
    collection = opened(annotators_per_image=8)
    stop = threading.Event()

    def work(name):
        page = joined(collection, name)
        while (tasks := page.tasks()) and not stop.is_set():
            page.save(tasks[0]["id"])

    threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(6)]
    joined(collection, "first").save(joined(collection, "first").tasks()[0]["id"])
    for thread in threads:
        thread.start()
    answers = []
    for number in range(3):
        out = tmp_path / f"export{number}"
        done = export_to(collection, out)
        answers.append(done.answers)
        entries = json.loads((out / "shapes.json").read_text())["annotations"]
        assert len(entries) == done.answers
        table = Manifest.read(out / "manifest.csv", tmp_path).table
        maps = sum(table[column].notna().sum() for column in table.columns if column.startswith("saliency_"))
        assert maps == done.answers, "every answer has its map, none is half there"
    stop.set()
    for thread in threads:
        thread.join()
    assert answers == sorted(answers)


class TestSplits:
    def rows(self, count, label="a"):
        return [{"id": f"{label}{number}", "label": label} for number in range(count)]

    def test_shares_hold_within_each_label(self):
        shares = {"train": 0.6, "val": 0.2, "test": 0.2}
        rows = self.rows(100) + self.rows(10, "b") + self.rows(3, "c") + self.rows(1, "d")
        found = list(zip(rows, draw_splits(rows, shares, 0), strict=True))
        counts = {label: Counter(split for row, split in found if row["label"] == label) for label in "abcd"}
        assert counts["a"] == {"train": 60, "val": 20, "test": 20}
        assert counts["b"] == {"train": 6, "val": 2, "test": 2}
        assert counts["c"] == {"train": 1, "val": 1, "test": 1}
        assert counts["d"] == {"train": 1}

    def test_the_seed_decides_and_the_order_does_not(self):
        shares = {"train": 0.5, "test": 0.5}
        rows = self.rows(40)
        first = dict(zip((row["id"] for row in rows), draw_splits(rows, shares, 0), strict=True))
        turned = rows[::-1]
        assert dict(zip((row["id"] for row in turned), draw_splits(turned, shares, 0), strict=True)) == first
        assert draw_splits(rows, shares, 1) != draw_splits(rows, shares, 0)


FOLDERS = {
    "train/real/0.png": ("train", "real"),
    "train/fake/1.png": ("train", "fake"),
    "test/real/2.png": ("test", "real"),
    "test/fake/3.png": ("test", "fake"),
}


@pytest.fixture
def sorted_photos(tmp_path):
    """Four images in `SPLIT/CLASS`."""
    loose = write_images(tmp_path / "loose", 4)
    for name in FOLDERS:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (loose / name.rsplit("/", 1)[1]).rename(tmp_path / "photos" / name)
    return tmp_path / "photos"


def answer_two(collection, joined):
    """One image of each split is answered `fake`, whatever it is; the others are skipped."""
    page = joined(collection, "Ann")
    for task in all_tasks(page):
        image = unit_of(collection, task)
        if image in ("train/real/0.png", "test/fake/3.png"):
            page.save(task["id"], answer="fake", shapes=[box(2, 2, 9, 9)])
        else:
            page.save(task["id"], answer=None, shapes=[], skipped="cannot tell")


def test_folders_give_splits_and_labels_and_all_rows_are_kept(sorted_photos, joined, tmp_path):
    """The README's own path: no image moves to another split, no label becomes the answer, none is gone."""
    collection = open_collection(sorted_photos, classes=["real", "fake"])
    answer_two(collection, joined)
    done = export_to(collection, tmp_path / "marked")
    manifest = Manifest.read(tmp_path / "marked" / "manifest.csv")  # without being told its root
    assert manifest.root == tmp_path
    table = manifest.table.set_index("id")
    assert {name: (row.split, row.label) for name, row in table.iterrows()} == FOLDERS
    assert table["answer"].fillna("").to_dict() == {
        "train/real/0.png": "fake",
        "train/fake/1.png": "",
        "test/real/2.png": "",
        "test/fake/3.png": "fake",
    }
    assert table["saliency"].notna().to_dict() == {name: name[-5] in "03" for name in FOLDERS}
    assert done.differing == ["train/real/0.png"]
    with (tmp_path / "marked" / "differing.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["train/real/0.png", "photos/train/real/0.png", "real", "fake"]]


def test_without_classes_the_folders_are_asked_about(sorted_photos):
    assert list(open_collection(sorted_photos).classes) == ["fake", "real"]
    assert open_collection(sorted_photos, out=sorted_photos.parent / "o", folders="none").classes == ()


def test_folders_of_classes_give_labels_and_splits_are_drawn(sorted_photos, joined, tmp_path):
    flat = tmp_path / "flat"
    for name in FOLDERS:
        _, label, file = name.split("/")
        (flat / label).mkdir(parents=True, exist_ok=True)
        (sorted_photos / name).rename(flat / label / file)
    collection = open_collection(flat, classes=["real", "fake"])
    page = joined(collection, "Ann")
    for task in all_tasks(page):
        page.save(task["id"], answer="real", shapes=[box(2, 2, 9, 9)])
    export_to(collection, tmp_path / "marked")
    table = Manifest.read(tmp_path / "marked" / "manifest.csv").table.set_index("id")
    assert table["label"].to_dict() == {
        "real/0.png": "real",
        "fake/1.png": "fake",
        "real/2.png": "real",
        "fake/3.png": "fake",
    }
    assert set(table["answer"]) == {"real"}


def test_answers_to_another_question_do_not_differ_from_the_labels(sorted_photos, joined, tmp_path):
    collection = open_collection(sorted_photos, classes=["sharp", "blurred"])
    page = joined(collection, "Ann")
    for task in all_tasks(page):
        page.save(task["id"], answer="sharp", shapes=[box(2, 2, 9, 9)])
    done = export_to(collection, tmp_path / "marked")
    table = Manifest.read(tmp_path / "marked" / "manifest.csv").table
    assert set(table["label"]) == {"real", "fake"}
    assert set(table["answer"]) == {"sharp"}
    assert done.differing == []
    assert not (tmp_path / "marked" / "differing.csv").exists()


def test_images_without_label_or_answer_are_listed(photos, joined, tmp_path):
    collection = open_collection(photos, classes=["cat", "dog"])
    page = joined(collection, "Ann")
    (task,) = page.tasks()[:1]
    image = unit_of(collection, task)
    page.save(task["id"], answer="cat", shapes=[box(2, 2, 9, 9)])
    done = export_to(collection, tmp_path / "marked")
    with (tmp_path / "marked" / "left_out.csv").open() as file:
        listed = [row[0] for row in csv.reader(file)][1:]
    assert sorted([*listed, image]) == sorted(collection.catalog.pictures)
    assert listed == done.unlabelled


def test_an_archive_says_its_root_too(sorted_photos, joined, tmp_path):
    collection = open_collection(sorted_photos, classes=["real", "fake"], out=tmp_path / "study")
    answer_two(collection, joined)
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(collection)))) as archive:
        archive.extractall(sorted_photos)
    manifest = Manifest.read(sorted_photos / INSIDE / "manifest.csv")
    assert manifest.root == sorted_photos.resolve()
    assert len(manifest) == 4


def test_into_an_older_manifest_goes_the_answer_and_neither_label_nor_split(sorted_photos, joined, tmp_path):
    lines = [f"{name},photos/{name},{label},{split},scanner" for name, (split, label) in FOLDERS.items()]
    older = tmp_path / "older.csv"
    older.write_text("\n".join(["id,path,label,split,device", *lines]) + "\n")
    collection = open_collection(sorted_photos, classes=["real", "fake"], folders="none")
    answer_two(collection, joined)
    collection.store.close()
    printed = salign("annotate", sorted_photos, "--export", tmp_path / "marked", "--into", older).out
    assert "answered otherwise than labelled: 1 images, first train/real/0.png" in printed
    assert "--root" not in printed
    table = Manifest.read(tmp_path / "marked" / "manifest.csv").table.set_index("id")
    assert {name: (row.split, row.label) for name, row in table.iterrows()} == FOLDERS
    assert table["answer"].notna().sum() == 2
    assert set(table["device"]) == {"scanner"}


def test_a_study_of_pairs_that_was_begun_before_folders_counted_keeps_its_pairs(sorted_photos):
    """Units are named by their pairs: answers to other pairs would be lost."""
    begun = open_collection(sorted_photos, classes=["real", "fake"], mode="pair", folders="none")
    pairs = list(begun.units)
    begun.store.close()
    kept = sorted_photos / "annotations" / "study.yaml"
    kept.write_text("".join(line for line in kept.read_text().splitlines(True) if not line.startswith("folders:")))
    assert list(open_collection(sorted_photos).units) == pairs


def test_merged_into_the_manifest_of_the_images(sorted_photos, joined):
    """Labels, splits and columns stay, the former manifest is kept once, and a later merge takes what came since."""
    lines = [f"{name},{name},{label},{split},scanner" for name, (split, label) in FOLDERS.items()]
    manifest = sorted_photos / "manifest.csv"
    manifest.write_text("\n".join(["id,path,label,split,device", *lines]) + "\n")
    before = manifest.read_text()
    collection = open_collection(sorted_photos, classes=["real", "fake"])
    answer_two(collection, joined)
    collection.store.close()
    for _ in range(2):
        printed = salign("annotate", sorted_photos, "--merge").last
        assert printed == f"wrote {manifest}. Next: salign init {sorted_photos}"
        table = Manifest.read(manifest).table.set_index("id")
        assert {name: (row.split, row.label) for name, row in table.iterrows()} == FOLDERS
        assert table["saliency"].notna().sum() == 2
        assert set(table["device"]) == {"scanner"}
        assert (sorted_photos / "manifest-before.csv").read_text() == before
    assert "leave --export and --into out" in salign("annotate", sorted_photos, "--merge", "--export", "x", code=2).err


def test_merged_again_after_marks_were_withdrawn(sorted_photos, joined):
    """The cell that named the map of the first merge is empty, and so is what it said of whose map that was."""
    rows = [f"{name},{name},{label},{split}" for name, (split, label) in FOLDERS.items()]
    (sorted_photos / "manifest.csv").write_text("\n".join(["id,path,label,split", *rows]) + "\n")
    collection = open_collection(sorted_photos, classes=["real", "fake"])
    answer_two(collection, joined)
    collection.store.close()
    salign("annotate", sorted_photos, "--merge")
    collection = open_collection(sorted_photos)
    page = joined(collection, "Ann")
    tasks = page.call("GET", "/api/tasks")["tasks"]
    (task,) = [task["id"] for task in tasks if unit_of(collection, task) == "train/real/0.png"]
    page.save(task, answer=None, shapes=[], skipped="cannot tell", base=1)
    collection.store.close()
    salign("annotate", sorted_photos, "--merge")
    table = Manifest.read(sorted_photos / "manifest.csv").table.set_index("id")
    assert table.index[table["saliency"].notna()].tolist() == ["test/fake/3.png"]
    assert table.index[table["saliency_Ann"].notna()].tolist() == ["test/fake/3.png"]
    assert table.index[table["provenance"].notna()].tolist() == ["test/fake/3.png"]
    assert len(table) == len(FOLDERS)


def test_merged_where_there_was_no_manifest(sorted_photos, joined):
    collection = open_collection(sorted_photos, classes=["real", "fake"])
    answer_two(collection, joined)
    collection.store.close()
    salign("annotate", sorted_photos, "--merge")
    manifest = Manifest.read(sorted_photos / "manifest.csv")
    assert manifest.root == sorted_photos.resolve()
    assert manifest.table["saliency"].notna().sum() == 2
