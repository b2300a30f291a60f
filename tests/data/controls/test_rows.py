from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from salign.data.controls.rows import (
    BY_SHARE,
    CONTROLS,
    Control,
    find_control,
    keep_maps,
    noisy_labels,
    shuffled,
    shuffled_across,
    shuffled_within,
    subset,
)
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.maps import varies

annotated_rows = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=2, max_size=50)
"""Class of each image, and whether somebody looked at it."""


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


@given(annotated_rows, st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_share_of_the_maps_is_shuffled_and_what_keeps_its_own_is_what_keeps_one(rows, shares, seed):
    labels, mapped = zip(*rows, strict=True)
    own, total = manifest(labels, mapped), sum(mapped)
    maps, before = own.table["saliency"], own.table.copy()
    if total < 2:
        with pytest.raises(SalignError, match="needs two images with a map"):
            shuffled(own, seed, 0.5)
        return
    last: set[str] = set()
    for share in sorted(shares):
        changed = shuffled(own, seed, share).table
        moved = maps.notna() & (changed["saliency"] != maps).fillna(False)
        names = set(own.table["id"][moved])
        assert last <= names, "what is shuffled at a small share is among what is shuffled at a larger one"
        most = total if share == 1 else max(2, total - 1)
        assert len(names) == pytest.approx(min(max(2, share * total), most), abs=0.5 + 1e-5)
        left = set(own.table["id"][maps.notna() & ~moved])
        kept = set(own.table["id"][keep_maps(own, 1 - share, seed).table["saliency"].notna()])
        assert left <= kept or kept <= left, "the same order is cut"
        assert sorted(changed["saliency"][moved]) == sorted(maps[moved])  # each of theirs is used once
        assert changed.drop(columns="saliency").equals(own.table.drop(columns="saliency"))
        last = names
    assert shuffled(own, seed, 1.0).table.equals(shuffled(own, seed).table)
    assert own.table.equals(before)


def test_shares_of_shuffled_maps_by_hand():
    """40 annotated of a, 20 of b, 4 of neither: half of either class, and those alone, keep their own."""
    own = manifest(["a"] * 40 + ["b"] * 20 + ["a", "b"] * 2, [True] * 60 + [False] * 4)
    maps = own.table["saliency"]
    for share, of_a, of_b in ((0.25, 10, 5), (0.5, 20, 10), (0.9, 36, 18)):
        changed = find_control(f"shuffled@{share}")[1].rows(own, 3)
        moved = (changed.table["saliency"] != maps).fillna(False)
        assert own.table["label"][moved].value_counts().to_dict() == {"a": of_a, "b": of_b}
        kept = keep_maps(own, round(1 - share, 6), 3).table["saliency"].notna()
        assert (maps.notna() & ~moved == kept).all(), "wrong maps against none"
    few = manifest(["a"] * 3)
    assert (shuffled(few, 0, 0.01).table["saliency"] != few.table["saliency"]).sum() == 2
    assert (shuffled(few, 0, 0.99).table["saliency"] != few.table["saliency"]).sum() == 2
    assert (shuffled(few, 0).table["saliency"] != few.table["saliency"]).sum() == 3


def test_old_draws_of_shuffling_and_of_kept_maps_stay_what_they_were():
    """Written down from the version before shares: runs that are there must mean what their recipes say."""
    own = manifest(list("aababbabca"))
    assert shuffled(own, 5).table["saliency"].tolist() == [f"m{i}" for i in (4, 6, 3, 1, 2, 9, 7, 8, 5, 0)]
    assert keep_maps(own, 0.5, 5).table["saliency"].dropna().tolist() == ["m0", "m4", "m6", "m7", "m9"]


def test_a_share_of_maps_moves_with_whose_they_are():
    own = manifest(["a", "b"] * 10)
    by = pd.Series([f"human:p{i}" for i in range(20)], dtype="string")
    own = Manifest(own.table.assign(provenance=by), None, "m.csv")
    changed = shuffled(own, 1, 0.5).table
    assert [cell.removeprefix("m") for cell in changed["saliency"]] == [
        cell.removeprefix("human:p") for cell in changed["provenance"]
    ]
    assert (changed["provenance"] != by).sum() == 10


@given(annotated_rows, st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_shuffling_within_gives_the_map_of_another_image_of_the_class(rows, seed):
    labels, mapped = zip(*rows, strict=True)
    own = manifest(labels, mapped)
    per_class = own.table[own.table["saliency"].notna()].groupby("label").size()
    if (per_class == 1).any():
        with pytest.raises(SalignError, match=f"each class that has any, '{per_class[per_class == 1].index[0]}' has"):
            shuffled_within(own, seed)
        return
    given_maps = shuffled_within(own, seed).table["saliency"]
    from_image = dict(zip(own.table["saliency"], own.table["label"], strict=True))
    for before, after, label in zip(own.table["saliency"], given_maps, labels, strict=True):
        assert pd.isna(before) == pd.isna(after)
        assert pd.isna(before) or (after != before and from_image[after] == label)
    assert sorted(given_maps.dropna()) == sorted(own.table["saliency"].dropna())


@given(annotated_rows, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_shuffling_across_gives_the_map_of_another_class(rows, seed):
    labels, mapped = zip(*rows, strict=True)
    own = manifest(labels, mapped)
    maps = own.table["saliency"]
    annotated = own.table[maps.notna()]
    if annotated["label"].nunique() < 2:
        with pytest.raises(SalignError, match="needs maps in two classes"):
            shuffled_across(own, seed)
        return
    given_maps = shuffled_across(own, seed).table["saliency"]
    assert (given_maps.notna() == maps.notna()).all()
    assert sorted(given_maps.dropna()) == sorted(maps.dropna())
    assert not (given_maps.dropna() == maps.dropna()).any()
    from_image = dict(zip(maps, labels, strict=True))
    pairs = zip(given_maps, labels, strict=True)
    kept_class = sum(from_image[after] == label for after, label in pairs if not pd.isna(after))
    assert kept_class == max(0, 2 * annotated["label"].value_counts().max() - len(annotated))  # as few as can be


def test_maps_come_from_all_other_classes_and_all_images():
    own = manifest(["a", "b", "c"] * 60)
    from_image = dict(zip(own.table["saliency"], own.table["label"], strict=True))
    pairs = [
        (label, from_image[given_map])
        for seed in range(10)
        for label, given_map in zip(own.table["label"], shuffled_across(own, seed).table["saliency"], strict=True)
    ]
    shares = pd.Series(pairs).value_counts(normalize=True)
    assert set(shares.index) == set(itertools.permutations("abc", 2))
    assert shares.between(1 / 6 - 0.03, 1 / 6 + 0.03).all()
    partners = {shuffled_across(own, seed).table["saliency"].iat[0] for seed in range(40)}
    assert len(partners) > 25


@given(annotated_rows, st.lists(st.floats(0, 1), min_size=2, max_size=4), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_kept_maps_are_nested_and_every_class_has_its_share(rows, shares, seed):
    labels, mapped = zip(*rows, strict=True)
    own = manifest(labels, mapped)
    before = own.table.copy()
    total = sum(mapped)
    last: set[str] = set()
    for share in sorted(shares):
        kept = keep_maps(own, share, seed).table
        names = set(kept["saliency"].dropna())
        assert last <= names <= set(own.table["saliency"].dropna())
        assert len(names) == min(total, max(share > 0, int(share * total + 0.5)))
        assert kept.drop(columns="saliency").equals(own.table.drop(columns="saliency"))
        assert (kept["saliency"].dropna() == own.table["saliency"][kept["saliency"].notna()]).all()
        of_class = {name: sum(m for label, m in rows if label == name) for name in set(labels)}
        left = kept[kept["saliency"].notna()]["label"].value_counts()
        for one, other in itertools.permutations([name for name, count in of_class.items() if count], 2):
            apart = left.get(one, 0) / of_class[one] - left.get(other, 0) / of_class[other]
            assert apart <= 0.5 / of_class[one] + 0.5 / of_class[other] + 1e-9  # half an image of either
        last = names
    assert keep_maps(own, 1.0, seed).table.equals(own.table)
    assert own.table.equals(before)


def test_kept_maps_by_hand_and_by_chance():
    own = manifest(["a"] * 8 + ["b"] * 4 + ["c"] * 4, [True] * 12 + [False] * 4)

    def kept(share, seed):
        return keep_maps(own, share, seed).table.query("saliency.notna()")

    assert kept(0.25, 0)["label"].value_counts().to_dict() == {"a": 2, "b": 1}
    assert kept(0.5, 0)["label"].value_counts().to_dict() == {"a": 4, "b": 2}
    assert [len(kept(share, 0)) for share in (0, 0.01, 0.125, 0.99, 1)] == [0, 1, 2, 12, 12]
    drawn = pd.Series([name for seed in range(300) for name in kept(0.5, seed)["id"]]).value_counts() / 300
    assert len(drawn) == 12
    assert drawn.between(0.5 - 0.13, 0.5 + 0.13).all()  # 4.5 standard errors


def of_everybody(images):
    """A row for each annotator of an image, with that person's map: pairs of class and number of annotators."""
    rows = [(f"i{k}", label, who) for k, (label, people) in enumerate(images) for who in range(people)]
    own = manifest([label for _, label, _ in rows])
    paths = pd.Series([path for path, _, _ in rows], dtype="string")
    maps = pd.Series([f"{path}/{who}" for path, _, who in rows], dtype="string")
    return Manifest(own.table.assign(path=paths, saliency=maps), None, "m.csv")


def clashes(own, changed, labels=False):
    """How many rows got a map of their own image, or of their own class."""
    kind = own.table.set_index("path")["label"] if labels else pd.Series(own.table["path"].unique())
    kind = dict(kind.items()) if labels else {path: path for path in kind}
    takers = own.table["path"].map(kind)
    return int((takers == changed.table["saliency"].str.split("/").str[0].map(kind)).sum())


several_annotators = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4)), min_size=2, max_size=8)
"""Class of each image, and how many people marked it."""


@given(several_annotators, st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_no_image_gets_another_persons_map_of_itself_where_that_is_possible(images, seed):
    own = of_everybody(images)
    rows = len(own)
    most = max(people for _, people in images)
    other = shuffled(own, seed)
    assert sorted(other.table["saliency"]) == sorted(own.table["saliency"])
    assert clashes(own, other) == max(0, 2 * most - rows)
    assert not (other.table["saliency"] == own.table["saliency"]).any()
    of_class = {name: [people for label, people in images if label == name] for name in "ab"}
    if all(len(people) != 1 for people in of_class.values()):
        within = shuffled_within(own, seed)
        least = sum(max(0, 2 * max(people) - sum(people)) for people in of_class.values() if people)
        assert clashes(own, within) == least
        assert clashes(own, within, labels=True) == rows
    if all(of_class.values()):
        across = shuffled_across(own, seed)
        assert clashes(own, across) == max(0, 2 * most - rows)
        largest = max(sum(people) for people in of_class.values())
        assert clashes(own, across, labels=True) == max(0, 2 * largest - rows)


def test_maps_of_one_image_alone_cannot_be_shuffled_and_a_share_reaches_two_images():
    with pytest.raises(SalignError, match="needs two images with a map, there are 1"):
        shuffled(of_everybody([("a", 5)]), 0)
    with pytest.raises(SalignError, match="each class that has any, 'b' has one"):
        shuffled_within(of_everybody([("a", 1), ("a", 1), ("b", 4)]), 0)
    own = of_everybody([("a", 3), ("a", 3)])
    for seed in range(20):
        changed = shuffled(own, seed, 0.01)
        moved = own.table["path"][changed.table["saliency"] != own.table["saliency"]]
        assert moved.nunique() == 2


def test_shuffling_where_each_image_has_one_row_draws_what_it_always_drew():
    """Written down from the version before rows of one image were told apart."""
    own = manifest(list("aabaacabaac"))
    within, across = [9, 4, 7, 1, 8, 10, 0, 2, 6, 3, 5], [10, 7, 4, 1, 0, 6, 2, 8, 9, 5, 3]
    for control, expected in ((shuffled_within, within), (shuffled_across, across)):
        assert control(own, 5).table["saliency"].tolist() == [f"m{i}" for i in expected]


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_control_replaces_maps_of_annotated_images_only(name):
    own = manifest(list("abcab" * 8), [True, True, True, False, True] * 8)
    before = own.table.copy()
    rows = CONTROLS[name].rows
    if rows is None:
        return
    changed = rows(own, 3)
    assert (changed.table["saliency"].notna() == own.table["saliency"].notna()).all()
    assert not (changed.table["saliency"].dropna() == own.table["saliency"].dropna()).any()
    assert changed.table.drop(columns="saliency").equals(own.table.drop(columns="saliency"))
    assert (changed.root, changed.source) == (own.root, own.source)
    assert rows(own, 3).table.equals(changed.table)
    assert not rows(own, 4).table.equals(changed.table)
    assert own.table.equals(before)


@pytest.mark.parametrize("name", [*sorted(CONTROLS), *(f"{name}@0.1" for name in BY_SHARE)])
@pytest.mark.parametrize("size", [(1, 3), (3, 4), (13, 40), (64, 48)])
def test_a_control_map_is_a_map_and_what_has_no_shape_gets_none(name, size):
    pixels = find_control(name)[1].pixels
    if pixels is None:
        return
    generator = torch.Generator().manual_seed(0)
    saliency = torch.rand(size, generator=generator).pow(3)
    before = saliency.clone()
    changed = pixels(5, saliency, "a")
    assert (changed.shape, changed.dtype) == (saliency.shape, torch.float32)
    assert torch.isfinite(changed).all()
    assert 0 <= float(changed.min()) < float(changed.max()) <= 1
    assert bool(varies(changed))
    one_row = size[0] == 1 and name.partition("@")[0] in BY_SHARE  # it would be filled, or left
    assert torch.equal(changed, saliency) == one_row
    assert torch.equal(pixels(5, saliency, "a"), changed)
    assert torch.equal(saliency, before)
    for level in (0.0, 0.3, 1.0):
        assert torch.equal(pixels(5, torch.full(size, level), "a"), torch.full(size, level))


def test_controls_change_rows_or_pixels_or_learn_from_images_and_own_does_nothing():
    assert CONTROLS["own"] == Control()
    others = [name for name in CONTROLS if name != "own"] + [f"{name}@0.5" for name in BY_SHARE]
    for _, control in map(find_control, others):
        assert sum(part is not None for part in (control.rows, control.pixels, control.images)) == 1


def test_a_control_is_found_by_its_name_and_share():
    for name, control in CONTROLS.items():
        assert find_control(name) == (name, control)
    assert find_control("shuffled@1.0") == ("shuffled", CONTROLS["shuffled"])
    for name in BY_SHARE:
        assert find_control(f"{name}@0.250")[0] == f"{name}@0.25"
        assert find_control(f"{name}@1e-2")[0] == f"{name}@0.01"


@pytest.mark.parametrize(
    "text", ["", "mine", "shuffled@", "shuffled@x", "shuffled@0", "shuffled@1.01", "shuffled@-0.5", "shuffled@nan",
             "inverted@0.5", "own@0.5", "@0.5", "shuffled@0.5@0.5"],
)  # fmt: skip
def test_a_control_that_is_none_is_refused_with_the_choices(text):
    with pytest.raises(SalignError) as caught:
        find_control(text)
    said = str(caught.value)
    assert said.startswith(f"data.maps: unknown {text!r}; there are own, shuffled, ")
    assert all(f"{name}@SHARE" in said for name in BY_SHARE)
    assert "above 0 and at most 1" in said


def test_noise_gives_a_share_of_the_images_the_label_of_another_class():
    rows = manifest(["a", "b", "c"] * 100)
    right = rows.table["label"].to_numpy()
    wrong = {}
    for share in (0.2, 0.5, 1.0):
        noisy = noisy_labels(rows, share, ["c", "a", "b"], 7)
        assert noisy.table.drop(columns="label").equals(rows.table.drop(columns="label"))
        wrong[share] = noisy.table["label"].to_numpy() != right
        assert wrong[share].sum() == round(share * 300)
    assert not (wrong[0.2] & ~wrong[0.5]).any()
    moves = pd.crosstab(right, noisy_labels(rows, 1.0, ["c", "a", "b"], 7).table["label"].to_numpy()).to_numpy()
    assert np.diag(moves).sum() == 0
    assert abs(moves[~np.eye(3, dtype=bool)] - 50).max() < 20  # each other class is equally likely
    assert (
        not noisy_labels(rows, 0.5, ["c", "a", "b"], 8)
        .table["label"]
        .equals(noisy_labels(rows, 0.5, ["c", "a", "b"], 7).table["label"])
    )
    assert noisy_labels(rows, 0, ["c", "a", "b"], 7).table.equals(rows.table)
