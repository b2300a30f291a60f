"""Losses: one file each; adding one is a file, a line in `LOSSES`, and a reference test."""

from salign.losses.base import Loss, LossTerms
from salign.losses.cdep import Cdep, decomposition_outside, parts_of_logits
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.losses.cyborg import Cyborg, cyborg, saliency_distance
from salign.losses.decomposition import decomposed
from salign.losses.divisive import Divisive, agreement_inside
from salign.losses.entropy import Droid, Fmmce, Hbcam, entropy_gap, map_entropy
from salign.losses.evidence import Evidence, evidence_outside
from salign.losses.gain import Gain, erase, erased_score
from salign.losses.gain_ext import GainExt
from salign.losses.gradia import Gradia, gradia
from salign.losses.guided import GuidedLoss
from salign.losses.haics import Haics, cell_cross_entropy
from salign.losses.harmonization import Harmonization, harmonization
from salign.losses.hint import Hint, ranking_violation
from salign.losses.model_guidance import PPCE, Energy, L1Guidance, energy_outside, l1_distance, pixel_cross_entropy
from salign.losses.reaction_time import ReactionTime, timed_cross_entropy
from salign.losses.res import ResG, ResL, res_distance
from salign.losses.rrr import RightReasons, gradient_outside
from salign.losses.rrr_grad_cam import RightReasonsGradCam, grad_cam_outside
from salign.losses.sage import Sage, jensen_shannon, kept_and_destroyed, saliency_triplet
from salign.losses.swap import Swap, swap_consistency, swapped
from salign.losses.viser import Viser, blended, smoothed_distance

LOSSES: dict[str, type[Loss]] = {
    "cdep": Cdep,
    "ce": CrossEntropy,
    "cyborg": Cyborg,
    "divisive": Divisive,
    "droid": Droid,
    "energy": Energy,
    "evidence": Evidence,
    "fmmce": Fmmce,
    "gain": Gain,
    "gain_ext": GainExt,
    "gradia": Gradia,
    "haics": Haics,
    "harmonization": Harmonization,
    "hbcam": Hbcam,
    "hint": Hint,
    "l1_guidance": L1Guidance,
    "ppce": PPCE,
    "reaction_time": ReactionTime,
    "res_g": ResG,
    "res_l": ResL,
    "rrr": RightReasons,
    "rrr_grad_cam": RightReasonsGradCam,
    "sage": Sage,
    "swap": Swap,
    "viser": Viser,
}
"""Name in a recipe -> module."""

__all__ = [
    "LOSSES",
    "PPCE",
    "Cdep",
    "CrossEntropy",
    "Cyborg",
    "Divisive",
    "Droid",
    "Energy",
    "Evidence",
    "Fmmce",
    "Gain",
    "GainExt",
    "Gradia",
    "GuidedLoss",
    "Haics",
    "Harmonization",
    "Hbcam",
    "Hint",
    "L1Guidance",
    "Loss",
    "LossTerms",
    "ReactionTime",
    "ResG",
    "ResL",
    "RightReasons",
    "RightReasonsGradCam",
    "Sage",
    "Swap",
    "Viser",
    "agreement_inside",
    "blended",
    "cell_cross_entropy",
    "cross_entropy",
    "cyborg",
    "decomposed",
    "decomposition_outside",
    "energy_outside",
    "entropy_gap",
    "erase",
    "erased_score",
    "evidence_outside",
    "grad_cam_outside",
    "gradia",
    "gradient_outside",
    "harmonization",
    "jensen_shannon",
    "kept_and_destroyed",
    "l1_distance",
    "map_entropy",
    "parts_of_logits",
    "pixel_cross_entropy",
    "ranking_violation",
    "res_distance",
    "saliency_distance",
    "saliency_triplet",
    "smoothed_distance",
    "swap_consistency",
    "swapped",
    "timed_cross_entropy",
]
