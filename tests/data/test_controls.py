from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salign.data.controls import CONTROLS, shuffled, subset
from salign.data.manifest import Manifest
from salign.types import SalignError


def manifest(labels, mapped=None):
    """Rows a0, a1, ... whose map, where there is one, is named after its image."""
    names = [f"a{i}" for i in range(len(labels))]
    maps = [f"m{i}" if mapped is None or mapped[i] else pd.NA for i in range(len(labels))]
    table = pd.DataFrame({"id": names, "path": names, "label": labels, "split": "train", "saliency": maps})
    return Manifest(table.astype("string").assign(row=np.arange(len(labels)) + 2), None, "m.csv")  # type: ignore[arg-type]


def counts(drawn):
    return drawn.table["label"].value_counts().to_dict()


@given(st.lists(st.sampled_from("abc"), min_size=6, max_size=60), st.data(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_subset_keeps_the_shares_of_the_classes(labels, data, seed):
    whole = manifest(labels)
    images = data.draw(st.integers(2, len(labels)))
    exact = {name: count * images / len(labels) for name, count in counts(whole).items()}
    try:
        drawn = subset(whole, images, seed)
    except SalignError:
        assert min(exact.values()) < 1  # a class whose share is less than one image
        return
    assert len(drawn) == images
    assert all(abs(counts(drawn)[name] - share) < 1 for name, share in exact.items())
    ids = drawn.table["id"].tolist()
    assert ids == [name for name in whole.table["id"] if name in set(ids)]  # order of the manifest, none twice
    assert subset(whole, images, seed).table.equals(drawn.table)


def test_a_subset_by_hand():
    """7 of 20 a, 10 b, 3 c: shares 7, 3.5, 1.05 of 20 * 7 / 20 ... the largest remainder gets what is left."""
    whole = manifest(["a"] * 10 + ["b"] * 7 + ["c"] * 3)
    assert counts(subset(whole, 10, 0)) == {"a": 5, "b": 4, "c": 1}  # exact 5, 3.5, 1.5: the first of equals
    assert counts(subset(whole, 9, 0)) == {"a": 5, "b": 3, "c": 1}  # exact 4.5, 3.15, 1.35
    assert subset(whole, 20, 0).table.equals(whole.table)


def test_every_image_is_as_likely_as_the_others_of_its_class():
    whole = manifest(["a"] * 8 + ["b"] * 4)
    drawn = [name for seed in range(600) for name in subset(whole, 6, seed).table["id"]]
    share = pd.Series(drawn).value_counts() / 600
    assert len(share) == 12
    assert share.between(0.5 - 0.09, 0.5 + 0.09).all()  # 4.4 standard errors of a share of one half


def test_a_subset_that_cannot_be():
    whole = manifest(["a"] * 99 + ["b"])
    with pytest.raises(SalignError, match="asks for 101 training images, there are 100"):
        subset(whole, 101, 0)
    with pytest.raises(SalignError, match="leave class 'b' without any"):
        subset(whole, 10, 0)


@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda mapped: sum(mapped) >= 2), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_shuffling_gives_everyone_somebody_elses_map(mapped, seed):
    own = manifest(["a"] * len(mapped), mapped)
    before = own.table.copy()
    other = shuffled(own, seed)
    maps, given_maps = own.table["saliency"], other.table["saliency"]
    assert (given_maps.notna() == np.array(mapped)).all()  # nobody gains or loses a map
    assert sorted(given_maps.dropna()) == sorted(maps.dropna())  # each map is used once
    assert not (given_maps.dropna() == maps.dropna()).any()
    assert other.table.drop(columns="saliency").equals(own.table.drop(columns="saliency"))
    assert own.table.equals(before)
    assert shuffled(own, seed).table.equals(other.table)
    follow, start = dict(zip(maps.dropna(), given_maps.dropna(), strict=True)), maps.dropna().iloc[0]
    seen, here = [start], follow[start]
    while here != start:
        seen.append(here)
        here = follow[here]
    assert len(seen) == sum(mapped)  # one cycle through all


def test_shuffling_depends_on_the_seed_and_needs_two_maps():
    own = manifest(["a"] * 30)
    assert not shuffled(own, 0).table.equals(shuffled(own, 1).table)
    with pytest.raises(SalignError, match="needs two images with a map, there are 1"):
        shuffled(manifest(["a"] * 3, [True, False, False]), 0)


def test_the_control_own_changes_nothing():
    own = manifest(["a", "b"])
    assert CONTROLS["own"](own, 5) is own
