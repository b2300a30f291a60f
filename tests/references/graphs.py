"""Neighbours, label deconvolution and graph convolutions by loops over nodes and links."""

from __future__ import annotations

import math


def neighbours_of(links, nodes):
    """For each node the list of its neighbours."""
    lists = [[] for _ in range(nodes)]
    for a, b in links:
        lists[a].append(b)
        lists[b].append(a)
    return lists


def mean_over(values, lists):
    width = len(values[0])
    return [
        [sum(values[j][d] for j in near) / len(near) for d in range(width)] if near else [0.0] * width for near in lists
    ]


def symmetric_mean(values, lists):
    """Every node counts as its own neighbour; a link counts 1 / sqrt(degree * degree)."""
    size = [len(near) + 1 for near in lists]
    return [
        [sum(values[j][d] / math.sqrt(size[i] * size[j]) for j in [i, *lists[i]]) for d in range(len(values[0]))]
        for i in range(len(lists))
    ]


def deconvolve(own, lists, weights, alpha):
    steps = [own]
    for _ in weights:
        steps.append(mean_over(steps[-1], lists))
    result = []
    for i, row in enumerate(own):
        mixed = [sum(w * step[i][k] for w, step in zip(weights, steps[1:], strict=True)) for k in range(len(row))]
        total = sum(mixed)
        if total == 0:
            result.append(list(row))
        else:
            result.append([alpha * m / total + (1 - alpha) * y for m, y in zip(mixed, row, strict=True)])
    return result
