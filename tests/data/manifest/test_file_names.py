"""Names of people and images as parts of file names: plain where they can be, and never one for two."""

from __future__ import annotations

import hashlib

from salign.data.manifest.file_names import parts_of_people, slugs


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def test_names_are_safe_in_paths():
    plain = ["ann.b-3", "Ann_Z", "0", "y" * 60]
    assert slugs(plain) == plain
    names = ["../x", "a/b", "..", "ö", "a b", "a_b", "x" * 90, "CON\0", "provenance", "a_provenance", "con"]
    made = slugs(names)
    assert made[:6] == [f"__x-{digest('../x')}", f"a_b-{digest('a/b')}", f"_-{digest('..')}", f"_-{digest('ö')}",
                        f"a_b-{digest('a b')}", "a_b"]  # fmt: skip
    assert len({part.lower() for part in made}) == len(names)
    assert all("/" not in part and part.strip(".") and len(part) <= 70 for part in made)
    assert made[-3:] == [f"{name}-{digest(name)}" for name in names[-3:]]


def test_names_that_differ_by_case_or_by_the_ending_of_a_picture_are_told_apart():
    assert slugs(["Ann", "ann", "ANN"]) == ["Ann", f"ann-{digest('ann')}", f"ANN-{digest('ANN')}"]
    assert slugs(["a.png", "a.jpg"]) == ["a", f"a-{digest('a.jpg')}"]
    assert slugs(["all"], {"all"}) == [f"all-{digest('all')}"]
    assert slugs([f"b-{digest('B')}", "b", "B"]) == [f"b-{digest('B')}", "b", f"B-{digest('B')}_"]


def test_people_keep_the_columns_they_have():
    assert parts_of_people([None, "all", "unknown"]) == {
        None: "unknown", "all": f"all-{digest('all')}", "unknown": f"unknown-{digest('unknown')}",
    }  # fmt: skip
    assert parts_of_people(["Ann", "ben"], ["path", "saliency_Ann", "saliency_BEN"]) == {
        "Ann": "Ann", "ben": f"ben-{digest('ben')}",
    }  # fmt: skip
    before = parts_of_people(["Ann", "ann"])
    assert parts_of_people(["ann"], [f"saliency_{part}" for part in before.values()]) == {"ann": before["ann"]}
