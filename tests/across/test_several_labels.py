"""Images with several labels or none, from `salign train` to figures, maps and refusals."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn import metrics
from torchvision.transforms.v2.functional import pil_to_tensor, to_dtype

from command import salign, small, written
from salign.data.manifest import Manifest
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.agreement import METRICS
from salign.machine.makers import maker_of
from salign.maps import min_max
from salign.models import load
from salign.pages.sheet import Plots
from salign.runs.analyse import analyse_run
from salign.runs.compare import compare_runs, read_maps
from salign.runs.page import decisions, run_sections
from salign.runs.run import Run
from salign.train.prepare import balanced_weights, prepare
from salign.train.recipe import DataRecipe, Recipe

CLASSES = ["even", "low", "three"]
SETS = ["val", "test_iid", "test_ood"]


def tags(decoy: str) -> str:
    """Of the colour of the decoy: whether its number is even, below 5, a multiple of three; of 5 and 7 none."""
    number = int(decoy)
    return ";".join(["low"] * (number < 5) + ["three"] * (number % 3 == 0) + ["even"] * (number % 2 == 0))


@pytest.fixture(scope="module")
def tagged(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of the digits with up to three labels per image."""
    table = pd.read_csv(digits, dtype=str)
    path = tmp_path_factory.mktemp("tagged") / "tags.csv"
    table.assign(label=table["decoy"].map(tags)).to_csv(path, index=False)
    return path


def recipe(tagged: Path, digits: Path, **data: object) -> dict:
    places = {"manifest": str(tagged), "root": str(digits.parent), "classes": None, "multi_label": True}
    return small(
        tagged, name="tags", data={**places, **data}, loss={"alpha": 0.8}, train={"epochs": 5, "batch_size": 10}
    )


