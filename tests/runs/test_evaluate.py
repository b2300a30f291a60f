"""Predictions and figures of a run, computed again from its files: thresholds, groups, kinds of attack."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import salign
from salign.errors import SalignError
from salign.runs import evaluate as module
from salign.runs.evaluate import evaluate_run
from salign.runs.run import Run
from salign.train.recipe import Recipe


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run that may be changed."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def table(run, name):
    return pd.read_csv(run.predictions_file(name), dtype={"label": str, "predicted": str, "decoy": str})


def value(figures, split, metric, group=""):
    (found,) = figures.query("split == @split and metric == @metric and group == @group")["value"]
    return found


def test_figures_are_those_of_scikit_learn_on_the_saved_answers(run):
    figures = evaluate_run(run, resamples=0, groups=[])
    assert figures["split"].unique().tolist() == ["val", "test_iid", "test_ood"]
    for name in ("val", "test_iid", "test_ood"):
        rows = table(run, name)
        attack = rows["label"] == "7"
        assert value(figures, name, "accuracy") == pytest.approx((rows["label"] == rows["predicted"]).mean())
        assert value(figures, name, "auroc") == pytest.approx(metrics.roc_auc_score(attack, rows["prob_7"]))
        assert value(figures, name, "auroc_logit") == pytest.approx(metrics.roc_auc_score(attack, rows["logit_7"]))
        assert value(figures, name, "brier") == pytest.approx(metrics.brier_score_loss(attack, rows["prob_7"]))


@pytest.mark.parametrize("shown", [True, False])
def test_every_set_is_predicted_and_a_bar_says_which(run, monkeypatch, shown):
    asked, two = [], pd.DataFrame({"id": ["a", "b"]})

    def predicted(classifier, dataset, *, workers, progress):
        asked.append((classifier, dataset, workers, progress))
        return iter([two, two, two])

    monkeypatch.setattr(module, "predict_batches", predicted)
    recipe = run.recipe.with_values({"data": {"test": ["far"], "workers": 3}})
    data = SimpleNamespace(train="train", sets={"val": "images of val", "far": "images of far"})
    run.remember(recipe, data)
    assert module.predict_sets(run, "net", progress=shown) == {"val": 6, "far": 6}
    assert asked == [
        ("net", "images of val", 3, "predicting val" if shown else None),
        ("net", "images of far", 3, "predicting far" if shown else None),
    ]
    assert pd.read_csv(run.predictions_file("far")).to_numpy().tolist() == [["a", "far"], ["b", "far"]] * 3


def answer(run, name, scores, **columns):
    """Write the predictions of a set: label -> probability of class 7 of each of its images."""
    rows = [(label, score) for label, listed in scores.items() for score in listed]
    seven = np.array([score for _, score in rows])
    made = pd.DataFrame({"id": [f"{name}{k}" for k in range(len(rows))], "label": [label for label, _ in rows]})
    made = made.assign(path=made["id"] + ".png", split=name, predicted=np.where(seven >= 0.5, "7", "1"))
    made = made.assign(logit_1=np.log(1 - seven), logit_7=np.log(seven), prob_1=1 - seven, prob_7=seven, **columns)
    made.to_csv(run.predictions_file(name), index=False)
    (run.path / "done").write_text("")  # it notes how many rows were written


def change(run, **data):
    """Write other values into the recipe's section `data`."""
    run.recipe_file.write_text(Recipe.read(run.recipe_file).with_values({"data": data}).to_yaml())


@pytest.fixture
def by_hand(run):
    """Three sets whose answers ask for three thresholds (validation: half way between .2 and .6)."""
    change(run, groups=[])
    answer(run, "val", {"1": [0.1, 0.2], "7": [0.6, 0.8]})
    answer(run, "test_iid", {"1": [0.45, 0.5, 0.3, 0.1], "7": [0.6, 0.7, 0.39]})
    answer(run, "test_ood", {"1": [0.02, 0.05], "7": [0.15, 0.2, 0.41, 0.9, 0.1]})
    return run


