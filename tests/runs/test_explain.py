"""The page of pictures of a run: which images, whose maps, which class, and what is refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from browsing import serious_faults
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


def items(page):
    """What the gallery of a page holds."""
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text("utf-8"), re.S)
    return json.loads(data)["items"]


@pytest.mark.parametrize("method", ["cam", "grad_cam"])
def test_a_gallery_shows_the_images_drawn(run, method):
    page = explain_run(run, method=method, images=3, seed=1)
    assert page == run.path / "page" / "index.html"
    shown = items(page)
    for name in run.sets:
        rows = table(run, name)
        chosen = np.sort(np.random.default_rng(1).permutation(len(rows))[:3])
        assert [one["id"] for one in shown if one["set"] == name] == rows["id"].iloc[chosen].tolist()
    assert all((page.parent / one[kind]).is_file() for one in shown for kind in ("image", "human"))
    assert not re.search(r'(?:src|href)="(?!#)', page.read_text("utf-8"))  # the script alone makes pictures
    assert "http" not in page.read_text("utf-8").replace("http://www.w3.org/", "")  # opens offline


@pytest.mark.slow
def test_everybody_can_read_the_page_and_a_filter_of_one_value_is_not_shown(run, browser):
    page = explain_run(run, sets=["val"], images=3)
    opened = browser.new_page(viewport={"width": 375, "height": 800})
    opened.goto(page.as_uri())
    assert serious_faults(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth") == 375
    assert [opened.is_visible(f"select[name={name}]") for name in ("sort", "set", "label")] == [True, False, True]
    opened.close()


def test_the_page_holds_figures_curves_and_what_to_mind(run):
    analyse_run(run, sets=["val"], images=10)
    text = explain_run(run, sets=["val"], images=1).read_text("utf-8")
    titles = re.findall(r"<h2[^>]*>(?:⚠ )?(.*?)</h2>", text)
    assert titles == [
        "In short", "Figures", "Curves", "Where it looks and what it uses", "Training", "Recipe", "Images",
    ]  # fmt: skip
    figures = run.figures().query("split == 'test_ood' and metric == 'auroc' and group_column == ''").iloc[0]
    assert f"{figures['value']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]" in text
    assert f"test_ood {figures['value']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]</p>" in text  # the lead
    assert re.search(r"What an answer costs.*?\d k parameters, .*? MB, .*? multiply-adds per image\.", text, re.S)
    rows = table(run, "test_ood")
    wrong = ((rows["label"] == "1") & (rows["predicted"] == "7")).sum()
    cells = re.findall(
        r"test_ood: images by true class.*?true 1</td><td[^>]*>(\d+)</td><td[^>]*>(\d+)</td>", text, re.S
    )
    assert cells == [(str(10 - wrong), str(wrong))]
    spoken = re.findall(r'aria-label="(ROC|Precision and recall|Calibration): ', text)
    assert spoken == ["ROC", "Precision and recall", "Calibration"]


def test_two_runs_stand_beside_each_other(run, trained, tmp_path):
    other = Run(shutil.copytree(trained, tmp_path / "other"))
    page = explain_run(run, beside=other, sets=["test_ood"], images=4)
    assert page == run.path / "page" / "beside-other.html"
    assert all(one["answers"][0] == one["answers"][1] and len(one["answers"]) == 2 for one in items(page))
    assert "test_ood (20 images), other</th>" in page.read_text("utf-8")
    with pytest.raises(SalignError, match=f"both folders are called {run.path.name}, and the page"):
        explain_run(run, beside=Run(run.path))


def test_a_run_of_a_study_leads_to_its_report(run, tmp_path):
    (tmp_path / "study" / "runs").mkdir(parents=True)
    (tmp_path / "study" / "report.html").touch()
    moved = Run(shutil.copytree(run.path, tmp_path / "study" / "runs" / "cell"))
    page = explain_run(moved, sets=["val"], images=1)
    (link,) = re.findall(r'<a href="([^#"][^"]*)">Report of the study</a>', page.read_text("utf-8"))
    assert (page.parent / link).resolve() == (tmp_path / "study" / "report.html").resolve()


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
    notes = [one["note"] for one in items(explain_run(run, sets=["val", "test_ood"], images=100))]
    assert notes.count("made by model:net@1, not by a person") == taken
    assert notes.count("") == len(notes) - taken
    found = analyse_run(run, sets=["test_iid", "test_ood"], images=100)
    assert found["agreement"]["set"].value_counts().to_dict() == {"test_ood": len(rows) - taken}
    assert not set(found["agreement"]["id"]) & set(read.table["id"][machine])
    assert set(found["reliance"].query("kept == 'inside'")["images"]) == {len(rows) - taken}


def test_what_a_merged_annotation_says_of_an_image_stands_there_and_no_file_or_empty_cell(run, digits, tmp_path):
    """As `salign annotate --merge` leaves a manifest: a map of each person, who made it, and answers to some images."""
    table = pd.read_csv(digits, dtype=str)
    table["saliency_ann"] = table["saliency"]
    table["answer"] = ["1" if k % 2 else None for k in range(len(table))]
    table["confidence"] = None
    table.to_csv(tmp_path / "merged.csv", index=False)
    data = {"manifest": str(tmp_path / "merged.csv"), "root": str(digits.parent)}
    run.recipe_file.write_text(Recipe.read(run.recipe_file).with_values({"data": data}).to_yaml())
    groups = [one["groups"] for one in items(explain_run(run, sets=["val"], images=100))]
    assert {tuple(sorted(each)) for each in groups} == {("decoy",), ("answer", "decoy")}


def test_the_answer_shown_is_that_of_the_table(run):
    shown = {one["id"]: one for one in items(explain_run(run, sets=["val"], images=100))}
    for row in table(run, "val").itertuples():
        (answer,) = shown[row.id]["answers"]
        assert (shown[row.id]["label"], answer["predicted"]) == (row.label, row.predicted)
        assert answer["probability"] == pytest.approx(max(row.prob_1, row.prob_7), abs=1e-4)
        assert shown[row.id]["groups"] == {"decoy": row.decoy}


def test_the_agreement_shown_is_that_of_the_analysis(run):
    analysed = analyse_run(run, sets=["val"], images=100)["agreement"].set_index("id")
    for one in items(explain_run(run, sets=["val"], images=100)):
        (answer,) = one["answers"]
        assert answer["agreement"] == pytest.approx(analysed["cc"][one["id"]], abs=2e-4)
        assert answer["energy"] == pytest.approx(analysed["energy"][one["id"]], abs=2e-4)


def test_evidence_for_the_true_class_differs_where_the_answer_is_wrong(run):
    rows = table(run, "test_ood")
    assert (rows["label"] != rows["predicted"]).any()
    maps = {}
    for of in ("predicted", "true"):
        page = explain_run(run, sets=["test_ood"], of=of, images=100)
        assert f"evidence for the {of} class" in page.read_text("utf-8")
        maps[of] = [one["answers"][0]["map"] for one in items(page)]
    differ = [first != second for first, second in zip(maps["predicted"], maps["true"], strict=True)]
    assert differ == (rows["label"] != rows["predicted"]).tolist()


@pytest.mark.parametrize(("of", "column"), [("predicted", "predicted"), ("true", "label")])
def test_the_class_explained_is_the_one_that_was_asked_for(run, monkeypatch, of, column):
    explained = []

    def recorded(classifier, images, classes, **_):
        explained.extend(classifier.classes[number] for number in classes.tolist())
        return torch.zeros(len(images), 2, 2)

    monkeypatch.setitem(EXPLAINERS, "cam", recorded)
    explain_run(run, sets=["test_ood"], of=of, images=100)
    rows = table(run, "test_ood")
    assert explained == rows[column].tolist() != rows[{"label": "predicted", "predicted": "label"}[column]].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": ["train"]}, "set: expected val, test_iid or test_ood, got 'train'"),
        ({"method": "lime"}, "method: expected cam, grad_cam or rise, got 'lime'"),
        ({"of": "both"}, "of: expected predicted or true, got 'both'"),
    ],
)
def test_what_is_unknown_is_named(run, options, message):
    with pytest.raises(SalignError, match=message):
        explain_run(run, **options)