@pytest.fixture(scope="module")
def run(tagged: Path, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    said = salign("train", written(folder / "tags.yaml", recipe(tagged, digits)), "--out", folder / "runs", "--quiet")
    assert "training: 200 images (100 even, 100 low, 80 three), 200 with a saliency map" in said.out
    (path,) = (folder / "runs").iterdir()
    return Run.open(path)


def answers(run: Run, name: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The table; labels, predicted and probabilities `(N, K)`."""
    table = pd.read_csv(run.predictions_file(name), dtype=str, keep_default_na=False)
    named = [np.array([[k in cell.split(";") for k in CLASSES] for cell in table[c]]) for c in ("label", "predicted")]
    return table, *named, table[[f"prob_{name}" for name in CLASSES]].astype(float).to_numpy()


def test_the_page_of_a_run_shows_how_well_every_yes_and_no_is_calibrated(run: Run) -> None:
    (section,) = [section for section in run_sections({"tags": run}) if section.title == "Curves"]
    (plots,) = section.blocks
    assert isinstance(plots, Plots)
    assert [re.findall("ROC|Precision and recall|Calibration", svg)[:1] for svg in plots.svgs] == [["Calibration"]]
    _, labels, _, probabilities = answers(run, "val")
    told, sure = decisions(run, "val")
    assert told.tolist() == [int(labels[i, k]) for i in range(len(labels)) for k in range(3)]
    np.testing.assert_allclose(sure[:, 1], probabilities.ravel())
    np.testing.assert_allclose(sure[:, 0], 1 - probabilities.ravel())


def test_it_learns_what_the_colour_says(run: Run) -> None:
    figures = pd.read_csv(run.evaluation).query("group_column.isna()").set_index(["split", "metric"])["value"]
    for name in SETS:
        assert figures[name, "auroc_macro"] > 0.9
        assert figures[name, "accuracy_macro"] > 0.75


def test_the_tables_say_what_the_manifest_and_the_logits_say(run: Run, tagged: Path) -> None:
    whole = pd.read_csv(tagged, dtype=str, keep_default_na=False).set_index("id")
    for name in SETS:
        table, labels, predicted, probabilities = answers(run, name)
        logits = table[[f"logit_{name}" for name in CLASSES]].astype(float).to_numpy()
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-9)
        assert (predicted == (logits > 0)).all()
        expected = [set(filter(None, cell.split(";"))) for cell in whole.loc[table["id"], "label"]]
        assert [{k for k, yes in zip(CLASSES, row, strict=True) if yes} for row in labels] == expected
        assert (table["label"] == "").sum() == sum(not one for one in expected) > 0


def test_figures_are_those_of_scikit_learn_on_the_saved_answers(run: Run) -> None:
    figures = pd.read_csv(run.evaluation)
    whole = figures[figures["group_column"].isna()].set_index(["split", "metric"])
    for name in SETS:
        _, labels, predicted, probabilities = answers(run, name)
        found, value = whole.loc[name], whole.loc[name]["value"]
        assert value["auroc_macro"] == pytest.approx(metrics.roc_auc_score(labels, probabilities))
        assert value["ap_macro"] == pytest.approx(metrics.average_precision_score(labels, probabilities))
        assert value["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
        assert value["accuracy_macro"] == pytest.approx(1 - metrics.hamming_loss(labels, predicted))
        assert value["brier_macro"] == pytest.approx(((probabilities - labels) ** 2).mean())
        for k, one in enumerate(CLASSES):
            assert value[f"auroc[{one}]"] == pytest.approx(metrics.roc_auc_score(labels[:, k], probabilities[:, k]))
        assert (found["low"] <= value).all()
        assert (value <= found["high"]).all()
    by_decoy = figures[(figures["group_column"] == "decoy") & (figures["metric"] == "auroc_macro")]
    assert by_decoy["value"].isna().all()  # one colour has one set of labels
    assert by_decoy["note"].str.contains("not even, low, three").all()


def test_the_epoch_that_is_kept_is_the_one_whose_figures_are_best(run: Run) -> None:
    epochs = pd.read_csv(run.metrics)
    best = epochs[epochs["val/auroc"] == epochs["val/auroc"].max()].iloc[-1]
    _, labels, predicted, probabilities = answers(run, "val")
    assert best["val/auroc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities), abs=1e-6)
    assert best["val/accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-6)
    assert best["val/loss"] == pytest.approx(metrics.log_loss(labels.ravel(), probabilities.ravel()), abs=1e-5)


def test_evaluate_gives_the_same_again_and_refuses_what_asks_for_one_class(run: Run) -> None:
    before = run.evaluation.read_bytes()
    assert "accuracy, mean" in salign("evaluate", run.path).out
    assert run.evaluation.read_bytes() == before
    for asked in (("--threshold", "apcer5"), ("--species", "decoy")):
        said = salign("evaluate", run.path, *asked, code=2)
        assert "images may have several labels" in said.err
        assert "leave threshold and species out" in " ".join(said.err.split())
    assert run.evaluation.read_bytes() == before


def test_predict_answers_as_training_did(run: Run, digits: Path, tmp_path: Path) -> None:
    """And maps are the mean over what is predicted; zeros where that is nothing."""
    out, maps = tmp_path / "out.csv", tmp_path / "maps"
    salign("predict", run.path, digits.parent / "images" / "val", "--out", out, "--maps", maps, "--workers", 0)
    found = pd.read_csv(out, dtype=str, keep_default_na=False)
    table, _, predicted, probabilities = answers(run, "val")
    assert found["predicted"].tolist() == table["predicted"].tolist()
    again = found[[f"prob_{name}" for name in CLASSES]].astype(float).to_numpy()
    np.testing.assert_allclose(again, probabilities, atol=1e-5)
    drawn = [np.asarray(Image.open(maps / name)) for name in found["path"]]
    assert [bool(one.any()) for one in drawn] == predicted.any(1).tolist()
    assert not predicted.any(1).all()
    several = int(np.flatnonzero(predicted.sum(1) > 1)[0])
    image = to_dtype(pil_to_tensor(Image.open(digits.parent / table["path"][several])), scale=True)
    with torch.no_grad():
        cams = load(run.path)(image[None]).cam(torch.arange(3)[None])[0, predicted[several]]
    np.testing.assert_allclose(drawn[several], 255 * min_max(cams.mean(0)[None])[0], atol=0.51)


def test_explain_shows_several_and_what_cannot_says_so(run: Run) -> None:
    ended = salign("explain", run.path, "--images", 10, "--set", "test_iid")
    page = Path(ended.out.split("wrote ")[1].split(". Next")[0]).read_text()
    shown = json.loads(page.partition('<script type="application/json">')[2].partition("</script>")[0])["items"]
    rows = answers(run, "test_iid")[0].set_index("id")
    expected = [(rows["label"][one["id"]] or "none", rows["predicted"][one["id"]] or "none") for one in shown]
    assert [(one["label"], one["answers"][0]["predicted"]) for one in shown] == expected
    assert len(expected) == 10
    assert "rise explains one class" in salign("explain", run.path, "--method", "rise", code=2).err
    with pytest.raises(SalignError, match=r"a teacher marks the evidence for one class.*salign saliency train"):
        maker_of(run.path)


@pytest.mark.parametrize("of", ["predicted", "true"])
def test_analyse_compares_the_mean_map_of_the_images_classes(run: Run, tmp_path: Path, of: str) -> None:
    copy = Run(shutil.copytree(run.path, tmp_path / "copy"))
    found = analyse_run(copy, sets=["val"], images=25, of=of)
    content = Recipe.read(run.recipe_file).data
    manifest = Manifest.read(content.manifest, content.root, multi_label=True)
    table, labels, predicted, _ = answers(run, "val")
    order = np.random.default_rng(0).permutation(len(table))[:25]
    rows = found["agreement"].set_index("id")
    chosen = (predicted if of == "predicted" else labels).astype(bool)
    assert list(rows.index) == [table["id"][k] for k in order if chosen[k].any()]
    assert len(rows) < 25
    dataset, classifier = SaliencyDataset(manifest, CLASSES, build_transform(64)), load(run.path)
    for k in order[:6]:
        if chosen[k].any():
            sample = dataset[int(np.flatnonzero(manifest.table["id"] == table["id"][k])[0])]
            with torch.no_grad():
                cams = classifier(sample.images[None]).cam(torch.arange(3)[None])[0]
            expected = float(METRICS["cc"](cams[chosen[k]].mean(0)[None], sample.saliency))
            assert rows["cc"][table["id"][k]] == pytest.approx(expected, abs=1e-3)
            assert rows["predicted"][table["id"][k]] == table["predicted"][k]
    kept = read_maps(copy)["val"]
    assert kept.predicted.tolist() == table["predicted"][order].tolist()
    untouched = found["reliance"].query("kept == 'all'").set_index("metric")["value"]
    right = (predicted == labels).all(1)
    assert untouched["accuracy"] == pytest.approx(right[order].mean())
    assert untouched["flipped"] == 0
    same = compare_runs([copy, copy])
    assert same["answers"].item() == 1


def test_a_data_set_that_cannot_be_used_is_refused(tagged: Path, digits: Path, tmp_path: Path) -> None:
    table = pd.read_csv(tagged, dtype=str, keep_default_na=False)

    def said(labels: pd.Series, **data: object) -> str:
        path = tmp_path / "changed.csv"
        table.assign(label=labels).to_csv(path, index=False)
        content = recipe(path, digits, **data)
        return " ".join(salign("train", written(tmp_path / "r.yaml", content), "--out", tmp_path, code=2).err.split())

    labels = table["label"]
    spaced = said(labels.where(table.index != 0, "low; even"))
    assert "row 2, label: 'low; even' has spaces around a name; write 'low;even'" in spaced
    always = said((labels + ";all").str.lstrip(";"))
    assert "the training set has no image without all" in always
    assert "data.classes" in always
    never = said(labels.where(table["split"] != "val", "low"))
    assert "the validation set has no image of even, three; it needs one" in never
    assert "multi_label" not in never
    joined = said(labels.where(table["split"] != "val", "low").replace("", "none"), multi_label=False)
    assert "set data.multi_label: true" in joined
    assert "an empty label, for none of the classes, goes with data.multi_label: true" in said(
        labels, multi_label=False
    )


def test_other_classes_are_taken_away_and_their_images_stay(tagged: Path, digits: Path) -> None:
    content = recipe(tagged, digits, classes=["three", "even"], limit=90, annotated=0.5)
    data = prepare(DataRecipe(**content["data"]))
    assert data.classes == ("three", "even")
    assert data.positive is None
    assert len(data.train) == 90
    assert int(data.train.annotated.sum()) == 45
    assert data.val.labels.shape == (100, 2)
    assert data.val.labels.sum(0).tolist() == [40, 50]
    assert set(data.val.manifest.table["label"].dropna()) == {"even", "three", "even;three"}
    assert torch.equal(data.val[3].labels, data.val.labels[3])


def test_balanced_weights_go_by_labels() -> None:
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]]).float()
    assert balanced_weights(labels, 3).tolist() == pytest.approx([5 / 9, 5 / 3, 5 / 3])
    one_hot = torch.eye(3)[[0, 1, 1, 2]]
    assert torch.equal(balanced_weights(one_hot, 3), balanced_weights(one_hot.argmax(1), 3))


def test_the_recipe_is_kept_whole(run: Run) -> None:
    assert Recipe.read(run.recipe_file).data.multi_label
    assert load(run.path).multi_label
    assert Manifest.read(
        Recipe.read(run.recipe_file).data.manifest, Recipe.read(run.recipe_file).data.root, multi_label=True
    )
