"""Neighbours of nodes, and means over them: sparse, differentiable, and with no more memory than the links need.

A set of links is a sparse matrix. Groups (all images of a patient are neighbours) need no links at all, because the sum
over the other members of a group is the sum over the whole group minus the value of the node itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

from salign.checks import number, tensors, values as check_values


class Neighbours(NamedTuple):
    """The neighbours of `N` nodes."""

    degree: Tensor
    """`(N,)` float32: number of neighbours of each node; 0 = the node is isolated."""
    sum: Callable[[Tensor], Tensor]
    """`(N, D)` float32 -> `(N, D)`: the sum over the neighbours of each node. Gradients flow through it."""


def from_links(links: Tensor, nodes: int) -> Neighbours:
    """Make neighbours from undirected links.

    Args:
        links: `(2, E)` int64 positions of two different nodes; each pair comes once.
        nodes: number of nodes, `N`.
    """
    tensors(links=(links, "int64 (2, E)"))
    number("nodes", nodes, "[1, inf)", whole=True)
    check_values("links", links, f"[0, {nodes - 1}]")
    ends = links.numpy().astype(np.int32)
    both = np.concatenate([ends, ends[::-1]], 1)
    matrix = coo_array((np.ones(both.shape[1], dtype=np.float32), (both[0], both[1])), (nodes, nodes)).tocsr()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        sparse = torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            (nodes, nodes),
            check_invariants=True,
        )
    degree = torch.from_numpy(np.diff(matrix.indptr).astype(np.float32))
    return Neighbours(degree, lambda values: _Sum.apply(values, sparse))


class _Sum(torch.autograd.Function):
    """Product with a symmetric sparse matrix. Its gradient is the product of the same matrix with the gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor, matrix: Tensor) -> Tensor:
        context.matrix = matrix
        return torch.sparse.mm(matrix, values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.sparse.mm(context.matrix, gradients[0]), None


def from_groups(groups: Tensor) -> Neighbours:
    """Make neighbours from groups: all other nodes in the group of a node are its neighbours.

    Args:
        groups: `(N,)` int64 numbers of groups; -1 = the node is in no group.
    """
    tensors(groups=(groups, "int64 (N,)"))
    count = int(groups.max()) + 1
    sizes = torch.bincount(groups + 1, minlength=count + 1)
    sizes[0] = 1  # nodes with -1 are in no group and have no neighbours
    inside = (groups >= 0)[:, None]

    def add(values: Tensor) -> Tensor:
        totals = values.new_zeros(count + 1, values.shape[1]).index_add(0, groups + 1, values)
        return torch.where(inside, totals[groups + 1] - values, 0)

    return Neighbours((sizes[groups + 1] - 1).float(), add)


def neighbour_mean(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Return the mean of values `(N, D)` over the neighbours of each node, `(N, D)`; zeros for an isolated node."""
    tensors(values=(values, "float (N, D)"), degree=(neighbours.degree, "float (N,)"))
    return neighbours.sum(values) / neighbours.degree.clamp(min=1)[:, None]


def symmetric_mean(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Return `D^-1/2 (A + I) D^-1/2 X` of values `X`, where `D` are the degrees of `A + I` (arXiv 1609.02907).

    Values and result are `(N, columns)`.
    """
    tensors(values=(values, "float (N, D)"), degree=(neighbours.degree, "float (N,)"))
    scale = (neighbours.degree + 1).rsqrt()[:, None]
    scaled = values * scale
    return (neighbours.sum(scaled) + scaled) * scale
