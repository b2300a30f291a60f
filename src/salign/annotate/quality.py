"""The quality of a collection: agreement on answers and maps, and annotators whom the owner should look at."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np
import torch

from salign.annotate.answers import Answer, majority, marks_of
from salign.annotate.collection import Collection
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.evaluate.agreement import pearson
from salign.evaluate.annotators import ceiling

COMPARED = 200
"""The maps of at most this many images are compared. The study's seed draws the images, so that they stay the same."""
SIDE = 128
"""Longest side, in pixels, of the maps that are compared."""


@dataclass(frozen=True)
class Suspicion:
    """The limits beyond which the owner's page names an annotator. Each is a hint to look, not a verdict."""

    least: int = 10
    """An annotator with fewer answers is not judged by speed, sameness, agreement or blank maps."""
    speed: float = 0.3
    """An annotator is named whose median time is below this share of the others' median."""
    same: float = 0.95
    """An annotator is named who gives the same answer in at least this share of the tasks, unless the others' answers
    to the same images are as one-sided. In pairs, the same applies to the side, whatever the others choose."""
    gold: float = 0.7
    """An annotator is named who answered less than this share of at least `gold_least` gold images right."""
    gold_least: int = 4
    agreement: float = 0.6
    """An annotator is named whose agreement with the others, on answers or on maps, is below this share of the median
    agreement of the others; if the median is negative, below it by as much as if it were positive."""
    blank: float = 0.5
    """An annotator is named who marks nothing in more than this share of the tasks, if the others' answers to the same
    images are blank in less than half of the cases."""


def krippendorff(units: Iterable[Sequence[Hashable]]) -> float:
    """Compute Krippendorff's alpha for nominal data from any number of annotators, with any answers missing.

    `alpha = 1 - (n - 1) * sum_u [sum_{c != k} n_uc n_uk / (m_u - 1)] / sum_{c != k} n_c n_k`, where u runs over the
    units with m_u >= 2 answers, n is the number of all these answers, and n_c and n_uc are the numbers of answers c in
    all and to unit u (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D).

    Args:
        units: the answers given to each unit.

    Returns:
        1 for full agreement, 0 for agreement by chance; NaN if no unit has two answers or only one answer occurs.
    """
    totals: Counter[Hashable] = Counter()
    observed = 0.0
    for values in units:
        if len(values) < 2:
            continue
        counts = Counter(values)
        totals.update(counts)
        observed += (len(values) ** 2 - sum(count**2 for count in counts.values())) / (len(values) - 1)
    n = sum(totals.values())
    expected = n**2 - sum(count**2 for count in totals.values())
    return 1 - (n - 1) * observed / expected if expected else math.nan


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the intersection over union of two maps `(H, W)` >= 0, which may be soft; NaN if both are 0 everywhere.

    It is the sum of the pixelwise minima divided by the sum of the pixelwise maxima.
    """
    union = float(np.maximum(first, second).sum())
    return float(np.minimum(first, second).sum()) / union if union else math.nan


@dataclass(frozen=True)
class MapAgreement:
    """How far annotators mark the same places. Means are NaN if nothing can be compared."""

    cc: float
    """Pearson correlation of two annotators' maps: the mean over pairs of annotators, then over images."""
    iou: float
    """Intersection over union of two annotators' maps: the mean over pairs of annotators, then over images."""
    ceiling: float
    """Correlation of an annotator's map with the mean map of the others: the mean over annotators, then over images."""
    images: int
    """Number of images that were compared."""
    by_person: dict[int, float]
    """Mean correlation of each annotator with the others, over all pairs and images."""
    by_image: dict[str, float]
    """Mean correlation over the pairs of annotators of each image."""


def map_agreement(images: Mapping[str, Mapping[int, np.ndarray]]) -> MapAgreement:
    """Compare the maps of each image in pairs.

    Args:
        images: for each image the maps by annotator, `(H, W)` >= 0 and all of one size. Maps with the same value
            everywhere, such as blank ones, are left out, since they do not say where people looked.
    """
    ious, ceilings = [], []
    by_image: dict[str, float] = {}
    by_person: dict[int, list[float]] = defaultdict(list)
    for image, maps in images.items():
        people = [person for person, values in maps.items() if values.max() > values.min()]
        if len(people) < 2:
            continue
        stack = torch.stack([torch.from_numpy(maps[person].astype(np.float64)) for person in people])
        pairs = [(a, b) for a in range(len(people)) for b in range(a + 1, len(people))]
        correlations = pearson(stack[[a for a, _ in pairs]], stack[[b for _, b in pairs]]).tolist()
        by_image[image] = fmean(correlations)
        ious.append(fmean(overlap(stack[a].numpy(), stack[b].numpy()) for a, b in pairs))
        ceilings.append(ceiling(stack, "cc"))
        for (a, b), value in zip(pairs, correlations, strict=True):
            by_person[people[a]].append(value)
            by_person[people[b]].append(value)
    means = {person: fmean(values) for person, values in by_person.items()}
    return MapAgreement(_mean([*by_image.values()]), _mean(ious), _mean(ceilings), len(by_image), means, by_image)