def test_the_threshold_comes_from_validation_alone(by_hand):
    figures = evaluate_run(by_hand, resamples=0)
    expected = {"val": (0, 0), "test_iid": (1 / 3, 2 / 4), "test_ood": (3 / 5, 0)}  # missed below .4, alarms from .4 on
    for split, rates in expected.items():
        assert tuple(value(figures, split, metric) for metric in ("apcer", "bpcer")) == pytest.approx(rates)
        notes = figures.query("split == @split and metric == 'bpcer'")["note"].tolist()
        assert notes == ["threshold 0.4 fixed beforehand"]


def test_the_threshold_is_one_of_the_positive_class_that_the_recipe_names(by_hand):
    """Class 1 has .8 and more on validation, class 7 .4 and less: half way is .6."""
    change(by_hand, positive="1")
    figures = evaluate_run(by_hand, resamples=0)
    expected = {"val": (0, 0), "test_iid": (2 / 4, 1 / 3), "test_ood": (0, 3 / 5)}
    for split, rates in expected.items():
        assert tuple(value(figures, split, metric) for metric in ("apcer", "bpcer")) == pytest.approx(rates)
    assert set(figures.query("metric == 'bpcer'")["note"]) == {"threshold 0.6 fixed beforehand"}


@pytest.mark.parametrize("named", ["in the recipe", "in the call"])
def test_the_kind_of_attack_reaches_the_threshold_and_the_figures(by_hand, named):
    """A quarter may be missed: of seven attacks as one kind the lowest, and the threshold would be .425; of the two of
    kind b none, so that it is half way between .35 and .2."""
    kinds = ["-"] * 2 + ["a"] * 5 + ["b"] * 2
    answer(by_hand, "val", {"1": [0.1, 0.2], "7": [0.9, 0.8, 0.7, 0.6, 0.5, 0.55, 0.35]}, kind=kinds)
    for name in ("test_iid", "test_ood"):
        answer(by_hand, name, {"1": [0.1], "7": [0.2, 0.9, 0.25, 0.26]}, kind=["-", "a", "a", "b", "b"])
    if named == "in the recipe":
        change(by_hand, species="kind")
    figures = evaluate_run(by_hand, rule="apcer25", species=None if named == "in the recipe" else "kind", resamples=0)
    assert "threshold 0.275 fixed beforehand" in figures.query("metric == 'apcer'")["note"].iloc[0]
    found = {metric: value(figures, "test_ood", metric) for metric in ("apcer[a]", "apcer[b]", "apcer")}
    assert found == {"apcer[a]": 0.5, "apcer[b]": 1, "apcer": 1}
    assert value(figures, "val", "apcer[b]") == 0


def test_rules_groups_and_resamples_reach_the_figures(run):
    loose, strict = (evaluate_run(run, resamples=0, rule=rule) for rule in ("apcer50", "apcer1"))
    assert value(strict, "val", "apcer") <= 0.01
    assert value(loose, "val", "apcer") <= 0.5
    assert value(strict, "val", "bpcer") >= value(loose, "val", "bpcer")
    assert set(strict["group_column"]) == {"", "decoy"}  # as the recipe asked
    rows = table(run, "test_ood")
    for decoy, part in rows.groupby("decoy"):
        assert value(strict, "test_ood", "accuracy", decoy) == pytest.approx(
            (part["label"] == part["predicted"]).mean()
        )
    assert strict["low"].isna().all()
    narrow, wide = (
        evaluate_run(run, groups=[], resamples=200, confidence=confidence, seed=1) for confidence in (0.5, 0.95)
    )
    assert set(narrow["group_column"]) == {""}
    width = lambda figures: (figures["high"] - figures["low"]).dropna().sum()  # noqa: E731
    assert width(narrow) < width(wide)
    with pytest.raises(SalignError, match="unknown rule"):
        evaluate_run(run, rule="best")
    with pytest.raises(SalignError, match="age"):
        evaluate_run(run, groups=["age"])


