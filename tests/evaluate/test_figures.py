"""The table of figures: equal to the functions it is made of, and honest where a figure has no meaning."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from references.tables import predictions
from salign.errors import SalignError
from salign.evaluate import (
    acer,
    apcer_per_species,
    auroc,
    bpcer_at_apcer,
    choose_threshold,
    eer,
    evaluate_predictions,
    one_vs_rest,
)
from salign.evaluate.figures import _two_class

PAIR = ["live", "spoof"]


def evaluate(table: pd.DataFrame, classes=PAIR, *, seed: int = 0, **options) -> pd.DataFrame:
    options.setdefault("resamples", 50)
    return evaluate_predictions(table, classes, generator=np.random.default_rng(seed), **options)


def pick(figures: pd.DataFrame, metric: str, *, split: str = "test", group: str = "") -> pd.Series:
    (row,) = figures[(figures.metric == metric) & (figures.split == split) & (figures.group == group)].iloc
    return row


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    labels = [PAIR[k] for k in rng.integers(0, 2, 120)]
    made = predictions(labels, PAIR, seed=4, site=list(rng.choice(["a", "b", ""], 120)))
    made["species"] = [("print", "replay")[k % 2] if label == "spoof" else "" for k, label in enumerate(labels)]
    made.loc[80:, "split"] = "ood"
    return made


def test_images_without_a_label_are_refused(table: pd.DataFrame) -> None:
    table.loc[[3, 7], "label"] = ""
    with pytest.raises(SalignError, match=r"2 fault(?s:.)*row 5 \(i3\), label: empty"):
        evaluate(table)


def test_values_are_those_of_the_functions(table: pd.DataFrame) -> None:
    found = evaluate(table, threshold=0.4, species_column="species", group_columns=["site"])
    part = table[table.split == "test"]
    attack, scores = part.label.to_numpy() == "spoof", part.prob_spoof.to_numpy()
    assert pick(found, "auroc").value == auroc(scores, attack)
    assert pick(found, "auroc_logit").value == pytest.approx(metrics.roc_auc_score(attack, part.logit_spoof))
    assert pick(found, "auroc_logit").value != pick(found, "auroc").value
    assert pick(found, "accuracy").value == (part.label == part.predicted).mean()
    assert pick(found, "accuracy_at_threshold").value == pytest.approx(((scores >= 0.4) == attack).mean())
    assert pick(found, "acer").value == acer(scores, attack, 0.4, part.species)
    assert pick(found, "apcer[print]").value == apcer_per_species(scores, attack, 0.4, part.species)["print"]
    assert pick(found, "apcer[print]").n == (part.species == "print").sum()
    assert pick(found, "bpcer_at_apcer5").value == bpcer_at_apcer(scores, attack, 0.05, part.species)
    assert "fixed beforehand" in pick(found, "bpcer").note
    assert "worst of 2 species" in pick(found, "apcer").note
    site = part[part.site == "b"]
    assert pick(found, "eer", group="b").value == eer(site.prob_spoof, site.label == "spoof")
    assert set(found.group) == {"", "a", "b", "(empty)"}
    assert set(found.split) == {"test", "ood"}


def test_intervals_hold_the_value_and_follow_the_generator(table: pd.DataFrame) -> None:
    found = evaluate(table, resamples=300)
    row = pick(found, "auroc")
    assert row.low < row.value < row.high
    pd.testing.assert_frame_equal(found, evaluate(table, resamples=300))
    assert (evaluate(table, resamples=300, seed=1).low != found.low).any()
    narrow = pick(evaluate(table, resamples=300, confidence=0.5), "auroc")
    assert narrow.high - narrow.low < row.high - row.low
    assert evaluate(table, resamples=0).low.isna().all()


def test_the_first_class_can_be_the_positive_one(table: pd.DataFrame) -> None:
    first, last = evaluate(table, positive="live"), evaluate(table)
    assert pick(first, "auroc").value == pytest.approx(pick(last, "auroc").value)
    assert pick(first, "bpcer").value == pytest.approx(pick(last, "apcer").value)
    assert "not fixed on validation" in pick(last, "apcer").note
    assert "all attacks taken as one species" in pick(last, "apcer").note


def test_many_classes_give_the_macro_forms() -> None:
    classes = ["a", "b", "c", "d"]
    table = predictions([classes[k % 3] for k in range(60)], classes)
    found = evaluate(table, classes)
    shares = table[[f"prob_{name}" for name in classes]].to_numpy()
    labels = np.arange(60) % 3
    assert pick(found, "auroc_macro").value == pytest.approx(one_vs_rest(auroc, shares, labels))
    assert pick(found, "eer_macro").value == pytest.approx(one_vs_rest(eer, shares, labels))
    assert pick(found, "auroc_macro").note == "mean over the classes present; no image of d"
    assert pick(found, "brier_macro").note == ""
    assert "apcer" not in set(found.metric)
    with pytest.raises(SalignError, match="two classes"):
        evaluate(table, classes, positive="a")
    with pytest.raises(SalignError, match="two classes"):
        choose_threshold(table, classes)


@pytest.mark.parametrize("label", PAIR)
def test_one_class_only_gives_reasons_not_numbers(label: str) -> None:
    found = evaluate(predictions([label] * 40, PAIR, shift=0.3)).set_index("metric")
    other = PAIR[1 - PAIR.index(label)]
    for metric in (
        "auroc",
        "auroc_logit",
        "ap",
        "eer",
        "balanced_accuracy",
        "worst_class_accuracy",
        "acer",
        "bpcer_at_apcer1",
    ):
        assert found.loc[metric, ["value", "low", "high"]].isna().all()
        assert found.loc[metric, "note"] == f"no image of class {other}"
    own, absent = ("apcer", "bpcer") if label == "spoof" else ("bpcer", "apcer")
    assert 0 < found.loc[own, "value"] < 1
    assert math.isnan(found.loc[absent, "value"])
    assert found.loc[absent, "note"] == f"no image of class {other}"
    assert 0 < found.loc["accuracy", "low"] < found.loc["accuracy", "high"] < 1


def test_the_area_of_a_class_is_about_all_images() -> None:
    found = evaluate(predictions(["a"] * 6 + ["b"] * 3 + ["c"] * 3, ["a", "b", "c"], seed=1), ["a", "b", "c"])
    assert [pick(found, f"{name}[a]").n for name in ("auroc", "sensitivity", "specificity")] == [12, 6, 6]


def test_the_threshold_keeps_the_worst_kind_of_attack_to_the_share() -> None:
    """A quarter may be missed: of seven attacks as one kind the lowest, of the two of kind b none."""
    scores = [0.1, 0.2, 0.9, 0.8, 0.7, 0.6, 0.5, 0.55, 0.35]
    table = predictions(["live"] * 2 + ["spoof"] * 7, PAIR, species=["-"] * 2 + ["a"] * 5 + ["b"] * 2)
    table = table.assign(prob_live=1 - np.array(scores), prob_spoof=scores)
    table["predicted"] = np.where(table["prob_spoof"] >= 0.5, "spoof", "live")
    assert choose_threshold(table, PAIR, rule="apcer25") == pytest.approx((0.5 + 0.35) / 2)
    assert choose_threshold(table, PAIR, rule="apcer25", species_column="species") == pytest.approx((0.35 + 0.2) / 2)
    figures = evaluate(table, threshold=0.52, species_column="species", resamples=0)
    expected = {"apcer[a]": 0.2, "apcer[b]": 0.5, "apcer": 0.5, "bpcer": 0, "acer": 0.25}
    assert {metric: pick(figures, metric).value for metric in expected} == pytest.approx(expected)
    assert pick(figures, "acer").note == "threshold 0.52 fixed beforehand"
    assert "taken at APCER 0 %" in pick(figures, "bpcer_at_apcer10").note


def test_the_note_says_which_share_of_the_worst_kind_was_let_through() -> None:
    """Of eleven attacks of kind a one may be missed at 10 %: 9.09 % of them, and not 7.69 % of all thirteen."""
    scores = [0.05, 0.1, *np.linspace(0.2, 0.7, 11), 0.8, 0.9]
    table = predictions(["live"] * 2 + ["spoof"] * 13, PAIR, species=["-"] * 2 + ["a"] * 11 + ["b"] * 2)
    table = table.assign(prob_live=1 - np.array(scores), prob_spoof=scores)
    table["predicted"] = np.where(table["prob_spoof"] >= 0.5, "spoof", "live")
    figures = evaluate(table, threshold=0.5, species_column="species", resamples=0)
    assert "taken at APCER 9.09 %" in pick(figures, "bpcer_at_apcer10").note
    assert "taken at APCER 7.69 %" in pick(evaluate(table, threshold=0.5, resamples=0), "bpcer_at_apcer10").note


def test_every_resample_holds_as_many_attacks_of_each_kind() -> None:
    """So the one attack of a kind is drawn every time, and the rate of two can only be 0, 1/2 or 1."""
    scores = [0.1, 0.6, 0.9, 0.8, 0.7, 0.3, 0.4, 0.6]
    table = predictions(["live"] * 2 + ["spoof"] * 6, PAIR, species=["-"] * 2 + ["a"] * 3 + ["one"] + ["b"] * 2)
    table = table.assign(prob_live=1 - np.array(scores), prob_spoof=scores)
    table["predicted"] = np.where(table["prob_spoof"] >= 0.5, "spoof", "live")
    figures = evaluate(table, threshold=0.5, species_column="species", resamples=400)
    for metric, expected in (("apcer[one]", (1, 1, 1)), ("apcer[a]", (0, 0, 0)), ("apcer[b]", (0.5, 0, 1))):
        row = pick(figures, metric)
        assert (row.value, row.low, row.high) == expected
        assert "resamples that lack" not in row.note


@pytest.mark.parametrize("classes", [PAIR, ["a", "b", "c"]])
def test_one_image_has_no_interval(classes: list[str]) -> None:
    found = evaluate(predictions(classes[-1:], classes), classes).set_index("metric")
    assert found.low.isna().all()
    assert found.loc["accuracy", "value"] in (0.0, 1.0)
    assert "cannot be resampled" in found.loc["accuracy", "note"]
    assert (found.note[found.value.isna()] != "").all()
    assert found.value.isna().any()


def test_certain_looking_intervals_carry_a_caveat() -> None:
    easy = evaluate(predictions(["live"] * 10 + ["spoof"] * 10, PAIR, shift=20.0))
    assert "all resamples agree" in pick(easy, "auroc").note
    lone = evaluate(predictions(["live"] + ["spoof"] * 10, PAIR, shift=0.3))
    assert "one image" in pick(lone, "accuracy").note
    assert "1 % is finer than one of 10 attacks" in pick(lone, "bpcer_at_apcer1").note


def test_the_threshold_is_chosen_on_validation_and_kept(table: pd.DataFrame) -> None:
    validation, test = table[table.split == "ood"], table[table.split == "test"]
    threshold = choose_threshold(validation, PAIR)
    own = evaluate(validation, threshold=threshold)
    balance = (pick(own, "apcer", split="ood").value + pick(own, "bpcer", split="ood").value) / 2
    assert balance == pytest.approx(pick(own, "eer", split="ood").value)
    strict = choose_threshold(validation, PAIR, rule="apcer5", species_column="species")
    kept = evaluate(validation, threshold=strict, species_column="species")
    assert pick(kept, "apcer", split="ood").value <= 0.05
    assert pick(kept, "bpcer", split="ood").value == pick(kept, "bpcer_at_apcer5", split="ood").value
    assert pick(evaluate(test, threshold=strict), "apcer").value != pick(evaluate(test), "apcer").value
    with pytest.raises(SalignError, match="unknown rule 'youden'"):
        choose_threshold(validation, PAIR, rule="youden")
    with pytest.raises(SalignError, match="both kinds"):
        choose_threshold(validation[validation.label == "live"], PAIR)


def test_arguments_that_name_nothing_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(SalignError, match="no column age"):
        evaluate(table, group_columns=["age"])
    with pytest.raises(SalignError, match="no column kind"):
        evaluate(table, species_column="kind")
    with pytest.raises(SalignError, match="'cat' is none of the classes"):
        evaluate(table, positive="cat")
    with pytest.raises(SalignError, match="finite"):
        evaluate(table, threshold=float("nan"))
    with pytest.raises(SalignError, match="empty"):
        evaluate(table.iloc[:0])
    table.loc[7, "prob_live"] = np.nan
    with pytest.raises(SalignError, match=r"row 9 \(i7\), prob_live"):
        evaluate(table)


def test_figures_of_a_thousand_resamples_come_from_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes them take a second and not minutes: hundreds of resamples are counts in one array."""
    passes = []
    monkeypatch.setattr(
        "salign.evaluate.figures._two_class",
        lambda images, drawn: passes.append(drawn.shape) or _two_class(images, drawn),
    )
    evaluate(predictions([PAIR[k % 2] for k in range(500)], PAIR), resamples=1000)
    assert passes[0] == (1, 500)
    assert sum(rows for rows, _ in passes[1:]) == 1000
    assert len(passes) < 10


