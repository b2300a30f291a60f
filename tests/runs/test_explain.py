"""The page of pictures of a run: which images, whose maps, which class, and what is refused."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.explain import EXPLAINERS
from salign.runs.analyse import analyse_run
from salign.runs.explain import explain_run
from salign.runs.run import Run
from salign.train.recipe import Recipe


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run that may be changed."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def table(run, name):
    return pd.read_csv(run.predictions_file(name), dtype={"label": str, "predicted": str, "decoy": str})


@pytest.mark.parametrize("method", ["cam", "grad_cam"])
def test_a_gallery_shows_the_images_drawn(run, method):
    page = explain_run(run, method=method, images=3, seed=1)
    assert page == run.path / "explain" / f"test_iid_{method}.html"
    text = page.read_text("utf-8")
    rows = table(run, "test_iid")
    shown = [name for name in rows["id"] if name in text]
    chosen = np.sort(np.random.default_rng(1).permutation(len(rows))[:3])
    assert shown == rows["id"].iloc[chosen].tolist()
    assert len(re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]{100,}", text)) >= 3 * len(shown)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)  # opens offline


def test_machine_maps_are_shown_as_such_and_nothing_is_measured_against_them(run, digits, tmp_path):
    """Of the images of test_ood the first half keep people's maps; the others a machine made, of test_iid all."""
    place = shutil.copytree(digits.parent, tmp_path / "set")
    read = Manifest.read(place / digits.name)
    ood = (read.table["split"] == "test_ood").astype(bool)
    machine = (read.table["split"] == "test_iid").astype(bool) | (ood & (ood.cumsum() > ood.sum() // 2))
    by = np.where(machine, "model:net@1", "human:ann")
    path = Manifest.of(read.table.drop(columns="row").assign(provenance=by), place).write(place / "machine.csv")
    recipe = Recipe.read(run.recipe_file).with_values({"data": {"manifest": str(path)}})
    run.recipe_file.write_text(recipe.to_yaml())
    rows = table(run, "test_ood")
    taken = rows["id"].isin(read.table["id"][machine]).sum()
    assert 0 < taken < len(rows)
    texts = {name: explain_run(run, split=name, images=100).read_text("utf-8") for name in ("val", "test_ood")}
    assert texts["test_ood"].count("was made by model:net@1") == taken
    assert "made by" not in texts["val"]
    found = analyse_run(run, sets=["test_iid", "test_ood"], images=100)
    assert found["agreement"]["set"].value_counts().to_dict() == {"test_ood": len(rows) - taken}
    assert not set(found["agreement"]["id"]) & set(read.table["id"][machine])
    assert set(found["reliance"].query("kept == 'inside'")["images"]) == {len(rows) - taken}


def test_the_probability_shown_is_that_of_the_table(run):
    text = explain_run(run, split="val", images=100).read_text("utf-8")
    rows = table(run, "val")
    for row in rows.itertuples():
        assert row.id in text
        shown = max(row.prob_1, row.prob_7)
        assert f"{shown:.2f}" in text or f"{100 * shown:.0f}" in text


def test_evidence_for_the_true_class_differs_where_the_answer_is_wrong(run):
    rows = table(run, "test_ood")
    assert (rows["label"] != rows["predicted"]).any()
    pages = {of: explain_run(run, split="test_ood", of=of, images=100).read_text() for of in ("predicted", "true")}
    assert "for the true class" in pages["true"]
    pictures = {of: re.findall(r"base64,([A-Za-z0-9+/=]+)", page) for of, page in pages.items()}
    differ = sum(first != second for first, second in zip(pictures["predicted"], pictures["true"], strict=True))
    assert differ == (rows["label"] != rows["predicted"]).sum()


@pytest.mark.parametrize(("of", "column"), [("predicted", "predicted"), ("true", "label")])
def test_the_class_explained_is_the_one_that_was_asked_for(run, monkeypatch, of, column):
    explained = []

    def recorded(classifier, images, classes, **_):
        explained.extend(classifier.classes[number] for number in classes.tolist())
        return torch.zeros(len(images), 2, 2)

    monkeypatch.setitem(EXPLAINERS, "cam", recorded)
    explain_run(run, split="test_ood", of=of, images=100)
    rows = table(run, "test_ood")
    assert explained == rows[column].tolist() != rows[{"label": "predicted", "predicted": "label"}[column]].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train"}, "set: expected val, test_iid or test_ood, got 'train'"),
        ({"method": "lime"}, "method: expected cam, grad_cam or rise, got 'lime'"),
        ({"of": "both"}, "of: expected predicted or true, got 'both'"),
    ],
)
def test_what_is_unknown_is_named(run, options, message):
    with pytest.raises(SalignError, match=message):
        explain_run(run, **options)
