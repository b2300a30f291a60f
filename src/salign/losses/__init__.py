"""Losses: one file each; adding one is a file, a line in `LOSSES`, and a reference test."""

from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.losses.cyborg import Cyborg, cyborg, saliency_distance

LOSSES: dict[str, type[Loss]] = {
    "ce": CrossEntropy,
    "cyborg": Cyborg,
}
"""Name in a recipe -> module."""

__all__ = ["LOSSES", "CrossEntropy", "Cyborg", "Loss", "LossTerms", "cross_entropy", "cyborg", "saliency_distance"]
