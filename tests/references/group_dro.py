"""Group DRO, image by image (arXiv 1911.08731, algorithm 1 for a batch)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def group_dro(
    losses: Sequence[float],
    groups: Sequence[int],
    shares: Sequence[float],
    step_size: float,
    adjustment: float,
    sizes: Sequence[int],
) -> tuple[float, list[float]]:
    means = []
    for group in range(len(shares)):
        own = [loss for loss, of in zip(losses, groups, strict=True) if of == group]
        means.append(sum(own) / len(own) if own else 0.0)
    raised = [
        share * math.exp(step_size * (mean + adjustment / math.sqrt(size)))
        for share, mean, size in zip(shares, means, sizes, strict=True)
    ]
    renewed = [value / sum(raised) for value in raised]
    return sum(share * mean for share, mean in zip(renewed, means, strict=True)), renewed
