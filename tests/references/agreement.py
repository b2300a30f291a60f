"""The metrics of `salign.evaluate.agreement` for one pair of maps of one size, as plain loops over pixels.

The model map is scaled to [0, 1] already; `(H, W)` arrays.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


def pixels(values: np.ndarray) -> list[float]:
    return [float(values[i, j]) for i in range(values.shape[0]) for j in range(values.shape[1])]


def shares(values: np.ndarray) -> list[float]:
    flat = pixels(values)
    total = sum(flat)
    return [one / total if total > 0 else 1 / len(flat) for one in flat]


def marked(human: np.ndarray) -> list[bool]:
    highest = max(pixels(human))
    return [one > 0 and one >= highest / 2 for one in pixels(human)]


def sim(model, human) -> float:
    return sum(min(p, q) for p, q in zip(shares(model), shares(human), strict=True))


def kl(model, human) -> float:
    tiny = 2.0**-52
    return sum(q * math.log(tiny + q / (tiny + p)) for p, q in zip(shares(model), shares(human), strict=True))


def nss(model, human) -> float:
    flat = pixels(model)
    mean = sum(flat) / len(flat)
    spread = math.sqrt(sum((one - mean) ** 2 for one in flat) / len(flat))
    looked = [(one - mean) / spread for one, inside in zip(flat, marked(human), strict=True) if inside]
    return sum(looked) / len(looked)


def auc(model, human) -> float:
    """Every marked pixel against every other one."""
    inside = [one for one, looked in zip(pixels(model), marked(human), strict=True) if looked]
    outside = [one for one, looked in zip(pixels(model), marked(human), strict=True) if not looked]
    won = sum((high > low) + (high == low) / 2 for high in inside for low in outside)
    return won / (len(inside) * len(outside))


def auc_by_thresholds(model, human) -> tuple[float, float]:
    """Judd's construction: a threshold at every marked pixel, trapezoids between.

    Returns:
        The area, and the share of the other pixels above the lowest threshold.
    """
    flat, looked = pixels(model), marked(human)
    thresholds = sorted((one for one, inside in zip(flat, looked, strict=True) if inside), reverse=True)
    points = [(0.0, 0.0)]
    for found, threshold in enumerate(thresholds, 1):
        above = sum(one >= threshold for one in flat)
        points.append(((above - found) / (len(flat) - len(thresholds)), found / len(thresholds)))
    last = points[-1][0]
    points.append((1.0, 1.0))
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return area, last


def dice(model, human, size: int | None = None, orders: int = 400) -> float:
    """Regions of equal size, ties broken at random, the mean over many orders."""
    generator = np.random.default_rng(0)
    total = 0.0
    for _ in range(orders):
        people = set(highest(human, size, generator)) if size else {k for k, one in enumerate(marked(human)) if one}
        total += len(people & set(highest(model, len(people), generator))) / len(people)
    return total / orders


def highest(values: np.ndarray, size: int, generator: np.random.Generator) -> list[int]:
    flat = pixels(values)
    order = sorted(range(len(flat)), key=lambda k: (-flat[k], generator.random()))
    return order[:size]


def energy(model, human) -> float:
    return sum(p for p, inside in zip(shares(model), marked(human), strict=True) if inside)


def pointing(model, human, radius: float) -> float:
    width = model.shape[1]
    flat, looked = pixels(model), [divmod(k, width) for k, inside in enumerate(marked(human)) if inside]
    peaks = [divmod(k, width) for k, one in enumerate(flat) if one == max(flat)]
    hits = sum(any(math.dist(peak, place) <= radius for place in looked) for peak in peaks)
    return hits / len(peaks)
