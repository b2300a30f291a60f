"""Which epochs are fused, and how: against loops in exact fractions, and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.references.fusion import fuse

from salign.errors import SalignError
from salign.evaluate.fusion import choose_epochs, compare_methods, fuse_epochs

GRID = [Fraction(k, 20) for k in range(1, 21)]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_weights_are_those_of_loops_over_images(data):
    epochs, images = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 8))
    window, rng = data.draw(st.integers(0, 2)), np.random.default_rng(data.draw(st.integers(0, 10**6)))
    values = rng.dirichlet([0.5, 0.5, 0.5], (epochs, images))
    labels = rng.integers(0, 3, images)
    exact = [[[Fraction(float(p)) for p in row] for row in epoch] for epoch in values]
    expected = fuse(exact, labels.tolist(), window, GRID)
    weights = fuse_epochs(values, labels, window=window)
    np.testing.assert_allclose(weights, [float(value) for value in expected], atol=1e-12)
    assert weights.sum() == pytest.approx(1, abs=1e-12)

    def accuracy(values):
        return (values.argmax(1) == labels).sum()

    assert accuracy(np.tensordot(weights, values, 1)) >= accuracy(values[-1])


FORGOTTEN = np.array(  # the first epoch is sure of images 0 and 1, the last one right on 2 and 3 and unsure of 0 and 1
    [
        [[0.99, 0.01], [0.95, 0.05], [0.6, 0.4], [0.6, 0.4]],
        [[0.4, 0.6], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]],
    ]
)


def test_what_the_last_epoch_forgot_comes_back():
    labels = np.array([0, 0, 1, 1])
    # eps .95 + (1 - eps) .4 > .5 from eps 2/11 on: the first of the grid is .2
    np.testing.assert_allclose(fuse_epochs(FORGOTTEN, labels, window=0), [0.2, 0.8])


def test_images_with_several_labels_are_right_where_every_class_is():
    values = np.array([[[0.85, 0.9], [0.2, 0.9]], [[0.4, 0.9], [0.2, 0.9]]])
    labels = np.array([[1, 1], [0, 1]])
    # eps .85 + (1 - eps) .4 > .5 from eps 2/9 on: the first of the grid is .25
    np.testing.assert_allclose(fuse_epochs(values, labels, window=0), [0.25, 0.75])


@pytest.mark.parametrize(
    ("method", "count", "weights"),
    [
        ("best", None, [0, 1, 0, 0]),
        ("last", None, [0, 0, 0.5, 0.5]),
        ("last", 3, [0, 1 / 3, 1 / 3, 1 / 3]),
        ("all", None, [0.25] * 4),
        ("jumps", 2, [0, 0.5, 0, 0.5]),
        ("jumps", 4, [0.25] * 4),
    ],
)
def test_other_ways_to_weigh(method, count, weights):
    right = [1, 2, 2, 0]  # of three images, after each epoch
    values = np.array([[[0.8, 0.2] if image < number else [0.3, 0.7] for image in range(3)] for number in right])
    np.testing.assert_allclose(choose_epochs(values, np.zeros(3, int), method, count=count), weights)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "mean"}, "method: expected fusion, best, last, all or jumps"),
        ({"method": "last", "count": 3}, "count: expected 1 to 2, the number of epochs that were kept, got 3"),
        ({"window": -1}, "window: expected 0 or more epochs, got -1"),
        ({"probabilities": FORGOTTEN[0]}, r"probabilities: expected \(E, N, K\) with at least one epoch, got \(4, 2\)"),
        ({"labels": np.zeros(3, int)}, r"labels: expected \(4,\) or \(4, 2\) as the probabilities have it, got \(3,\)"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    arguments = {"probabilities": FORGOTTEN, "labels": np.array([0, 0, 1, 1]), **change}
    with pytest.raises(SalignError, match=said):
        choose_epochs(**arguments)


def test_methods_are_compared_on_images_that_did_not_choose():
    rng = np.random.default_rng(4)
    values, labels = rng.dirichlet([0.6, 0.6], (5, 21)), rng.integers(0, 2, 21)
    shares = compare_methods(values, labels, np.random.default_rng(9), splits=2)
    draws, expected = (
        np.random.default_rng(9),
        {name: [] for name in ("final", "fusion", "best", "last", "all", "jumps")},
    )
    for _ in range(2):
        order = draws.permutation(21).tolist()
        for chosen, measured in ((order[:10], order[10:]), (order[10:], order[:10])):
            for name, accuracies in expected.items():
                weights = [0, 0, 0, 0, 1]
                if name != "final":
                    weights = choose_epochs(values[:, chosen], labels[chosen], name)
                right = 0
                for image in measured:
                    mean = sum(weight * values[epoch, image] for epoch, weight in enumerate(weights))
                    right += int(mean.argmax() == labels[image])
                accuracies.append(right / len(measured))
    assert list(shares) == list(expected)
    for name, accuracies in expected.items():
        assert shares[name] == pytest.approx(sum(accuracies) / 4)
    with pytest.raises(SalignError, match="2 or more images"):
        compare_methods(values[:, :1], labels[:1], rng)
