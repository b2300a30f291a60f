"""Distillation after Hinton et al. 2015 (arXiv 1503.02531), one image and one class at a time."""

from __future__ import annotations

from math import exp, log


def softened(logits: list[float], temperature: float) -> list[float]:
    """Softmax of the logits divided by the temperature."""
    powers = [exp(value / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def divergence(told: list[float], own: list[float]) -> float:
    """Kullback-Leibler divergence of the student's probabilities from the teacher's."""
    return sum(p * (log(p) - log(q)) for p, q in zip(told, own, strict=True))


def distillation(
    student: list[list[float]], teacher: list[list[float]], temperature: float, multi_label: bool = False
) -> float:
    """`T^2` times the mean over images; of several labels, of the mean over classes of yes and no."""
    total = 0.0
    for own, told in zip(student, teacher, strict=True):
        if multi_label:  # the softmax of (value, 0) is the sigmoid
            pairs = [([value, 0.0], [other, 0.0]) for value, other in zip(own, told, strict=True)]
        else:
            pairs = [(own, told)]
        each = [divergence(softened(right, temperature), softened(left, temperature)) for left, right in pairs]
        total += sum(each) / len(each)
    return temperature**2 * total / len(student)
