"""Groups of rows: their names, and as many of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salign.data.groups import number_groups, subsample, take_equal
from salign.data.manifest import Manifest
from salign.errors import SalignError

ROWS = [("a", "red"), ("b", "red"), ("a", "blue"), ("b", ""), ("a", "red"), ("b", "red"), ("a", "red"), ("b", "red")]


def manifest(labels: list[str] | None = None, *, multi_label: bool = False) -> Manifest:
    table = pd.DataFrame(ROWS, columns=["label", "colour"])
    table = table.assign(id=[f"i{k}" for k in range(len(ROWS))], path="x.png", split="train", device="one")
    table = table if labels is None else table.assign(label=labels)
    return Manifest(table, Path(), "made up", multi_label)


def test_a_group_is_a_combination_that_occurs() -> None:
    names, numbers = number_groups(manifest(), ["colour"])
    assert names == ["colour , class b", "colour blue, class a", "colour red, class a", "colour red, class b"]
    assert numbers.tolist() == [2, 3, 1, 0, 2, 3, 2, 3]
    assert number_groups(manifest(), [])[0] == ["class a", "class b"]
    assert number_groups(manifest(), ["device", "colour"])[0][1] == "device one, colour blue, class a"


def test_as_many_of_each_are_left() -> None:
    left = subsample(manifest(), ["colour"], seed=0)
    assert Counter(zip(left.table["label"], left.table["colour"].fillna(""), strict=True)) == {
        ("a", "red"): 1, ("b", "red"): 1, ("a", "blue"): 1, ("b", ""): 1,
    }  # fmt: skip
    assert left.table["id"].tolist() == sorted(left.table["id"])
    drawn = {tuple(subsample(manifest(), ["colour"], seed).table["id"]) for seed in range(60)}
    assert len(drawn) == 9  # each of three red images of a class with each of three of the other
    assert subsample(manifest(), [], 0).table["id"].tolist() == [f"i{k}" for k in range(8)]


def test_every_position_is_as_likely() -> None:
    numbers, generator = np.array([0, 0, 0, 1]), np.random.default_rng(0)
    counts = Counter(int(take_equal(numbers, generator)[0]) for _ in range(3000))
    assert counts.keys() == {0, 1, 2}
    assert max(counts.values()) < 1100


def test_what_has_no_groups_is_refused() -> None:
    with pytest.raises(SalignError, match="there is no column 'shape' to make groups of"):
        number_groups(manifest(), ["shape"])
    several = manifest(["a;b", "b", "a", "b", "a", "b", "a", "b"], multi_label=True)
    with pytest.raises(SalignError, match="a group has one class, and these images may have several labels"):
        number_groups(several, ["colour"])
