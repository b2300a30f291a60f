"""Label deconvolution: targets for an encoder of nodes whose outputs are averaged over neighbours afterwards.

The method is that of Shi, Cai, Wang et al., "Label Deconvolution for Node Representation Learning on Large-scale
Attributed Graphs against Learning Bias" (arXiv 2309.14907). An encoder that is trained apart from the graph is taught
the label of a node alone, yet the head that follows averages over neighbours. So the labels are first spread to the
neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import number, tensors
from salign.graphs.neighbours import Neighbours, neighbour_mean


def spread_labels(own: Tensor, neighbours: Neighbours, hops: int) -> Tensor:
    """Spread labels over the links: `Y_k` is the mean of `Y_(k-1)` over the neighbours of each node.

    Args:
        own: `(N, K)` float32, `Y_0`: one-hot labels of the training nodes, zeros elsewhere.
        neighbours: see `salign.graphs.Neighbours`.
        hops: how often the labels are spread, 1 or more.

    Returns:
        `(hops, N, K)`: `Y_1` to `Y_hops`. They depend on the labels of training nodes alone.
    """
    tensors(own=(own, "float (N, K)"))
    number("hops", hops, "[1, inf)", whole=True)
    steps = [own]
    for _ in range(hops):
        steps.append(neighbour_mean(steps[-1], neighbours))
    return torch.stack(steps[1:])


def deconvolve(own: Tensor, spread: Tensor, weights: Tensor, alpha: float = 0.5) -> Tensor:
    """Return the targets `alpha norm(sum_k w_k Y_k) + (1 - alpha) Y_0`, where `norm` divides a row by its sum.

    A row to which no label was spread (an isolated node, or a node far from all training nodes) stays `Y_0`. If all
    nodes whose labels reach a node have its label, its target is exactly that label.

    Args:
        own: `(N, K)`, the `Y_0` of `spread_labels`.
        spread: `(H, N, K)` from `spread_labels`.
        weights: `(H,)` weights `w_k` of the hops, 0 or more; gradients flow into them.
        alpha: share of the spread labels in [0, 1]; 0 = plain labels.

    Returns:
        The targets, `(N, K)`; the rows of training nodes sum to 1.
    """
    tensors(own=(own, "float (N, K)"), spread=(spread, "float (H, N, K)"), weights=(weights, "float (H,)"))
    number("alpha", alpha, "[0, 1]")
    mixed = torch.einsum("h,hnk->nk", weights, spread)
    total = mixed.sum(1, keepdim=True)
    reached = total > 0
    return torch.where(reached, own.lerp(mixed / torch.where(reached, total, 1), alpha), own)
