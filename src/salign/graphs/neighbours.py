"""Who is linked with whom, and means over neighbours: sparse, differentiable, in the memory of the links.

A set of links is a sparse matrix; groups (all images of a patient are neighbours) need no links at all, since the sum
over the others of a group is the sum over the group without oneself.
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
    """`(N,)` float32: how many neighbours a node has; 0 = it is isolated."""
    sum: Callable[[Tensor], Tensor]
    """`(N, D)` float32 -> `(N, D)`: the sum over the neighbours of each node, which gradients flow through."""


def from_links(links: Tensor, nodes: int) -> Neighbours:
    """Make neighbours of undirected links.

    Args:
        links: `(2, E)` int64 positions of two different nodes, each pair once.
        nodes: `N`.
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
    """Product with a symmetric sparse matrix, whose gradient is the same product."""

    @staticmethod
    def forward(context: Any, values: Tensor, matrix: Tensor) -> Tensor:
        context.matrix = matrix
        return torch.sparse.mm(matrix, values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.sparse.mm(context.matrix, gradients[0]), None


def from_groups(groups: Tensor) -> Neighbours:
    """Make neighbours of groups: everybody else in the group of a node is its neighbour.

    Args:
        groups: `(N,)` int64 numbers of groups; -1 = the node is in none.
    """
    tensors(groups=(groups, "int64 (N,)"))
    count = int(groups.max()) + 1
    sizes = torch.bincount(groups + 1, minlength=count + 1)
    sizes[0] = 1  # -1 stands for no group, of which nobody is a neighbour
    inside = (groups >= 0)[:, None]

    def add(values: Tensor) -> Tensor:
        totals = values.new_zeros(count + 1, values.shape[1]).index_add(0, groups + 1, values)
        return torch.where(inside, totals[groups + 1] - values, 0)

    return Neighbours((sizes[groups + 1] - 1).float(), add)


def neighbour_mean(values: Tensor, neighbours: Neighbours) -> Tensor:
    """`(N, D)` -> `(N, D)`: the mean over the neighbours of each node; zeros for an isolated one."""
    tensors(values=(values, "float (N, D)"), degree=(neighbours.degree, "float (N,)"))
    return neighbours.sum(values) / neighbours.degree.clamp(min=1)[:, None]


def symmetric_mean(values: Tensor, neighbours: Neighbours) -> Tensor:
    """`(N, D)` -> `(N, D)`: `D^-1/2 (A + I) D^-1/2 X` where `D` are the degrees of `A + I` (arXiv 1609.02907)."""
    tensors(values=(values, "float (N, D)"), degree=(neighbours.degree, "float (N,)"))
    scale = (neighbours.degree + 1).rsqrt()[:, None]
    scaled = values * scale
    return (neighbours.sum(scaled) + scaled) * scale
