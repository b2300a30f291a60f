"""The losses, one file each.

To add a loss, write its file, import its name here, add a line to `LOSSES`, and write a reference test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import LazyTable, lazy_index

if TYPE_CHECKING:
    from salign.losses.base import Loss as Loss, LossTerms as LossTerms
    from salign.losses.cdep import (
        Cdep as Cdep,
        decomposition_outside as decomposition_outside,
        parts_of_logits as parts_of_logits,
    )
    from salign.losses.cross_entropy import CrossEntropy as CrossEntropy, cross_entropy as cross_entropy
    from salign.losses.cyborg import Cyborg as Cyborg, cyborg as cyborg, saliency_distance as saliency_distance
    from salign.losses.decomposition import decompose as decompose
    from salign.losses.distill import Distill as Distill, distillation as distillation
    from salign.losses.divisive import Divisive as Divisive, agreement_inside as agreement_inside
    from salign.losses.entropy import (
        Droid as Droid,
        Fmmce as Fmmce,
        Hbcam as Hbcam,
        entropy_gap as entropy_gap,
        map_entropy as map_entropy,
    )
    from salign.losses.evidence import Evidence as Evidence, evidence_outside as evidence_outside
    from salign.losses.gain import Gain as Gain, erase as erase, erased_score as erased_score
    from salign.losses.gain_ext import GainExt as GainExt
    from salign.losses.gradia import Gradia as Gradia, gradia as gradia
    from salign.losses.group_dro import GroupDro as GroupDro, group_dro as group_dro
    from salign.losses.guided import GuidedLoss as GuidedLoss
    from salign.losses.haics import Haics as Haics, cell_cross_entropy as cell_cross_entropy
    from salign.losses.harmonization import Harmonization as Harmonization, harmonization as harmonization
    from salign.losses.hint import Hint as Hint, ranking_violation as ranking_violation
    from salign.losses.model_guidance import (
        PPCE as PPCE,
        Energy as Energy,
        L1Guidance as L1Guidance,
        energy_outside as energy_outside,
        l1_distance as l1_distance,
        pixel_cross_entropy as pixel_cross_entropy,
    )
    from salign.losses.okd import Okd as Okd, change_images as change_images
    from salign.losses.reaction_time import ReactionTime as ReactionTime, timed_cross_entropy as timed_cross_entropy
    from salign.losses.res import ResG as ResG, ResL as ResL, res_distance as res_distance
    from salign.losses.rrr import RightReasons as RightReasons, gradient_outside as gradient_outside
    from salign.losses.rrr_grad_cam import (
        RightReasonsGradCam as RightReasonsGradCam,
        grad_cam_outside as grad_cam_outside,
    )
    from salign.losses.sage import (
        Sage as Sage,
        jensen_shannon as jensen_shannon,
        keep_and_destroy as keep_and_destroy,
        saliency_triplet as saliency_triplet,
    )
    from salign.losses.swap import Swap as Swap, swap_consistency as swap_consistency, swap_regions as swap_regions
    from salign.losses.viser import Viser as Viser, blend_terms as blend_terms, smoothed_distance as smoothed_distance

LOSSES: LazyTable[type[Loss]] = LazyTable(
    {
        "cdep": "salign.losses.cdep:Cdep",
        "ce": "salign.losses.cross_entropy:CrossEntropy",
        "cyborg": "salign.losses.cyborg:Cyborg",
        "distill": "salign.losses.distill:Distill",
        "divisive": "salign.losses.divisive:Divisive",
        "droid": "salign.losses.entropy:Droid",
        "energy": "salign.losses.model_guidance:Energy",
        "evidence": "salign.losses.evidence:Evidence",
        "fmmce": "salign.losses.entropy:Fmmce",
        "gain": "salign.losses.gain:Gain",
        "gain_ext": "salign.losses.gain_ext:GainExt",
        "gradia": "salign.losses.gradia:Gradia",
        "group_dro": "salign.losses.group_dro:GroupDro",
        "haics": "salign.losses.haics:Haics",
        "harmonization": "salign.losses.harmonization:Harmonization",
        "hbcam": "salign.losses.entropy:Hbcam",
        "hint": "salign.losses.hint:Hint",
        "l1_guidance": "salign.losses.model_guidance:L1Guidance",
        "okd": "salign.losses.okd:Okd",
        "ppce": "salign.losses.model_guidance:PPCE",
        "reaction_time": "salign.losses.reaction_time:ReactionTime",
        "res_g": "salign.losses.res:ResG",
        "res_l": "salign.losses.res:ResL",
        "rrr": "salign.losses.rrr:RightReasons",
        "rrr_grad_cam": "salign.losses.rrr_grad_cam:RightReasonsGradCam",
        "sage": "salign.losses.sage:Sage",
        "swap": "salign.losses.swap:Swap",
        "viser": "salign.losses.viser:Viser",
    }
)
"""Name in a recipe -> class of the loss, which is imported when it is looked up."""

lazy_index(__name__)
