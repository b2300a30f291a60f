"""Whether a study needs more annotators: the split-half agreement of the mean maps of two groups of people."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median_low
from typing import Any

import numpy as np

GOAL = 0.8
"""The agreement that is usually required: Nunnally 1978, "Psychometric Theory", requires .8 for basic research."""
FEW = 10
"""With fewer images than this, the answer is called uncertain."""
MANY = 15
"""If more people per image than this were needed, more people are not advised."""
SPLITS = 50
"""For each image and group size, all splits of the people into two groups are compared if there are at most this many,
else this many random ones."""


@dataclass(frozen=True)
class Point:
    """The agreement that was measured for groups of one size."""

    people: int
    """Number of people in each of the two groups."""
    r: float
    """Pearson correlation of the two mean maps: the mean over splits, then over images."""
    images: int


@dataclass(frozen=True)
class SplitHalf:
    """The agreement of the mean maps of two groups of people, for each size of the groups."""

    points: tuple[Point, ...]
    """One entry for each size that could be measured, size 1 first; empty if no image has two maps."""
    people: int
    """Number of maps that an image has now: the lower median over the images that were compared; 0 without images."""

    def predicted(self, people: int) -> float:
        """Predict the agreement of two groups of `people` from that of single people; NaN if that is not above 0."""
        single = self.points[0].r if self.points else math.nan
        return spearman_brown(single, people) if single > 0 else math.nan

    @property
    def needed(self) -> int | None:
        """The number of people whose predicted agreement reaches `GOAL`; None if people do not agree at all."""
        single = self.points[0].r if self.points else math.nan
        if not single > 0:
            return None
        return max(1, math.ceil(GOAL * (1 - single) / (single * (1 - GOAL)) - 1e-9))

    def view(self) -> dict[str, Any]:
        """Return the figures for the owner's page."""
        last = max(self.people + 3, 6, min(self.needed or 0, MANY))
        return {
            "points": [vars(point) for point in self.points],
            "predicted": [self.predicted(people) for people in range(1, last + 1)] if self.needed else [],
            "people": self.people,
            "goal": GOAL,
            "sentences": self.sentences(),
        }

    def sentences(self) -> list[str]:
        """Say what the figures mean, for the owner's page and the terminal."""
        if not self.points:
            return ["not known before two people have marked the same images"]
        single, count = self.points[0], self.people
        sentences = [
            f"maps of two people of the same image agree to {single.r:.2f} (correlation, {single.images} images)"
        ]
        if self.needed is None:
            return [
                *sentences,
                "people mark different things: look at the question and the instructions, more people do not help",
            ]
        now, more = self.predicted(count), self.predicted(count + 1)
        sentences.append(
            f"the mean map of {_crowd(count)} agrees with that of as many others to {now:.2f}, as predicted; with one "
            f"person more to {more:.2f}"
        )
        if now >= GOAL:
            sentences.append(f"no: {_crowd(count)} per image is enough, since {GOAL:g} is usually asked for")
        elif self.needed <= MANY:
            sentences.append(f"yes: {_crowd(self.needed)} per image would reach {GOAL:g}, which is usually asked for")
        else:
            sentences.append(
                f"more people are a long way: {self.needed} per image would reach {GOAL:g}, which is usually asked "
                "for; look at the question and the instructions first"
            )
        if single.images < FEW:
            sentences.append(f"{single.images} images are few: look again when there are {FEW} or more")
        return sentences


def _crowd(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def spearman_brown(single: float, people: int) -> float:
    """Predict the agreement of two groups of `people` each from the agreement of two single people.

    `R_k = k r / (1 + (k - 1) r)`: Spearman 1910, "Correlation calculated from faulty data", and Brown 1910, "Some
    experimental results in the correlation of mental abilities", British Journal of Psychology 3. The formula assumes
    that all people are equally good.
    """
    return people * single / (1 + (people - 1) * single)


def split_half(images: Iterable[Mapping[int, np.ndarray]], seed: int = 0) -> SplitHalf:
    """Correlate the mean maps of two disjoint groups of people, for each size of the groups.

    Args:
        images: for each image the maps by annotator, `(H, W)` >= 0 and all of one size. Maps with the same value
            everywhere, such as blank ones, are left out, since they do not say where people looked.
        seed: seed of the random splits of images that have more than `SPLITS` of them.
    """
    by_size: dict[int, list[float]] = {}
    counts = []
    for number, maps in enumerate(images):
        people = [values for values in maps.values() if values.max() > values.min()]
        if len(people) < 2:
            continue
        counts.append(len(people))
        flat = np.stack([values.ravel().astype(np.float64) for values in people])
        flat -= flat.mean(1, keepdims=True)
        products = flat @ flat.T  # the covariance of two mean maps is a mean of these products
        for size in range(1, len(people) // 2 + 1):
            lot = random.Random(f"{seed} {number} {size}")
            correlations = _correlations(products, list(_splits(len(people), size, lot)))
            if len(correlations):
                by_size.setdefault(size, []).append(float(correlations.mean()))
    points = tuple(Point(size, fmean(values), len(values)) for size, values in sorted(by_size.items()))
    return SplitHalf(points, median_low(counts) if counts else 0)


def _splits(people: int, size: int, lot: random.Random) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Yield pairs of disjoint groups of `size` out of `people`: each unordered pair once, or `SPLITS` random ones."""
    if math.comb(people, size) * math.comb(people - size, size) // 2 > SPLITS:
        for _ in range(SPLITS):
            sample = lot.sample(range(people), 2 * size)
            yield sample[:size], sample[size:]
        return
    for first in combinations(range(people), size):
        rest = [person for person in range(first[0] + 1, people) if person not in first]
        yield from ((first, second) for second in combinations(rest, size))


def _correlations(products: np.ndarray, splits: list[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
    """Correlate the mean maps of the two groups of each split, given the products of the centred maps.

    Splits in which a mean map has the same value everywhere are left out.
    """
    people = np.eye(len(products))
    first, second = (people[np.array(groups)].sum(1) for groups in zip(*splits, strict=True))
    cross = (first @ products * second).sum(1)
    spread = np.sqrt(((first @ products * first).sum(1) * (second @ products * second).sum(1)).clip(min=0))
    defined = spread > 1e-9
    return np.asarray(cross[defined] / spread[defined])