def sample_maps(collection: Collection, answers: Sequence[Answer]) -> dict[str, dict[int, np.ndarray]]:
    """Draw small maps of the images that at least two people marked, by image and annotator.

    At most `COMPARED` images are used, chosen at random by the study's seed. Images that cannot be read now are left
    out, and so are accepted drafts that are maps of the manifest.
    """
    marking: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        for image in answer.unit.images:
            if answer.marked(image) and (answer.accepted is None or answer.accepted.column is None):
                marking[image].append(answer)
    several = sorted(image for image, group in marking.items() if len(group) > 1)
    chosen = sorted(several, key=lambda image: random.Random(f"{collection.study.seed} {image}").random())[:COMPARED]
    return {
        image: {answer.person.id: small_map(marks_of(collection, answer, image), size) for answer in marking[image]}
        for image in chosen
        if (size := collection.size(image)) is not None
    }


def small_map(marks: Annotated, size: tuple[int, int]) -> np.ndarray:
    """Draw the map of marks on an image of size (H, W): `(h, w)` float32 in [0, 1], each side at most `SIDE`."""
    factor = min(1.0, SIDE / max(size))
    small = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    return draw_marks([replace(marks, size=marks.size or size)], small)


def agreement_with_others(answers: Sequence[Answer]) -> dict[int, float]:
    """Return for each annotator the share of answers that equal the majority of the others, if they have a majority."""
    by_unit: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.value is not None:
            by_unit[answer.unit.id].append(answer)
    hits: dict[int, list[bool]] = defaultdict(list)
    for group in by_unit.values():
        for answer in group:
            rest = majority([str(other.value) for other in group if other is not answer])
            if rest is not None:
                hits[answer.person.id].append(answer.value == rest)
    return {person: fmean(values) for person, values in hits.items()}


def suspicions(
    answers: Sequence[Answer],
    gold: Mapping[int, tuple[int, int]],
    same_answers: Mapping[int, float],
    same_maps: Mapping[int, float],
    limits: Suspicion = Suspicion(),
) -> dict[int, list[str]]:
    """Find the annotators that the owner should look at, each with the reasons in words.

    Args:
        answers: all answers that count.
        gold: for each annotator, how many gold images were answered right, and how many were answered.
        same_answers: what `agreement_with_others` returned.
        same_maps: `MapAgreement.by_person`.
        limits: the limits beyond which an annotator is named.
    """
    by_person: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_person[answer.person.id].append(answer)
    reasons: dict[int, list[str]] = {}
    for person, own in by_person.items():
        rest = [answer for answer in answers if answer.person.id != person]
        checks = [_low_gold(gold.get(person, (0, 0)), limits)]
        valid = [answer for answer in own if not answer.skipped]
        if len(valid) >= limits.least:
            checks += [_fast(valid, rest, limits), _constant(valid, rest, limits), _blank(valid, rest, limits)]
            checks += [
                _apart("answers", person, same_answers, limits),
                _apart("maps", person, same_maps, limits),
            ]
        if faults := [reason for reason in checks if reason]:
            reasons[person] = faults
    return reasons


def _low_gold(score: tuple[int, int], limits: Suspicion) -> str:
    right, seen = score
    low = seen >= limits.gold_least and right < limits.gold * seen
    return f"{right} of {seen} gold images right" if low else ""


def _fast(valid: Sequence[Answer], rest: Sequence[Answer], limits: Suspicion) -> str:
    times = [answer.seconds for answer in rest if not answer.skipped]
    if len(times) < limits.least:
        return ""
    own, usual = median(answer.seconds for answer in valid), median(times)
    return f"{own:.1f} s for an image; the others take {usual:.1f} s" if own < limits.speed * usual else ""


def _constant(valid: Sequence[Answer], rest: Sequence[Answer], limits: Suspicion) -> str:
    values = Counter(answer.value for answer in valid if answer.annotation.side is None)
    sides = Counter(answer.annotation.side for answer in valid if answer.annotation.side is not None)
    if sides:  # sides are drawn for each annotator, so the images cannot explain always the same one
        side, count = sides.most_common(1)[0]
        side_name = "left" if side == 0 else "right"
        return f"chose {side_name} {count} of {sides.total()} times" if count >= limits.same * sides.total() else ""
    if not values:
        return ""
    value, count = values.most_common(1)[0]
    units = {answer.unit.id for answer in valid}
    usual = [answer.value for answer in rest if answer.unit.id in units and answer.value is not None]
    one_sided = bool(usual) and Counter(usual).most_common(1)[0][1] >= limits.same * len(usual)
    suspicious = value is not None and count >= limits.same * values.total() and usual and not one_sided
    return f"answered {value!r} {count} of {values.total()} times" if suspicious else ""


def _blank(valid: Sequence[Answer], rest: Sequence[Answer], limits: Suspicion) -> str:
    blank = [answer for answer in valid if answer.annotation.blank]
    if len(blank) <= limits.blank * len(valid):
        return ""
    units = {answer.unit.id for answer in blank}
    same = [answer.annotation.blank for answer in rest if answer.unit.id in units and not answer.skipped]
    suspicious = bool(same) and fmean(same) < 0.5
    return f"nothing to mark in {len(blank)} of {len(valid)}; the others marked most of these" if suspicious else ""


def _apart(what: str, person: int, agreements: Mapping[int, float], limits: Suspicion) -> str:
    rest = [value for other, value in agreements.items() if other != person]
    if person not in agreements or not rest:
        return ""
    own, usual = agreements[person], median(rest)
    near = own >= usual - (1 - limits.agreement) * abs(usual)  # a share of a median below 0 would lie above it
    return "" if near else f"{what} agree with the others' to {own:.2f}; theirs to {usual:.2f}"


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return fmean(numbers) if numbers else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of values at `share` in [0, 1], by linear interpolation; NaN without values."""
    return float(np.quantile(values, share)) if values else math.nan
