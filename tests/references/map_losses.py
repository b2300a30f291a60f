"""Losses of predicted maps, pixel by pixel."""

from __future__ import annotations

import math

from torch import Tensor


def _images(logits: Tensor, maps: Tensor) -> list[tuple[list[float], list[float]]]:
    return [(one.flatten().tolist(), two.flatten().tolist()) for one, two in zip(logits, maps, strict=True)]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mse(logits: Tensor, maps: Tensor) -> float:
    found = [(_sigmoid(x) - h) ** 2 for xs, hs in _images(logits, maps) for x, h in zip(xs, hs, strict=True)]
    return sum(found) / len(found)


def bce(logits: Tensor, maps: Tensor) -> float:
    found = []
    for xs, hs in _images(logits, maps):
        for x, h in zip(xs, hs, strict=True):
            p = _sigmoid(x)
            found.append(-h * math.log(p) - (1 - h) * math.log(1 - p))
    return sum(found) / len(found)


def kl(logits: Tensor, maps: Tensor) -> float:
    found = []
    for xs, hs in _images(logits, maps):
        whole, total = sum(map(_sigmoid, xs)), sum(hs)
        found.append(sum(h / total * math.log(h / total / (_sigmoid(x) / whole)) for x, h in zip(xs, hs, strict=True)))
    return sum(found) / len(found)


def cc(logits: Tensor, maps: Tensor) -> float:
    found = []
    for xs, hs in _images(logits, maps):
        ps = [_sigmoid(x) for x in xs]
        p_mean, h_mean = sum(ps) / len(ps), sum(hs) / len(hs)
        together = sum((p - p_mean) * (h - h_mean) for p, h in zip(ps, hs, strict=True))
        apart = math.sqrt(sum((p - p_mean) ** 2 for p in ps) * sum((h - h_mean) ** 2 for h in hs))
        found.append(1 - together / apart)
    return sum(found) / len(found)


def dice(logits: Tensor, maps: Tensor) -> float:
    found = []
    for xs, hs in _images(logits, maps):
        ps = [_sigmoid(x) for x in xs]
        both = sum(p * h for p, h in zip(ps, hs, strict=True))
        found.append(1 - (2 * both + 1) / (sum(ps) + sum(hs) + 1))
    return sum(found) / len(found)
