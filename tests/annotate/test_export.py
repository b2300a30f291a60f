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

from annotate_page import BOX, STROKE, all_tasks, box, mask, owner_of, write_images
from salign import __version__
from salign.annotate.answer_view import draw_answer, view_unit
from salign.annotate.broken import Unshown
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotate.rows import Revision
from salign.annotate.splits import draw_splits
from salign.annotate.study import Export
from salign.annotate.summary import summarise
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.maps.aggregate import AGGREGATES


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


def test_a_gold_image_is_right_in_the_table_as_on_the_page_of_the_owner(photos, joined, tmp_path):
    """Ann is told and corrects herself, Bob corrects himself the other way, Cy skips first, and Di only skips."""
    gold = {f"{n}.png": "dog" for n in range(6)}
    collection = open_collection(
        photos, classes=["cat", "dog"], gold=gold, gold_feedback=True, require_map=False, annotators_per_image=4
    )
    said = {"Ann": ["cat", "dog"], "Bob": ["dog", "cat"], "Cy": [None, "cat", "dog"], "Di": [None]}
    for name, answers in said.items():
        page = joined(collection, name)
        for task in all_tasks(page):
            for base, answer in enumerate(answers):
                page.save(task["id"], answer=answer, base=base, skipped="too dark" if answer is None else None)
    export_to(collection, tmp_path / "export")
    with (tmp_path / "export" / "annotations.csv").open(newline="") as file:
        counts = Counter((row["annotator"], row["right"]) for row in csv.DictReader(file))
    assert counts == {("Ann", "False"): 6, ("Bob", "True"): 6, ("Cy", "False"): 6, ("Di", ""): 6}
    rows = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert [(row["gold_right"], row["gold_seen"]) for row in rows] == [(0, 6), (6, 6), (0, 6), (0, 0)]


def test_an_image_that_became_gold_later_is_right_by_the_answer_that_counts(photos, joined, tmp_path):
    page = joined(collection := open_collection(photos, classes=["cat", "dog"]), "Ann")
    for task in all_tasks(page):
        page.save(task["id"], answer="cat")
        page.save(task["id"], answer="dog", base=1)
    again = open_collection(photos, classes=["cat", "dog"], gold={"0.png": "dog"}, out=collection.folder)
    export_to(again, tmp_path / "export")
    with (tmp_path / "export" / "annotations.csv").open(newline="") as file:
        rights = {row["images"]: row["right"] for row in csv.DictReader(file)}
    assert rights == {f"{n}.png": "" for n in range(6)} | {"0.png": "True"}


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
    (out / "maps" / ".DS_Store").touch()
    export_to(annotated, out)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("dear")
    with pytest.raises(SalignError, match="something else than an export"):
        export_to(annotated, tmp_path / "thesis")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "photos", "thesis"]


@pytest.mark.parametrize("name", ["notes.txt", "maps/all/notes.txt", "runs/net/best.pt"])
def test_a_file_of_the_user_among_those_of_an_earlier_export_is_kept(annotated, tmp_path, name):
    out = tmp_path / "export"
    export_to(annotated, out)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("dear")
    with pytest.raises(SalignError, match=f"no export has the file {name}"):
        export_to(annotated, out)
    assert (out / name).read_text() == "dear"


def test_marks_that_were_imported_are_no_earlier_export(annotated, tmp_path):
    (tmp_path / "import").mkdir()
    (tmp_path / "import" / "shapes.json").write_text("{}")
    with pytest.raises(SalignError, match="something else than an export"):
        export_to(annotated, tmp_path / "import")


def test_an_earlier_export_comes_back_if_the_new_one_cannot_be_moved(annotated, tmp_path, monkeypatch):
    out = tmp_path / "export"
    export_to(annotated, out)
    before, move = sorted(out.rglob("*")), Path.rename

    def rename(path, target):
        if path.name.endswith(".partial"):
            raise OSError("no room")
        return move(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="no room"):
        export_to(annotated, out)
    assert sorted(out.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "photos"]


def test_an_accepted_picture_is_in_coco(tmp_path, joined):
    folder = write_images(tmp_path / "set", 1)
    values = np.uint8(255 * mask((4, 4, 20, 20), size=(60, 80)))
    values[0] = 90  # faint: below the half of grey from which on COCO has a pixel
    Image.fromarray(values).save(folder / "map.png")
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\na,0.png,cat,train,map.png\n")
    collection = open_collection(folder, mode="review")
    page = joined(collection, "Rev")
    page.save(page.tasks()[0]["id"], answer=None, shapes=[], review="accept", draft=0)
    export_to(collection, tmp_path / "export")
    coco = json.loads((tmp_path / "export" / "coco.json").read_text())
    assert [(one["area"], one["bbox"], one["segmentation"]["size"]) for one in coco["annotations"]] == [
        (64, [2, 2, 8, 8], [30, 40])
    ]


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
    readme = (photos / "exported" / "README.txt").read_text()
    assert "Unpack the archive in the folder of the images" in readme
    assert [name for name in names if "maps/" not in name and name.split("/")[1] not in f"{readme}README.txt"] == []
    assert {"differing.csv", "left_out.csv", "manifest.csv.root"} <= set(readme.split())
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
