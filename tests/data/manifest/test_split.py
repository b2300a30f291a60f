"""Splits: every class by its shares, and what belongs together in one."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from references import split
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.split import (
    SHARES,
    _assigned,
    divide,
    groups_of_rows,
    joined,
    read_shares,
    small_classes,
)
from salign.data.manifest.table import NO_SPLIT
from salign.errors import SalignError


@pytest.fixture
def rows(tmp_path):
    """A manifest of labels, and perhaps splits and patients; the picture of row k is k.png."""

    def made(labels, splits=None, multi_label=False, **columns):
        for k in range(len(labels)):
            (tmp_path / f"{k}.png").touch()
        names = [f"{k}.png" for k in range(len(labels))]
        table = pd.DataFrame({"id": names, "path": names, "label": labels, **columns})
        if splits is not None:
            table["split"] = splits
        table.to_csv(tmp_path / "m.csv", index=False)
        return Manifest.read(tmp_path / "m.csv", multi_label=multi_label, unsplit=True)

    return made


def counted(manifest, label):
    table = manifest.table
    return Counter(table["split"][table["label"] == label])


def divided(manifest, columns=(), alike=(), **options):
    return divide(manifest, groups_of_rows(manifest, columns, alike), **options)


def test_each_class_gets_its_shares(rows):
    made = divided(rows(["a"] * 60 + ["b"] * 20))
    assert counted(made, "a") == {"train": 42, "val": 9, "test": 9}
    assert counted(made, "b") == {"train": 14, "val": 3, "test": 3}


@pytest.mark.parametrize(
    ("images", "train", "val", "test"),
    [(3, 1, 1, 1), (4, 2, 1, 1), (5, 3, 1, 1), (7, 5, 1, 1), (20, 14, 3, 3)],
)
def test_a_small_class_is_in_every_split(rows, images, train, val, test):
    assert counted(divided(rows(["a"] * images)), "a") == {"train": train, "val": val, "test": test}


@pytest.mark.parametrize(("groups", "each"), [(3, 10), (4, 10), (3, 1)])
def test_a_class_of_few_large_groups_is_in_every_split(rows, groups, each):
    patients = [f"p{k // each}" for k in range(groups * each)]
    manifest = rows(["a"] * groups * each, patient=patients)
    made = divided(manifest, ["patient"], shares={"train": 0.9, "val": 0.05, "test": 0.05})
    assert counted(made, "a") == {"train": (groups - 2) * each, "val": each, "test": each}


def test_the_seed_decides_which_and_nothing_else_does(rows):
    manifest = rows(["a", "b"] * 20)
    first, again, other = (divided(manifest, seed=seed).table["split"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert Counter(first) == Counter(other) == {"train": 28, "val": 6, "test": 6}


@given(
    groups=st.lists(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True), min_size=1,
                             max_size=4), max_size=25),
    shares=st.sampled_from([SHARES, {"a": 0.5, "b": 0.5}, {"a": 0.8, "b": 0.1, "c": 0.1}]),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_groups_of_several_labels_are_assigned_as_if_each_step_counted_anew(groups, shares, seed):
    counts = [Counter(label for row in group for label in row) for group in groups]
    sizes = [len(group) for group in groups]
    assert _assigned(counts, sizes, shares, seed) == split.assigned(counts, sizes, shares, seed)


class Watched(Counter):
    """Counts how often somebody looks."""

    looks = 0

    def __getitem__(self, label):
        Watched.looks += 1
        return super().__getitem__(label)


def test_ten_times_the_classes_are_ten_times_the_work():
    looks = []
    for classes in (30, 300):
        Watched.looks = 0
        _assigned([Watched([f"c{k % classes}"]) for k in range(classes * 5)], [1] * classes * 5, SHARES, 0)
        looks.append(Watched.looks)
    assert looks[1] == 10 * looks[0]


def test_rows_of_a_patient_and_near_duplicates_stay_together(rows):
    patients = [f"p{k // 4}" for k in range(80)]
    patients[70:] = [""] * 10  # nobody knows whose these are
    made = divided(rows(["a", "b"] * 40, patient=patients), ["patient"], [(0, 4), (5, 9), (70, 79)])
    split = made.table["split"].tolist()
    for start in range(0, 68, 4):
        assert len(set(split[start : start + 4])) == 1
    assert len(set(split[:12])) == 1, "patients 0, 1 and 2 hang together by their pictures"
    assert split[70] == split[79]
    assert len(set(split[70:79])) > 1, "an empty cell joins nothing"
    assert Counter(split) == {"train": 56, "val": 12, "test": 12}


def test_rows_of_one_image_stay_together(tmp_path):
    for k in range(10):
        (tmp_path / f"{k}.png").touch()
    names = [f"{k}.png" for k in range(10)] * 2
    ids = [f"{name}@{who}" for name, who in zip(names, ["ann"] * 10 + ["ben"] * 10, strict=True)]
    table = pd.DataFrame({"id": ids, "path": names, "label": "a", "split": NO_SPLIT, "saliency": ""})
    split = divided(Manifest.of(table, tmp_path)).table["split"].tolist()
    assert split[:10] == split[10:]
    assert len(set(split)) == 3


def test_several_labels_are_each_divided_by_the_shares(rows):
    made = divided(rows(["x", "y", "x;y", ""] * 20, multi_label=True))
    for name, images in (("x", 40), ("y", 40)):
        having = Counter(
            split
            for split, cell in zip(made.table["split"], made.table["label"].fillna(""), strict=True)
            if name in cell.split(";")
        )
        assert having == {split: round(share * images) for split, share in SHARES.items()}
    whole = Counter(made.table["split"])
    assert all(abs(whole[split] - share * 80) <= 1 for split, share in SHARES.items())


def test_rows_that_have_a_split_keep_it_unless_named(rows):
    splits = ["train"] * 20 + ["test"] * 10
    manifest = rows(["a", "b"] * 15, splits)
    with pytest.raises(SalignError, match=r"every row has a split already .train 20, test 10.*--move train"):
        divided(manifest)
    with pytest.raises(SalignError, match=r"no row has split trian; there are train 20, test 10"):
        divided(manifest, move=["trian"])
    made = divided(manifest, shares={"train": 0.8, "val": 0.2}, move=["train"]).table["split"].tolist()
    assert made[20:] == ["test"] * 10
    assert Counter(made[:20]) == {"train": 16, "val": 4}


def test_new_rows_follow_those_they_belong_to(rows):
    made = divided(rows(["a"] * 8, ["test", "test", "train", "", "", "", "", ""]), alike=[(0, 1, 2, 3), (2, 4)])
    assert made.table["split"].tolist()[:5] == ["test", "test", "train", "test", "test"]


def test_a_row_without_a_split_is_a_fault_where_it_must_have_one(rows, tmp_path):
    assert rows(["a", "b"]).splits == (NO_SPLIT,)
    with pytest.raises(ManifestError, match="column is missing"):
        Manifest.read(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0.7/0.15/0.15", {"train": 0.7, "val": 0.15, "test": 0.15}),
        (".8/.2", {"train": 0.8, "val": 0.2}),
        ("70/15/15", {"train": 0.7, "val": 0.15, "test": 0.15}),
        (".8/0/.2", {"train": 0.8, "test": 0.2}),
        ("train=0.5/holdout = 0.5", {"train": 0.5, "holdout": 0.5}),
    ],
)
def test_shares_as_typed(text, shares):
    assert read_shares(text) == shares


@pytest.mark.parametrize("text", ["70/15/20", "0.7", "0.7,0.3", "a=0.5/a=0.5", "", "0.25/0.25/0.25/0.25", "-1/2"])
def test_shares_that_are_none(text):
    with pytest.raises(SalignError, match=r"such as 0.7/0.15/0.15"):
        read_shares(text)


def test_a_column_that_is_not_there(rows):
    with pytest.raises(SalignError, match="no column 'patiend' to keep rows together by; did you mean 'patient'"):
        groups_of_rows(rows(["a"], patient=["p"]), ["patiend"])


def test_pairs_join_through_others():
    assert joined(7, [(0, 3), (5, 3), (2, 6)]) == [[0, 3, 5], [2, 6]]
    assert joined(3, []) == []


def test_a_class_that_few_images_have_or_few_lack_is_named(rows):
    """Of several labels: b is on all ten images, c on two; `val` has no row."""
    labels = ["b;c", "b;c", *["a;b"] * 5, "b", "b", "b"]
    assert small_classes(rows(labels, ["train"] * 10, multi_label=True), ["train", "val"]) == [
        "split train: 0 without b, 2 of c; too few to learn from (5 are the least, 50 are better)"
    ]
    assert small_classes(rows(["a"] * 6 + ["b"] * 3, ["test"] * 9), ["test"]) == [
        "split test: 3 of b; too few for a figure to say anything (5 are the least, 50 are better)"
    ]