def of_cat(probabilities: list[float], labels: list[str], classes: list[str], split: str = "test") -> pd.DataFrame:
    """Answers by the probability of `cat`, the first class; the others share the rest."""
    rest = (1 - np.array(probabilities)) / (len(classes) - 1)
    columns = {"cat": np.array(probabilities), **dict.fromkeys(classes[1:], rest)}
    highest = pd.DataFrame(columns).idxmax(axis=1)
    made = pd.DataFrame({"id": [f"{split}{k}" for k in range(len(labels))], "path": "", "split": split})
    return made.assign(
        label=labels, predicted=highest, **{f"logit_{name}": np.log(each) for name, each in columns.items()},
        **{f"prob_{name}": each for name, each in columns.items()},
    )  # fmt: skip


@pytest.mark.parametrize("classes", [["cat", "dog"], ["cat", "dog", "eel"]])
def test_a_constant_answer_is_noted_where_answers_are_counted(classes: list[str]) -> None:
    """Of two sets and two groups one each gets the same answer to all; images of one kind, all right, are no fault."""
    alike = of_cat([0.9, 0.8, 0.7, 0.6], ["cat", "dog", "cat", classes[-1]], classes, "alike")
    apart = of_cat([0.9, 0.3, 0.1, 0.2], ["cat", "dog", "dog", classes[-1]], classes, "apart")
    one = of_cat([0.9, 0.8], ["cat", "cat"], classes, "one kind")
    table = pd.concat([alike, apart, one]).assign(site=[*"aabb", *"aabb", *"ab"])
    found = evaluate(table, classes, resamples=0, group_columns=["site"])
    said = found[found["note"].str.contains("images are called")]
    apart_b = {"cat, dog": "dog", "cat, dog, eel": "dog"}[", ".join(classes)]
    places = {(row.split, row.group, row.note.partition("all ")[2].partition(",")[0]) for row in said.itertuples()}
    expected = {("alike", "", "4 images are called cat"), ("alike", "b", "2 images are called cat")}
    expected |= {("alike", "a", "2 images are called cat")}
    if len(classes) == 3:
        expected |= {("apart", "b", f"2 images are called {apart_b}")}
    assert places == expected
    assert set(said["metric"]) == {"accuracy", "balanced_accuracy", "worst_class_accuracy"}
    note = pick(found, "accuracy", split="alike").note
    assert note == (
        "all 4 images are called cat, with probabilities that differ by at most 0.3: the classifier may tell images "
        "apart by a threshold only, and neither its accuracy nor answers that stay or agree speak for it"
    )
