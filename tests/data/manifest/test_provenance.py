"""Which columns of a manifest hold maps, whose these are, and how several makers are written as one."""

from __future__ import annotations

import pytest

from salign.data.manifest.provenance import map_columns, provenance_of, without_annotator, without_names


def test_columns_of_maps_and_whose_they_are():
    names = [
        "id", "path", "saliency", "provenance", "saliency_ann", "saliency_ann_provenance", "saliency_b", "net",
        "net_provenance", "site", "saliency_gone_provenance", "my_provenance", "row",
    ]  # fmt: skip
    assert map_columns(names) == {
        "saliency": "", "saliency_ann": "human:ann", "saliency_b": "human:b", "net": "unknown",
    }  # fmt: skip
    assert list(map_columns(reversed(names))) == ["net", "saliency_b", "saliency_ann", "saliency"]
    assert map_columns([]) == {}


@pytest.mark.parametrize(
    ("makers", "said"),
    [
        (["ann"], "human:ann"),
        (["Doe, Jane", "ben", "Doe, Jane"], "human:Doe, Jane+ben"),
        ([None, "ann"], "human:ann"),
        ([None], "mask"),
        ([], "mask"),
        (["model:a@1"], "model:a@1"),
        (["model:a@1", "ann", "model:b@2"], "model:a@1+b@2 with human:ann"),
        (["model:a@1", None], "model:a@1 with mask"),
        ([f"annotator {k}" for k in range(50)], "human:50 annotators"),
    ],
)
def test_several_makers_are_written_as_one(makers, said):
    assert provenance_of(makers) == said


def test_nameless_people_who_looked_are_people():
    assert provenance_of([None], "human:unknown") == "human:unknown"
    assert provenance_of(["ann", None], "human:unknown") == "human:ann"


def test_in_public_annotators_are_numbers():
    makers = ["human:ben", "human:ann+ben", "model:net@1 with human:ann", "human:50 annotators", "mask"]
    assert without_names(makers) == {
        "human:ben": "human:annotator 1",
        "human:ann+ben": "human:annotator 2+annotator 1",
        "model:net@1 with human:ann": "model:net@1 with human:annotator 2",
        "human:50 annotators": "human:50 annotators",
        "mask": "mask",
    }


@pytest.mark.parametrize(
    ("text", "column", "public"),
    [
        ("saliency_ann", "saliency_ann", "saliency_annotator"),
        ("maps-saliency_ann-seed0, saliency_anna", "saliency_ann", "maps-saliency_annotator-seed0, saliency_anna"),
        ("maps-saliency_Ann-M-ller-seed0", "saliency_Ann Müller", "maps-saliency_annotator-seed0"),
        ("the column saliency", "saliency", "the column saliency"),
        ("the column templates", "templates", "the column templates"),
    ],
)
def test_a_column_of_one_person_is_nobodys_in_public(text, column, public):
    assert without_annotator(text, column) == public
