"""Files of a study that break, go or change after they were answered: the export goes on, and says what it left out."""

from __future__ import annotations

import io
import json
import uuid
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from annotate_page import BOX, write_images
from command import salign
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotate.records import read_annotation
from salign.annotate.web.owner import zipped
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.errors import SalignError

SHOWN = [[30, 40]]


def answer_all(collection, page, **said):
    """A box on every image of 30 x 40."""
    while tasks := page.tasks():
        page.save(tasks[0]["id"], **{"sizes": SHOWN} | said)


@pytest.fixture
def changed(photos, opened, joined, tmp_path):
    """All six are answered; then only 4, twice as large, and 5 are left as they should be."""
    collection = opened()
    answer_all(collection, joined(collection, "Ann"))
    (photos / "0.png").unlink()
    (photos / "1.png").write_bytes(b"no picture")
    (tmp_path / "x.png").write_bytes((photos / "5.png").read_bytes())
    (photos / "2.png").unlink()
    (photos / "2.png").symlink_to(tmp_path / "x.png")
    Image.new("RGB", (30, 40)).save(photos / "3.png")
    Image.open(photos / "4.png").resize((80, 60)).save(photos / "4.png")
    return collection


WHY = {
    "0.png": "no such file: 0.png",
    "1.png": "the file is damaged or of another kind",
    "2.png": "2.png leaves the folder of the images",
    "3.png": "marked at 40 x 30 pixels, and the image has 30 x 40 now",
}


def test_what_cannot_be_read_is_listed_and_the_rest_is_exported(changed, tmp_path):
    done = export_to(changed, tmp_path / "out")
    listed = pd.read_csv(tmp_path / "out" / "left_out.csv", dtype=str).set_index("path")
    assert sorted(listed.index) == sorted(WHY)
    for path, why in WHY.items():
        assert why in listed.loc[path, "why"]
        assert str(changed.catalog.root) not in listed.loc[path, "why"]
    assert (done.answers, done.images, done.maps, done.unlabelled) == (6, 2, 2, [])
    manifest = Manifest.read(tmp_path / "out" / "manifest.csv")
    assert manifest.table["id"].tolist() == ["4.png", "5.png"]
    maps = [read_saliency(manifest.saliency_path(k)).numpy() for k in range(2)]
    expected = np.zeros((30, 40), np.float32)
    expected[3:9, 2:12] = 1  # BOX
    assert np.array_equal(maps[1], expected)
    assert np.array_equal(maps[0], expected.repeat(2, 0).repeat(2, 1)), "marks go with an image that was enlarged"


def test_every_answer_is_in_the_other_files(changed, tmp_path):
    export_to(changed, tmp_path / "out")
    assert sorted(pd.read_csv(tmp_path / "out" / "annotations.csv")["images"]) == [f"{k}.png" for k in range(6)]
    entries = json.loads((tmp_path / "out" / "shapes.json").read_text())["annotations"]
    assert {(one["image"], one["width"], one["height"]) for one in entries} == {(f"{k}.png", 40, 30) for k in range(6)}
    assert all(one["shapes"][0]["points"] == BOX["points"] for one in entries)
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {one["file_name"][-5:]: (one["width"], one["height"]) for one in coco["images"]} == {
        "4.png": (80, 60), "5.png": (40, 30),
    }  # fmt: skip
    assert [one["bbox"] for one in coco["annotations"]] in (
        [[4, 6, 20, 12], [2, 3, 10, 6]],
        [[2, 3, 10, 6], [4, 6, 20, 12]],
    )


def test_the_archive_of_the_page_goes_on_too(changed):
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(changed)))) as archive:
        table = pd.read_csv(archive.open("exported/manifest.csv"), dtype=str)
        left = pd.read_csv(archive.open("exported/left_out.csv"), dtype=str)
    assert (table["path"].tolist(), sorted(left["path"])) == (["4.png", "5.png"], sorted(WHY))


def test_the_command_says_it(photos, opened, joined, tmp_path):
    collection = opened()
    answer_all(collection, joined(collection, "Ann"))
    collection.store.close()
    (photos / "1.png").write_bytes(b"")
    printed = salign("annotate", photos, "--export", tmp_path / "out").out.replace("\n", " ")
    assert "left out, since they cannot be read or were changed: 1 files, first 1.png (" in printed
    assert "left_out.csv, and the answers in annotations.csv and shapes.json" in printed
    assert "wrote 6 answers" in printed
    (photos / "0.png").unlink()  # of a study without a manifest it is no image any more
    printed = salign("annotate", photos, "--export", tmp_path / "out").out.replace("\n", " ")
    assert "left out: 1 answers on images that the study no longer has" in printed
    assert Manifest.read(tmp_path / "out" / "manifest.csv").table["id"].tolist() == ["2.png", "3.png", "4.png", "5.png"]


