"""Figures of several labels per image: by hand, against scikit-learn, and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from salign.errors import SalignError
from salign.evaluate import evaluate_multi_label, read_predictions, validate

CLASSES = ["a", "b", "c"]


def table(labels: np.ndarray, logits: np.ndarray, classes: list[str] = CLASSES, **more: object) -> pd.DataFrame:
    """A predictions table of `(N, K)` labels and logits."""
    named = [";".join(np.array(classes)[row.astype(bool)]) for row in labels]
    probabilities = 1 / (1 + np.exp(-logits))
    return pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(len(labels))],
            "path": "x.png",
            "split": "test",
            "label": named,
            "predicted": [";".join(np.array(classes)[row > 0]) for row in logits],
            **{f"logit_{name}": logits[:, k] for k, name in enumerate(classes)},
            **{f"prob_{name}": probabilities[:, k] for k, name in enumerate(classes)},
            **more,
        }
    )


def numbers(images: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((images, 3)) < [0.5, 0.3, 0.1]
    return labels, rng.normal(size=(images, 3)) + labels


def figures(made: pd.DataFrame, classes: list[str] = CLASSES, **options: object) -> pd.DataFrame:
    found = evaluate_multi_label(made, classes, **{"generator": np.random.default_rng(0), **options})
    return found.set_index("metric")


def test_by_hand() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]])
    logits = np.array([[2.0, -1.0, -1.0], [-1.0, 3.0, -2.0], [-2.0, -3.0, -3.0], [-3.0, 1.0, 2.0]])
    found = figures(table(labels, logits), resamples=0)
    assert found["value"]["accuracy"] == 0.75  # the second image lacks a
    assert found["value"]["accuracy_macro"] == pytest.approx(11 / 12)
    assert found["value"]["auroc[a]"] == 1
    assert found["value"]["ap_macro"] == 1
    assert [found["value"][f"{rate}[a]"] for rate in ("sensitivity", "specificity", "ppv", "npv")] == [0.5, 1, 1, 2 / 3]
    assert found["value"]["f1_macro"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found["n"]["sensitivity[a]"] == 2
    assert (found["n"][~found.index.str.match("sens|spec|ppv|npv")] == 4).all()
    assert found["note"]["auroc[c]"] == "1 images with c"


def test_a_constant_answer_is_noted_where_answers_are_counted() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]])
    logits = np.array([2.0, -1.0, -1.0]) + np.array([[0.0], [0.001], [0.002], [0.003]])
    found = figures(table(labels, logits), resamples=0)["note"]
    said = found[found.str.contains("images are called")]
    assert set(said.index) == {"accuracy", "accuracy_macro"}
    assert said["accuracy"].startswith("all 4 images are called a, with probabilities that differ by at most 0.00059: ")
    logits[2, 0] = -1
    assert not figures(table(labels, logits), resamples=0)["note"].str.contains("images are called").any()


@pytest.mark.parametrize("seed", [0, 1])
def test_scikit_learn_agrees_on_the_data_and_on_a_resample(seed: int) -> None:
    labels, logits = numbers(seed=seed)
    made = table(labels, logits)
    probabilities = made[[f"prob_{name}" for name in CLASSES]].to_numpy()
    value = figures(made, resamples=0)["value"]
    assert value["auroc_macro"] == pytest.approx(metrics.roc_auc_score(labels, probabilities))
    assert value["ap_macro"] == pytest.approx(metrics.average_precision_score(labels, probabilities))
    assert value["accuracy"] == pytest.approx(metrics.accuracy_score(labels, logits > 0))
    assert value["accuracy_macro"] == pytest.approx(1 - metrics.hamming_loss(labels, logits > 0))
    assert value["brier_macro"] == pytest.approx(((probabilities - labels) ** 2).mean())


def test_intervals_are_those_of_images_drawn_from_all_alike() -> None:
    labels, logits = numbers()
    found = figures(table(labels, logits), resamples=400)
    rng = np.random.default_rng(7)
    drawn = [rng.integers(0, 120, 120) for _ in range(400)]
    for metric, figure in (("accuracy", metrics.accuracy_score), ("auroc_macro", metrics.roc_auc_score)):
        scores = logits > 0 if metric == "accuracy" else logits
        slow = np.quantile([figure(labels[rows], scores[rows]) for rows in drawn], [0.025, 0.975])
        assert found[["low", "high"]].loc[metric].to_numpy() == pytest.approx(slow, abs=0.02)


def test_a_class_of_one_kind_has_no_area_and_leaves_the_mean_alone() -> None:
    labels, logits = numbers()
    labels[:, 2], labels[:, 1] = False, True
    found = figures(table(labels, logits), resamples=50)
    assert found["value"][["auroc[b]", "auroc[c]", "ap[b]", "ap[c]"]].isna().all()
    assert found["note"]["auroc[c]"] == "no image with c"
    assert found["note"]["ap[b]"] == "no image without b"
    assert found["value"]["auroc_macro"] == found["value"]["auroc[a]"]
    assert found["note"]["auroc_macro"] == "mean over the classes of both kinds of images; not b, c"
    assert found["value"][["accuracy", "brier_macro"]].notna().all()
    labels[:, 0] = False
    assert np.isnan(figures(table(labels, logits), resamples=50)["value"]["ap_macro"])


def test_a_resample_without_a_rare_class_is_left_out_and_counted() -> None:
    labels, logits = numbers(40)
    labels[:, 2] = np.arange(40) < 2
    found = figures(table(labels, logits), resamples=200).loc["auroc[c]"]
    left_out = int(found["note"].split("interval without ")[1].split()[0])
    assert 10 < left_out < 50  # (1 - 2/40)^40 of 200 is 26
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


def test_a_figure_that_no_resample_has_is_without_an_interval() -> None:
    labels, logits = numbers()
    labels[:, 2] = np.arange(120) == 7
    found = figures(table(labels, logits), resamples=1, generator=np.random.default_rng(3)).loc["auroc[c]"]
    assert np.isfinite(found["value"])
    assert np.isnan([found["low"], found["high"]]).all()
    assert found["note"] == "1 images with c; interval without 1 resamples that lack one kind of image"


def test_two_classes_and_groups() -> None:
    labels, logits = numbers()
    made = table(labels[:, :2], logits[:, :2], ["a", "b"], site=["x", "y"] * 60)
    found = evaluate_multi_label(
        made, ["a", "b"], group_columns=["site"], resamples=0, generator=np.random.default_rng(0)
    )
    assert found["group"].unique().tolist() == ["", "x", "y"]
    of_y = found.query("group == 'y' and metric == 'auroc[b]'")["value"].item()
    assert of_y == pytest.approx(metrics.roc_auc_score(labels[1::2, 1], logits[1::2, 1]))
    with pytest.raises(SalignError, match="no column age"):
        figures(made, ["a", "b"], group_columns=["age"])
    with pytest.raises(SalignError, match="empty"):
        figures(made[:0], ["a", "b"])


def test_a_table_is_read_back_and_every_fault_is_named(tmp_path) -> None:
    made = table(*numbers(30))
    made.to_csv(tmp_path / "p.csv", index=False)
    again = read_predictions(tmp_path / "p.csv", CLASSES, multi_label=True)
    pd.testing.assert_frame_equal(figures(again, resamples=20), figures(made, resamples=20))
    with pytest.raises(SalignError, match="no probabilities that sum to 1"):
        read_predictions(tmp_path / "p.csv", CLASSES)
    made.loc[2, "prob_b"], made.loc[3, "label"], made.loc[4, "predicted"] = 1.2, "a;d", "d"
    made.loc[5, "predicted"] = "" if made["predicted"][5] else "a"
    with pytest.raises(SalignError) as caught:
        validate(made, CLASSES, multi_label=True)
    said = str(caught.value)
    assert "row 4 (i2), prob: " in said
    assert "row 5 (i3), label: 'a;d' names what is no class" in said
    assert "row 6 (i4), predicted: 'd' names what is no class" in said
    assert f"row 7 (i5), predicted: {made['predicted'][5]!r} are not the classes with a prob above one half" in said
