"""Whether another annotator is needed: how well the mean map of some people agrees with that of as many others."""

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
"""The agreement that is usually asked for: Nunnally 1978, "Psychometric Theory", asks .8 of basic research."""
FEW = 10
"""Images below which the answer is called uncertain."""
MANY = 15
"""People per image from which on more people are no advice."""
SPLITS = 50
"""Splits of the people of an image, for each size of the halves; where there are more, so many are drawn."""


@dataclass(frozen=True)
class Point:
    """What was measured for groups of one size."""

    people: int
    """People in each of the two groups."""
    r: float
    """Mean over images of the mean correlation over splits."""
    images: int


@dataclass(frozen=True)
class SplitHalf:
    """Agreement of the mean maps of two groups of people, over the size of the groups."""

    points: tuple[Point, ...]
    """The sizes that could be measured, 1 first; empty where no image has two maps."""
    people: int
    """Maps of an image as it is now: the median over the images that were compared; 0 without any."""

    def predicted(self, people: int) -> float:
        """What the agreement of single people lets expect of groups of `people`; NaN without any agreement."""
        single = self.points[0].r if self.points else math.nan
        return spearman_brown(single, people) if single > 0 else math.nan

    @property
    def needed(self) -> int | None:
        """So many people reach `GOAL`, as predicted; None where people do not agree at all."""
        single = self.points[0].r if self.points else math.nan
        if not single > 0:
            return None
        return max(1, math.ceil(GOAL * (1 - single) / (single * (1 - GOAL)) - 1e-9))

    def view(self) -> dict[str, Any]:
        """For the page of the owner."""
        last = max(self.people + 3, 6, min(self.needed or 0, MANY))
        return {
            "points": [vars(point) for point in self.points],
            "predicted": [self.predicted(people) for people in range(1, last + 1)] if self.needed else [],
            "people": self.people,
            "goal": GOAL,
            "sentences": self.sentences(),
        }

    def sentences(self) -> list[str]:
        """What it means, for the page and the terminal."""
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
    """The agreement of two groups of `people` each, from that of two single people.

    `R_k = k r / (1 + (k - 1) r)`: Spearman 1910, "Correlation calculated from faulty data", and Brown 1910, "Some
    experimental results in the correlation of mental abilities", British Journal of Psychology 3. It takes people to be
    alike, none of them better than the others.
    """
    return people * single / (1 + (people - 1) * single)


def split_half(images: Iterable[Mapping[int, np.ndarray]], seed: int = 0) -> SplitHalf:
    """Correlate the mean maps of two groups of people who share nobody, for each size of the groups.

    Args:
        images: for each image the maps by annotator, `(H, W)` >= 0 of one size; blank maps say nothing of where and are
            left out.
        seed: decides the splits, where an image has more than `SPLITS`.
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
        products = flat @ flat.T  # the covariance of two means is a mean of these: no map is added up again
        for size in range(1, len(people) // 2 + 1):
            lot = random.Random(f"{seed} {number} {size}")
            correlations = _correlations(products, list(_splits(len(people), size, lot)))
            if len(correlations):
                by_size.setdefault(size, []).append(float(correlations.mean()))
    points = tuple(Point(size, fmean(values), len(values)) for size, values in sorted(by_size.items()))
    return SplitHalf(points, median_low(counts) if counts else 0)


def _splits(people: int, size: int, lot: random.Random) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Two groups of `size` out of `people`, each unordered pair of groups once, or a draw of them."""
    if math.comb(people, size) * math.comb(people - size, size) // 2 > SPLITS:
        for _ in range(SPLITS):
            sample = lot.sample(range(people), 2 * size)
            yield sample[:size], sample[size:]
        return
    for first in combinations(range(people), size):
        rest = [person for person in range(first[0] + 1, people) if person not in first]
        yield from ((first, second) for second in combinations(rest, size))


def _correlations(products: np.ndarray, splits: list[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
    """Correlation of the mean maps of two groups, for each split; without those where a mean is the same everywhere."""
    people = np.eye(len(products))
    first, second = (people[np.array(groups)].sum(1) for groups in zip(*splits, strict=True))
    cross = (first @ products * second).sum(1)
    spread = np.sqrt(((first @ products * first).sum(1) * (second @ products * second).sum(1)).clip(min=0))
    defined = spread > 1e-9
    return np.asarray(cross[defined] / spread[defined])
