from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from references.aggregate import reference_overlap, reference_pixel, reference_staple
from salign.errors import SalignError
from salign.evaluate.agreement import METRICS
from salign.evaluate.annotators import ceiling
from salign.maps.aggregate import (
    AGGREGATES,
    accuracy_weights,
    aggregate,
    agreement_weights,
    leave_one_out,
    overlap,
    staple,
    weighted,
)

maps = hnp.arrays(
    "float64",
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
).map(torch.from_numpy)


@pytest.mark.parametrize("method", ["union", "mean", "majority"])
@given(maps)
@settings(max_examples=40, deadline=None)
def test_every_pixel_is_as_by_hand(method, people):
    found = aggregate(people, method)
    for row in range(people.shape[1]):
        for column in range(people.shape[2]):
            expected = reference_pixel(method, people[:, row, column].tolist())
            assert found[row, column].item() == pytest.approx(expected)


@pytest.mark.parametrize("method", AGGREGATES)
@given(maps)
@settings(max_examples=40, deadline=None)
def test_what_every_method_keeps(method, people):
    found = aggregate(people, method)
    assert found.shape == people.shape[1:]
    assert found.dtype == people.dtype
    assert 0 <= found.min() <= found.max() <= 1
    torch.testing.assert_close(aggregate(people.flip(0), method), found)  # whoever comes first
    torch.testing.assert_close(aggregate(people.flip(2), method), found.flip(1))  # wherever it is
    blank = torch.zeros_like(people)
    assert not aggregate(blank, method).any()


@pytest.mark.parametrize("method", AGGREGATES)
def test_of_one_accord(method):
    mask = torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) > 0.6
    found = aggregate(mask.float().expand(4, -1, -1), method)
    torch.testing.assert_close(found, mask.float(), atol=1e-6, rtol=0)


