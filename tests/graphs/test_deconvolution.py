"""Targets against loops over nodes, and what must hold exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from references import graphs as slow
from salign.errors import SalignError
from salign.graphs import deconvolve, from_groups, from_links, spread_labels

PAIRS = [(0, 1), (0, 2), (2, 3), (1, 4), (5, 6)]  # 7 is isolated; 5 and 6 see no training node
OWN = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("weights", [[1.0], [0.2, 0.3, 0.5]])
def test_targets_are_those_of_the_loops(alpha: float, weights: list[float]) -> None:
    there = from_links(torch.tensor(PAIRS).T, 8)
    targets = deconvolve(OWN, spread_labels(OWN, there, len(weights)), torch.tensor(weights), alpha)
    expected = slow.deconvolve(OWN.tolist(), slow.neighbours_of(PAIRS, 8), weights, alpha)
    torch.testing.assert_close(targets, torch.tensor(expected))
    assert targets[7].tolist() == [0, 0, 1]
    assert targets[5].tolist() == [0, 0, 0]


def test_a_hand_made_example() -> None:
    """Node 0 of class 0 between two nodes of class 1: half of its target is theirs."""
    own = torch.tensor([[1, 0], [0, 1.0], [0, 1]])
    there = from_links(torch.tensor([[0, 0], [1, 2]]), 3)
    assert deconvolve(own, spread_labels(own, there, 1), torch.ones(1)).tolist() == [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.7])
def test_groups_of_one_label_give_exactly_plain_training(alpha: float) -> None:
    labels, groups = torch.tensor([0, 0, 1, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    own = torch.nn.functional.one_hot(labels, 3).float()
    own[1] = 0  # a test node: its label is not spread
    targets = deconvolve(own, spread_labels(own, from_groups(groups), 3), torch.tensor([0.5, 0.3, 0.2]), alpha)
    training = torch.tensor([0, 2, 3, 4, 5, 6])
    assert torch.equal(targets[training], own[training])


def test_gradients_reach_the_weights() -> None:
    there = from_links(torch.tensor(PAIRS).T, 8)
    weights = torch.zeros(3, requires_grad=True)
    targets: Tensor = deconvolve(OWN, spread_labels(OWN, there, 3), weights.softmax(0))
    targets[0, 0].backward()
    assert weights.grad is not None
    assert bool(weights.grad.isfinite().all())
    assert float(weights.grad.abs().max()) > 0.01


def test_arguments_are_checked() -> None:
    spread = spread_labels(OWN, from_links(torch.tensor(PAIRS).T, 8), 2)
    with pytest.raises(SalignError, match="weights"):
        deconvolve(OWN, spread, torch.ones(3))
    with pytest.raises(SalignError, match="alpha"):
        deconvolve(OWN, spread, torch.ones(2), 1.5)
    with pytest.raises(SalignError, match="hops"):
        spread_labels(OWN, from_links(torch.tensor(PAIRS).T, 8), 0)
