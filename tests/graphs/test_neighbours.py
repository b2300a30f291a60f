"""Sums over neighbours against loops, and their gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GCNConv

from references import graphs as slow
from salign.errors import SalignError
from salign.graphs import from_groups, from_links, neighbour_mean, symmetric_mean

PAIRS = [(0, 1), (0, 2), (2, 3), (1, 4), (3, 4)]  # node 5 is isolated
LINKS = torch.tensor(PAIRS).T


@pytest.fixture
def values() -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def test_means_are_those_of_the_loops(values: Tensor) -> None:
    lists = slow.neighbours_of(PAIRS, 6)
    there = from_links(LINKS, 6)
    assert there.degree.tolist() == [2, 2, 2, 2, 2, 0]
    torch.testing.assert_close(neighbour_mean(values, there), torch.tensor(slow.mean_over(values.tolist(), lists)))
    expected = torch.tensor(slow.symmetric_mean(values.tolist(), lists))
    torch.testing.assert_close(symmetric_mean(values, there), expected)
    assert neighbour_mean(values, there)[5].tolist() == [0, 0, 0]


def test_the_symmetric_mean_is_that_of_torch_geometric(values: Tensor) -> None:
    oracle = GCNConv(3, 2, bias=False)
    both = torch.cat([LINKS, LINKS.flip(0)], 1)
    ours = symmetric_mean(values, from_links(LINKS, 6)) @ oracle.lin.weight.T
    torch.testing.assert_close(ours, oracle(values, both))


def test_groups_are_all_links_within_them(values: Tensor) -> None:
    groups = [0, 1, 0, -1, 0, 1]
    pairs = [(i, j) for i, j in itertools.combinations(range(6), 2) if groups[i] == groups[j] >= 0]
    lists = slow.neighbours_of(pairs, 6)
    there = from_groups(torch.tensor(groups))
    assert there.degree.tolist() == [2, 1, 2, 0, 2, 1]
    torch.testing.assert_close(neighbour_mean(values, there), torch.tensor(slow.mean_over(values.tolist(), lists)))


@pytest.mark.parametrize("make", [lambda: from_links(LINKS, 6), lambda: from_groups(torch.tensor([0, 1, 0, -1, 0, 1]))])
@pytest.mark.parametrize("mean", [neighbour_mean, symmetric_mean])
def test_gradients_flow_through(make, mean, values: Tensor) -> None:
    there = make()
    weight = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    leaf = values.clone().requires_grad_()
    (mean(leaf, there) * weight).sum().backward()
    # The mean is linear: its gradient is the transposed matrix, whose columns are means of unit vectors.
    matrix = mean(torch.eye(6), there)
    torch.testing.assert_close(leaf.grad, matrix.T @ weight)


def test_a_position_that_is_no_node_is_refused() -> None:
    with pytest.raises(SalignError, match="links"):
        from_links(torch.tensor([[0], [6]]), 6)