def raters(sensitivity, specificity, size=96, seed=0):
    """A disc as the truth, and people who mark it with these rates."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.arange(size) - size / 2
    truth = grid.square()[:, None] + grid.square() < (size / 3.5) ** 2
    chance = torch.rand(len(sensitivity), size, size, generator=generator)
    rates = torch.where(truth, torch.tensor(sensitivity)[:, None, None], 1 - torch.tensor(specificity)[:, None, None])
    return truth, (chance < rates).float()


def test_staple_recovers_the_raters_and_the_truth():
    sensitivity, specificity = [0.95, 0.9, 0.6, 0.85, 0.4], [0.9, 0.97, 0.95, 0.7, 0.99]
    truth, people = raters(sensitivity, specificity)
    found = staple(people)
    assert found.converged
    # three standard errors of a share of the 2,360 pixels of the disc, the least of the two areas
    torch.testing.assert_close(found.sensitivity, torch.tensor(sensitivity).double(), atol=0.035, rtol=0)
    torch.testing.assert_close(found.specificity, torch.tensor(specificity).double(), atol=0.035, rtol=0)
    wrong = ((found.probability >= 0.5) != truth).float().mean()
    assert wrong < ((AGGREGATES["majority"](people) >= 0.5) != truth).float().mean()
    assert wrong < 0.05


def test_staple_is_as_pixel_by_pixel():
    _, people = raters([0.9, 0.7, 0.8], [0.9, 0.95, 0.6], size=12)
    prior = people.double().mean().item()
    for rounds in (1, 2, 7):
        found = staple(people, iterations=rounds, tolerance=0)
        truth, p, q = reference_staple(people.flatten(1).int().tolist(), prior, rounds)
        torch.testing.assert_close(
            found.probability.double().flatten(), torch.tensor(truth).double(), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(found.sensitivity, torch.tensor(p, dtype=torch.float64), atol=1e-9, rtol=0)
        torch.testing.assert_close(found.specificity, torch.tensor(q, dtype=torch.float64), atol=1e-9, rtol=0)
        assert found.iterations == rounds
        assert not found.converged


def test_staple_with_many_people():
    """More than fit the bits of a whole number; a product of so many rates would vanish."""
    truth, people = raters([0.8] * 90, [0.8] * 90, size=20)
    found = staple(people)
    assert ((found.probability >= 0.5) == truth).all()


def test_staple_may_find_that_all_is_salient():
    people = torch.ones(5, 1, 3)
    people[0, 0, 0] = 0
    found = staple(people)
    assert found.converged
    assert (found.probability > 0.999).all()
    assert found.sensitivity[0].item() == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize(("fill", "sensitivity", "specificity"), [(0.0, math.nan, 1.0), (1.0, 1.0, math.nan)])
def test_staple_where_there_is_nothing_to_estimate(fill, sensitivity, specificity):
    found = staple(torch.full((3, 4, 4), fill))
    assert (found.probability == fill).all()
    torch.testing.assert_close(found.sensitivity, torch.full((3,), sensitivity).double(), equal_nan=True)
    torch.testing.assert_close(found.specificity, torch.full((3,), specificity).double(), equal_nan=True)


@given(maps, maps)
@settings(max_examples=40, deadline=None)
def test_overlap_is_as_by_hand(first, second):
    if first.shape != second.shape:
        second = first.flip(2)
    expected = [
        reference_overlap(a.flatten().tolist(), b.flatten().tolist()) for a, b in zip(first, second, strict=True)
    ]
    torch.testing.assert_close(overlap(first, second), torch.tensor(expected).double())


def test_leave_one_out_is_what_the_ceiling_is_the_mean_of():
    people = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    for metric in ("cc", "sim", "iou"):
        assert leave_one_out(people, METRICS[metric]).mean().item() == pytest.approx(ceiling(people, metric))


def test_who_disagrees_with_all_counts_least():
    truth, people = raters([0.9, 0.9, 0.9, 0.05], [0.95, 0.95, 0.95, 0.5])
    weights = agreement_weights(people)
    assert weights.argmin() == 3
    found = ((weighted(people) >= 0.5).float() - truth.float()).abs().mean()
    assert found < ((people.mean(0) >= 0.5).float() - truth.float()).abs().mean()


def test_weights_are_as_given():
    people = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = (people[0] + 3 * people[2]) / 4
    torch.testing.assert_close(weighted(people, [2, 0, 6]), expected)
    torch.testing.assert_close(weighted(people, [0, 0, 0]), people.mean(0))
    torch.testing.assert_close(weighted(people[:1]), people[0])


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [1, math.nan, 1], [1, math.inf, 1]])
def test_weights_are_one_per_map_and_not_negative(weights):
    with pytest.raises(SalignError, match="3 weights >= 0"):
        weighted(torch.zeros(3, 2, 2), weights)


def test_weights_by_accuracy():
    found = accuracy_weights([90, 9, 50, 40, 0], [100, 10, 100, 100, 0])
    expected = [91 / 102 - 0.5, 10 / 12 - 0.5, 0, 0, 0]
    torch.testing.assert_close(found, torch.tensor(expected).double())
    assert accuracy_weights([5], [10], classes=4).item() == pytest.approx(6 / 14 - 1 / 4)
    with pytest.raises(SalignError, match="right <= answered"):
        accuracy_weights([3], [2])


@pytest.mark.parametrize(
    ("people", "complaint"),
    [
        (torch.zeros(2, 2), r"\(A, H, W\)"),
        (torch.zeros(0, 2, 2), r"\(A, H, W\)"),
        (torch.zeros(2, 2, 2, dtype=torch.bool), "floating point"),
        (torch.full((2, 2, 2), 1.5), "1.5 to 1.5"),
        (torch.full((2, 2, 2), math.nan), "from 0 to 1, got NaN"),
    ],
)
@pytest.mark.parametrize("method", AGGREGATES)
def test_what_no_map_is(method, people, complaint):
    with pytest.raises(SalignError, match=complaint):
        aggregate(people, method)


def test_unknown_methods_and_priors():
    with pytest.raises(
        SalignError, match="union, mean, majority, staple or weighted, got 'majorty'; did you mean 'majority'"
    ):
        aggregate(torch.zeros(1, 2, 2), "majorty")
    with pytest.raises(SalignError, match="prior: expected a number above 0 and below 1, got 1"):
        staple(torch.zeros(1, 2, 2), prior=1)
