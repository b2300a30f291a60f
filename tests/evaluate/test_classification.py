"""Figures against torchmetrics, scikit-learn and plain loops, with and without resampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from sklearn import metrics
from torchmetrics.functional import classification as oracle

from references import figures
from salign.errors import SalignError
from salign.evaluate import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    brier,
    brier_macro,
    ece,
    eer,
    one_vs_rest,
    worst_class_accuracy,
)
from salign.evaluate.ranking import Ranking


def sample(images: int, classes: int, seed: int, *, ties: bool = False):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    logits = rng.normal(size=(images, classes)) + np.eye(classes)[labels]
    if ties:
        logits = logits.round()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return shares, labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("images", [2, 7, 200])
def test_two_class_figures_equal_scikit_learn(images: int, ties: bool) -> None:
    shares, labels = sample(images, 2, images, ties=ties)
    scores = shares[:, 1]
    assert auroc(scores, labels == 1) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert average_precision(scores, labels == 1) == pytest.approx(metrics.average_precision_score(labels, scores))
    assert brier(scores, labels == 1) == pytest.approx(metrics.brier_score_loss(labels, scores))


@pytest.mark.parametrize("seed", range(5))
def test_two_class_figures_equal_torchmetrics(seed: int) -> None:
    shares, labels = sample(301, 2, seed)
    scores, truth = torch.tensor(shares[:, 1]), torch.tensor(labels)
    assert auroc(scores, truth == 1) == pytest.approx(float(oracle.binary_auroc(scores, truth)), abs=1e-6)
    expected = float(oracle.binary_average_precision(scores, truth))
    assert average_precision(scores, truth == 1) == pytest.approx(expected, abs=1e-6)
    assert eer(scores, truth == 1) == pytest.approx(float(oracle.binary_eer(scores, truth)), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_figures_of_many_classes_equal_torchmetrics(classes: int) -> None:
    shares, labels = sample(400, classes, classes)
    p, y = torch.tensor(shares), torch.tensor(labels)
    keywords = {"num_classes": classes, "average": "macro"}
    assert one_vs_rest(auroc, p, y) == pytest.approx(float(oracle.multiclass_auroc(p, y, **keywords)), abs=1e-6)
    expected = float(oracle.multiclass_average_precision(p, y, **keywords))
    assert one_vs_rest(average_precision, p, y) == pytest.approx(expected, abs=1e-6)
    expected = float(oracle.multiclass_eer(p, y, num_classes=classes).mean())
    assert one_vs_rest(eer, p, y) == pytest.approx(expected, abs=1e-6)
    guesses = shares.argmax(1)
    assert accuracy(guesses, labels) == pytest.approx(metrics.accuracy_score(labels, guesses))
    assert balanced_accuracy(guesses, labels) == pytest.approx(metrics.balanced_accuracy_score(labels, guesses))
    assert worst_class_accuracy(guesses, labels) == min(metrics.recall_score(labels, guesses, average=None))
    expected = float(oracle.multiclass_calibration_error(p, y, num_classes=classes, n_bins=15))
    assert ece(p, y) == pytest.approx(expected, abs=1e-6)
    assert ece(shares, labels) == pytest.approx(figures.ece(shares.tolist(), labels.tolist()))
    rest = [metrics.brier_score_loss(labels == k, shares[:, k]) for k in range(classes)]
    assert brier_macro(shares, labels) == pytest.approx(np.mean(rest))


def test_certain_answers_fall_in_the_last_bin() -> None:
    shares = np.array([[0.0, 1.0], [0.0, 1.0], [0.03, 0.97]])
    assert ece(shares, [1, 0, 0]) == pytest.approx(figures.ece(shares.tolist(), [1, 0, 0]))


def test_counts_give_what_repeating_images_gives() -> None:
    """Each bootstrap row equals the figure on the images written out as often as they were drawn."""
    shares, labels = sample(40, 3, 5, ties=True)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, (6, 40)).astype(float)
    weights[:, :3] = 1  # every class stays present
    guesses = shares.argmax(1)
    for row, drawn in enumerate(weights):
        again = np.repeat(np.arange(40), drawn.astype(int))
        p, y = shares[again], labels[again]
        expected = [
            metrics.roc_auc_score(y, p, multi_class="ovr", average="macro"),
            np.mean([metrics.average_precision_score(y == k, p[:, k]) for k in range(3)]),
            np.mean([figures.eer(p[:, k].tolist(), (y == k).tolist()) for k in range(3)]),
            metrics.accuracy_score(y, guesses[again]),
            metrics.balanced_accuracy_score(y, guesses[again]),
            min(metrics.recall_score(y, guesses[again], average=None)),
            figures.ece(p.tolist(), y.tolist()),
            np.mean([metrics.brier_score_loss(y == 1, p[:, 1])]),
        ]
        found = [
            one_vs_rest(auroc, shares, labels, weights)[row],
            one_vs_rest(average_precision, shares, labels, weights)[row],
            one_vs_rest(eer, shares, labels, weights)[row],
            accuracy(guesses, labels, weights)[row],
            balanced_accuracy(guesses, labels, weights)[row],
            worst_class_accuracy(guesses, labels, weights)[row],
            ece(shares, labels, weights)[row],
            brier(shares[:, 1], labels == 1, weights)[row],
        ]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=30))
def test_ranking_figures_ignore_increasing_changes_and_mirror(pairs) -> None:
    scores, positive = np.array([s for s, _ in pairs], float), np.array([p for _, p in pairs])
    area = auroc(scores, positive)
    if positive.all() or not positive.any():
        assert np.isnan([area, average_precision(scores, positive), eer(scores, positive)]).all()
        return
    assert auroc(np.exp(scores), positive) == area
    assert auroc(-scores, positive) == pytest.approx(1 - area)
    assert average_precision(scores * 3 + 1, positive) == average_precision(scores, positive)
    assert eer(scores, positive) == pytest.approx(figures.eer(scores.tolist(), positive.tolist()))


def test_one_class_has_no_balanced_accuracy() -> None:
    assert np.isnan(balanced_accuracy([0, 1], [1, 1]))
    assert np.isnan(worst_class_accuracy([0, 1], [1, 1]))
    assert np.isnan(one_vs_rest(auroc, np.eye(2), [1, 1]))
    drawn = one_vs_rest(auroc, np.eye(2), [1, 1], [[1, 1], [2, 0], [0, 2]])
    assert drawn.shape == (3,)
    assert np.isnan(drawn).all()
    with pytest.raises(SalignError, match=r"labels: expected class numbers from 0 to 2, got -1 to 3\."):
        one_vs_rest(auroc, np.eye(3)[[0, 1, 2, 2]], [0, 3, -1, 2])
    with pytest.raises(SalignError, match=r"got \['0', '1', '2', '3', '4'\]; say"):
        auroc(np.arange(7), np.arange(7))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused_by_row(wrong: float) -> None:
    with pytest.raises(SalignError, match="image 2 "):
        auroc([0.1, 0.2, wrong], [True, False, True])
    with pytest.raises(SalignError, match="image 1 "):
        ece([[0.5, 0.5], [0.5, wrong]], [0, 1])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SalignError, match="expected \\(N,\\)"):
        auroc([0.1, 0.2], [True])
    with pytest.raises(SalignError, match="weights must be"):
        accuracy([0, 1], [0, 1], np.ones((4, 3)))


def test_a_threshold_lies_between_scores_even_when_they_touch() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    ranking = Ranking.of([low, high], [False, True])
    assert ranking.threshold(1) == high
    assert ranking.threshold(0) == low
    assert ranking.threshold(2) > high