def test_an_export_of_a_study_that_is_not_there_begins_none(photos, tmp_path):
    before = sorted(photos.rglob("*"))
    said = salign("annotate", photos, "--export", tmp_path / "out", code=2).err.replace("\n", " ")
    assert f"{photos / 'annotations'}: nobody has annotated here yet. Next: salign annotate {photos}" in said
    assert sorted(photos.rglob("*")) == before
    said = salign("annotate", tmp_path / "gone", "--export", tmp_path / "out", code=2).err
    assert "no such folder" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def listed(tmp_path):
    """Four images with a manifest that knows maps of two."""
    folder = write_images(tmp_path / "set", 4)
    for name in ("m0.png", "m1.png"):
        Image.fromarray(np.full((30, 40), 255, np.uint8)).save(folder / name)
    rows = ["0,0.png,cat,train,m0.png,ann", "1,1.png,dog,train,m1.png,ann", "2,2.png,cat,val,,", "3,3.png,dog,val,,"]
    (folder / "manifest.csv").write_text("\n".join(["id,path,label,split,saliency,provenance", *rows]))
    return folder


def test_a_missing_file_of_a_manifest_stops_neither_study_nor_export(listed, joined, tmp_path):
    (listed / "2.png").unlink()
    (listed / "m1.png").unlink()
    collection = open_collection(listed, unmarked=True)
    assert collection.broken.look().keys() == {"2.png"}
    page = joined(collection, "Ann")
    answer_all(collection, page, answer="dog")
    assert page.call("POST", "/api/next", json={})["finished"] is True
    export_to(collection, tmp_path / "out")
    left = pd.read_csv(tmp_path / "out" / "left_out.csv", dtype=str)
    assert left[["id", "path"]].to_numpy().tolist() == [["1", "m1.png"], ["2", "2.png"]]
    table = Manifest.read(tmp_path / "out" / "manifest.csv").table.set_index("id")
    assert table["saliency"].fillna("").tolist() == ["set/m0.png", "", "out/maps/all/3.png"]
    assert table["label"].tolist() == ["cat", "dog", "dog"]


def test_a_study_whose_images_are_all_missing_is_refused_and_not_begun(listed, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SalignError, match=r"4 faults|6 faults"):
        open_collection(tmp_path / "empty", manifest=listed / "manifest.csv")
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_map_of_an_accepted_draft_that_is_gone_is_left_out_of_its_row(listed, joined, tmp_path):
    collection = open_collection(listed, mode="review")
    page = joined(collection, "Rev")
    while tasks := page.tasks():
        page.save(tasks[0]["id"], answer=None, shapes=[], review="accept", draft=0, sizes=SHOWN)
    (listed / "m0.png").write_bytes(b"")
    done = export_to(collection, tmp_path / "out")
    assert (done.answers, done.maps) == (2, 1)
    assert list(done.unreadable) == ["m0.png"]
    table = Manifest.read(tmp_path / "out" / "manifest.csv").table.set_index("id")
    assert table["saliency"].fillna("").tolist() == ["", "out/maps/all/1.png", "", ""]
    assert np.array_equal(read_saliency(tmp_path / table.loc["1", "saliency"]).numpy(), np.ones((30, 40)))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([[30, 40], [30, 40]], "sizes: expected one for each of 1 images, got 2"),
        ([[30]], "sizes.0: List should have at least 2 items"),
        ([[0, 40]], "sizes.0.0: Input should be greater than or equal to 1"),
        ("30x40", "sizes: Input should be a valid list"),
    ],
)
def test_sizes_are_checked(sizes, words, opened, joined):
    page = joined(opened(), "Ann")
    reply = page.save(page.tasks()[0]["id"], 400, sizes=sizes)
    assert words in str(reply)


def test_a_save_of_an_older_page_is_the_same_when_it_comes_again(opened, joined):
    """It says no sizes, and an older server kept it without the field."""
    collection = opened()
    page = joined(collection, "Ann")
    task, key = page.tasks()[0]["id"], str(uuid.uuid4())
    page.save(task, key=key)
    (kept,) = collection.store.revisions(int(task))
    assert "sizes" not in kept.body
    assert page.save(task, key=key)["revision"] == 1
    assert len(collection.store.revisions(int(task))) == 1


def test_what_cannot_be_shown_takes_nothing_of_an_invite(tmp_path):
    """12 images can be read and 8 cannot; whoever joins gets 5, as the invite says."""
    folder = write_images(tmp_path / "set", 12)
    for number in range(12, 20):
        (folder / f"{number}.png").write_bytes(b"no picture")
    collection = open_collection(folder, classes=["cat", "dog"], require_map=False)
    person = collection.links.join(collection.links.make_invite("class 7", images=5).id, "Ann")
    left = []
    while tasks := collection.next_tasks(person, [])["tasks"]:
        body = {"task": tasks[0]["id"], "base": 0, "elapsed_ms": 1.0, "answer": "cat"}
        collection.save(person, str(uuid.uuid4()), read_annotation(body, 100))
        left.append(collection.images_left(person, collection.store.tasks(person.id), {}))
    answered = [task for task in collection.store.tasks(person.id) if task.revision]
    assert len(answered) == 5
    assert left == [3, 2, 1, 0, 0]
    reply = collection.next_tasks(person, [])
    assert (reply["progress"], reply["finished"]) == ({"done": 5, "total": 5}, True)