def test_the_same_seed_gives_the_same_file(run):
    evaluate_run(run, seed=0)
    first = run.evaluation.read_bytes()
    evaluate_run(run, seed=1)
    assert run.evaluation.read_bytes() != first
    evaluate_run(run, seed=0)
    assert run.evaluation.read_bytes() == first


def test_damaged_predictions_leave_the_figures_as_they_were(run):
    before = run.evaluation.read_bytes()
    path = run.predictions_file("test_ood")
    path.write_text(re.sub(r"(?m)^((?:[^,]+,){3})7,", r"\g<1>8,", path.read_text(), count=1))
    with pytest.raises(SalignError, match=r"test_ood\.csv.*\n.*row \d+.*'8' is none of the classes"):
        evaluate_run(run)
    assert run.evaluation.read_bytes() == before


def half_way(scores, attack):
    """Slow and obvious: of all cuts between two neighbouring scores, highest first, that whose two error rates are
    nearest; the threshold lies half way between the neighbours."""
    ordered = sorted(set(scores))
    cuts = [ordered[0], *(low + (high - low) / 2 for low, high in itertools.pairwise(ordered))]

    def apart(cut):
        missed = [score < cut for score, is_attack in zip(scores, attack, strict=True) if is_attack]
        alarms = [score >= cut for score, is_attack in zip(scores, attack, strict=True) if not is_attack]
        return abs(Fraction(sum(missed), len(missed)) - Fraction(sum(alarms), len(alarms)))

    return min(reversed(cuts), key=apart)


@pytest.mark.parametrize("positive", ["1", "7"])
def test_model_json_keeps_the_threshold_of_validation_to_the_last_bit(run, positive):
    """The two test sets and the training would choose another one; the digits have 15 and more places."""
    generator = np.random.default_rng(3)
    for name, shift in (("val", 0), ("test_iid", 0.2), ("test_ood", -0.1)):
        answer(run, name, {"1": generator.uniform(0.2, 0.6, 31) + shift, "7": generator.uniform(0.4, 0.8, 23) + shift})
    change(run, positive=positive, groups=[])
    evaluate_run(run, resamples=0)
    with run.predictions_file("val").open() as file:
        rows = list(csv.DictReader(file))
    expected = half_way([float(row[f"prob_{positive}"]) for row in rows], [row["label"] == positive for row in rows])
    kept = salign.load(run.path).threshold
    assert (kept.positive, kept.probability, kept.rule) == (positive, expected, "eer")
    assert expected != round(expected, 14)
    assert json.loads((run.path / "model.json").read_text())["threshold"] == {
        "positive": positive, "probability": expected, "rule": "eer",
    }  # fmt: skip


def test_the_kept_threshold_is_that_of_the_last_evaluation(by_hand):
    weights = (by_hand.path / "weights.safetensors").read_bytes()
    evaluate_run(by_hand, rule="apcer50", resamples=0)
    kept = salign.load(by_hand.path).threshold
    assert (kept.positive, kept.probability, kept.rule) == ("7", 0.6 + (0.8 - 0.6) / 2, "apcer50")
    with pytest.raises(SalignError, match="unknown rule"):
        evaluate_run(by_hand, rule="best")
    assert salign.load(by_hand.path).threshold == kept
    assert (by_hand.path / "weights.safetensors").read_bytes() == weights


def test_a_finished_training_has_kept_its_threshold(trained):
    rows = pd.read_csv(trained / "predictions" / "val.csv", dtype={"label": str})
    kept = salign.load(trained).threshold
    expected = half_way(rows["prob_7"].tolist(), (rows["label"] == "7").tolist())
    assert (kept.positive, kept.probability, kept.rule) == ("7", expected, "eer")
