"""Losses: one file each; adding one is a file, a line in `LOSSES`, and a reference test."""

from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.losses.cyborg import Cyborg, cyborg, saliency_distance
from salign.losses.evidence import Evidence, evidence_outside
from salign.losses.gain import Gain, erase, erased_score
from salign.losses.gain_ext import GainExt
from salign.losses.guided import GuidedLoss
from salign.losses.sage import Sage, jensen_shannon, kept_and_destroyed, saliency_triplet
from salign.losses.swap import Swap, swap_consistency, swapped

LOSSES: dict[str, type[Loss]] = {
    "ce": CrossEntropy,
    "cyborg": Cyborg,
    "evidence": Evidence,
    "gain": Gain,
    "gain_ext": GainExt,
    "sage": Sage,
    "swap": Swap,
}
"""Name in a recipe -> module."""

__all__ = [
    "LOSSES",
    "CrossEntropy",
    "Cyborg",
    "Evidence",
    "Gain",
    "GainExt",
    "GuidedLoss",
    "Loss",
    "LossTerms",
    "Sage",
    "Swap",
    "cross_entropy",
    "cyborg",
    "erase",
    "erased_score",
    "evidence_outside",
    "jensen_shannon",
    "kept_and_destroyed",
    "saliency_distance",
    "saliency_triplet",
    "swap_consistency",
    "swapped",
]
