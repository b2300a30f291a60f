"""The geometric median by walking downhill on a grid that is refined, in two dimensions."""

from __future__ import annotations

import math


def cost(points, x, y):
    return sum(math.hypot(a - x, b - y) for a, b in points)


def geometric_median(points):
    x = sum(a for a, _ in points) / len(points)
    y = sum(b for _, b in points) / len(points)
    step = max(cost(points, x, y), 1.0)
    while step > 1e-10:
        moves = [(x + dx * step, y + dy * step) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        best = min(moves, key=lambda move: cost(points, *move))
        if cost(points, *best) < cost(points, x, y):
            x, y = best
        else:
            step /= 2
    return x, y
