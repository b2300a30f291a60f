"""The results of a review: how good the drafts were, how many maps nobody had to draw, and whether to go on."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from salign.annotate.answers import Answer, marks_of
from salign.annotate.broken import Unshown
from salign.annotate.collection import Collection
from salign.annotate.drafts import Draft
from salign.annotate.quality import COMPARED, overlap, small_map
from salign.data.manifest import MACHINE
from salign.evaluate.agreement import marked, pearson

FEWEST = 10
"""With fewer verdicts than this, nothing is said about whether the drafts are good enough."""


@dataclass(frozen=True)
class Review:
    """The numbers of verdicts on drafts, and the quality and use of the drafts by these verdicts."""

    accepted: int
    edited: int
    rejected: int
    iou: float
    """Mean IoU of a draft and the reviewed map, between the pixels at or above half of each map's maximum. An accepted
    draft counts 1, a rejected one 0. NaN without a verdict."""
    cc: float
    """The same mean with the Pearson correlation of the two maps instead of the IoU."""
    machine: int
    """Number of images with a machine's draft."""
    taken: int
    """Number of the images in `machine` whose draft was accepted by everybody who judged it."""
    unasked: int
    """Number of the images in `machine` that nobody has judged."""

    @property
    def judged(self) -> int:
        """Number of verdicts."""
        return self.accepted + self.edited + self.rejected

    @property
    def saved(self) -> int:
        """Number of maps that a machine drew and nobody had to draw, if the collection ends now."""
        return self.taken + self.unasked

    def enough(self, target: float | None) -> bool | None:
        """Return whether the mean IoU reaches the target; None without a target or with fewer than `FEWEST` verdicts.

        The drafts with the lowest confidence come first, so the remaining drafts should be better than the judged ones.
        """
        return None if target is None or self.judged < FEWEST or math.isnan(self.iou) else self.iou >= target

    def view(self, target: float | None) -> dict[str, Any]:
        """Return the figures for the owner's page."""
        names = ("accepted", "edited", "rejected", "machine", "taken", "unasked", "judged", "saved")
        figures = {name: None if math.isnan(value) else value for name, value in (("iou", self.iou), ("cc", self.cc))}
        verdict = {"target": target, "enough": self.enough(target), "fewest": FEWEST}
        return {name: getattr(self, name) for name in names} | figures | verdict

    def sentences(self, target: float | None) -> list[str]:
        """Describe the review in sentences for the terminal; none without a verdict."""
        if not self.judged:
            return []
        lines = [
            f"drafts: {self.accepted} accepted, {self.edited} edited, {self.rejected} rejected; mean agreement with "
            f"what came of them: IoU {self.iou:.2f}, correlation {self.cc:.2f} (accepted 1, rejected 0)"
        ]
        if self.machine:
            lines.append(
                f"maps nobody had to draw: {self.saved} of {self.machine} ({self.taken} accepted, {self.unasked} not "
                "asked about)"
            )
        if target is not None:
            met = self.enough(target)
            few = f"not known before {FEWEST} verdicts"
            verdict = few if met is None else "yes: the rest can stay the machine's" if met else "no: go on"
            lines.append(f"good enough (mean IoU of {target:g} or more): {verdict}")
        return lines


def summarise_review(collection: Collection, answers: Sequence[Answer]) -> Review:
    """Sum up the verdicts of a review.

    At most `COMPARED` edited maps, drawn by the study's seed, are compared with their drafts; their mean stands for all
    edited maps. If none of them can be compared now, the agreement is that of the other verdicts.
    """
    judged = [answer for answer in answers if answer.annotation.review and not answer.skipped and _number(answer) >= 0]
    count = Counter(answer.annotation.review for answer in judged)
    by_image: dict[str, list[Answer]] = defaultdict(list)
    for answer in judged:
        by_image[answer.unit.images[0]].append(answer)
    machine = [image for image, drafts in collection.drafts.items() if any(map(_by_machine, drafts))]
    edits = sorted(
        (answer for answer in judged if answer.annotation.review == "edit"),
        key=lambda answer: random.Random(f"{collection.study.seed} {answer.unit.id} {answer.person.id}").random(),
    )
    comparisons = [pair for answer in edits[:COMPARED] if (pair := _compared(collection, answer)) is not None]
    edit_count = count["edit"] if comparisons else 0
    total = count["accept"] + edit_count + count["reject"]

    def mean(k: int) -> float:
        if not total:
            return math.nan
        return (count["accept"] + (edit_count * fmean(pair[k] for pair in comparisons) if comparisons else 0.0)) / total

    return Review(
        accepted=count["accept"],
        edited=count["edit"],
        rejected=count["reject"],
        iou=mean(0),
        cc=mean(1),
        machine=len(machine),
        taken=sum(bool(by_image[image]) and all(map(_taken, by_image[image])) for image in machine),
        unasked=sum(not by_image[image] for image in machine),
    )


def _number(answer: Answer) -> int:
    """Return the index of the draft that was judged; -1 if the study no longer has it."""
    number = answer.annotation.draft
    return number if number is not None and number < len(answer.drafts) else -1


def _by_machine(draft: Draft) -> bool:
    return draft.source.startswith(MACHINE)


def _taken(answer: Answer) -> bool:
    return answer.annotation.review == "accept" and _by_machine(answer.drafts[_number(answer)])


def _compared(collection: Collection, answer: Answer) -> tuple[float, float] | None:
    """Return IoU and correlation of a draft and the map that the annotator made of it.

    Two blank maps count 1, a blank and another map 0. The result is None if the image or the draft's map cannot be read
    now.
    """
    image = answer.unit.images[0]
    if (size := collection.size(image)) is None:
        return None
    draft = answer.drafts[_number(answer)]
    try:
        before, final = (
            small_map(marks, size).astype(np.float64)
            for marks in (collection.draft_marks(image, draft), marks_of(collection, answer, image))
        )
    except Unshown:
        return None
    if not (before.any() and final.any()):
        same = float(not before.any() and not final.any())
        return same, same
    areas = [marked(torch.from_numpy(values)[None])[0].numpy() for values in (before, final)]
    correlation = float(pearson(torch.from_numpy(before)[None], torch.from_numpy(final)[None]))
    return overlap(*areas), 0.0 if math.isnan(correlation) else correlation
