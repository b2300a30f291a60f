"""A layer of a graph isomorphism network by loops over nodes, before its perceptron."""

from __future__ import annotations


def sums(nodes, links, eps):
    """Each node times (1 + eps) plus its neighbours."""
    rows = [[(1 + eps) * value for value in row] for row in nodes]
    for a, b in links:
        for k in range(len(nodes[0])):
            rows[a][k] += nodes[b][k]
            rows[b][k] += nodes[a][k]
    return rows
