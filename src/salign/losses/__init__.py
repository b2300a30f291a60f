"""Losses: one file each; adding one is a file, a line in `LOSSES`, and a reference test."""

from salign.losses.base import Loss, LossTerms
from salign.losses.cdep import Cdep, decomposition_outside, parts_of_logits
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.losses.cyborg import Cyborg, cyborg, saliency_distance
from salign.losses.evidence import Evidence, evidence_outside
from salign.losses.guided import GuidedLoss
from salign.losses.harmonization import Harmonization, harmonization
from salign.losses.rrr import RightReasons, gradient_outside
from salign.losses.rrr_grad_cam import RightReasonsGradCam, grad_cam_outside

LOSSES: dict[str, type[Loss]] = {
    "cdep": Cdep,
    "ce": CrossEntropy,
    "cyborg": Cyborg,
    "evidence": Evidence,
    "harmonization": Harmonization,
    "rrr": RightReasons,
    "rrr_grad_cam": RightReasonsGradCam,
}
"""Name in a recipe -> module."""

__all__ = [
    "LOSSES",
    "Cdep",
    "CrossEntropy",
    "Cyborg",
    "Evidence",
    "GuidedLoss",
    "Harmonization",
    "Loss",
    "LossTerms",
    "RightReasons",
    "RightReasonsGradCam",
    "cross_entropy",
    "cyborg",
    "decomposition_outside",
    "evidence_outside",
    "grad_cam_outside",
    "gradient_outside",
    "harmonization",
    "parts_of_logits",
    "saliency_distance",
]
