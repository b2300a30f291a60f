"""Splits that a seed draws, and those and labels that folders or a manifest give: how an export keeps them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter

import pytest

from annotate_page import all_tasks, box, unit_of, write_images
from command import salign
from salign.annotate.export import export_to
from salign.annotate.opening import open_collection
from salign.annotate.splits import draw_splits
from salign.annotate.web.owner import INSIDE, zipped
from salign.data.manifest import Manifest
from salign.errors import SalignError

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def rows(**labels: int) -> list[dict[str, str]]:
    return [{"id": f"{label}{k}", "label": label} for label, count in labels.items() for k in range(count)]


def counts(images: list[dict[str, str]], shares: dict[str, float], seed: int = 0) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for row, split in zip(images, draw_splits(images, shares, seed), strict=True):
        found.setdefault(row["label"], Counter())[split] += 1
    return {label: dict(number) for label, number in found.items()}


def test_shares_hold_within_each_label_up_to_the_largest_remainder() -> None:
    """Of 13: 9.1, 1.3 and 2.6, and the one that is left goes to .6; of 10 nothing is left."""
    assert counts(rows(a=10, b=13), SHARES) == {
        "a": {"train": 7, "val": 1, "test": 2},
        "b": {"train": 9, "val": 1, "test": 3},
    }


def test_every_split_with_a_share_gets_an_image_where_there_are_enough() -> None:
    """Of 4 the remainders would leave nothing for val: train has most and gives one."""
    assert counts(rows(a=3, b=4), SHARES | {"none": 0.0}) == {
        "a": {"train": 1, "val": 1, "test": 1},
        "b": {"train": 2, "val": 1, "test": 1},
    }


def test_seed_and_id_decide_and_the_order_of_rows_does_not() -> None:
    images = rows(a=20, b=20)
    drawn = dict(zip((row["id"] for row in images), draw_splits(images, SHARES, 3), strict=True))
    backwards = images[::-1]
    assert dict(zip((row["id"] for row in backwards), draw_splits(backwards, SHARES, 3), strict=True)) == drawn
    assert draw_splits(images, SHARES, 4) != draw_splits(images, SHARES, 3)


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


def test_an_answer_that_is_a_label_but_for_its_case_is_refused_and_no_study_begun(sorted_photos):
    with pytest.raises(SalignError, match=r"--class Real: the images have the label .real., .* give --class real"):
        open_collection(sorted_photos, classes=["Real", "fake"])
    assert not (sorted_photos / "annotations").exists()


def test_what_follows_a_merge_can_be_pasted(sorted_photos, joined):
    spaced = sorted_photos.rename(sorted_photos.with_name("my photos"))
    collection = open_collection(spaced, classes=["real", "fake"])
    answer_two(collection, joined)
    collection.store.close()
    assert salign("annotate", spaced, "--merge").last.endswith(f"Next: salign init '{spaced}'")


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
