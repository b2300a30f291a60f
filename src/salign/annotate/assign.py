"""The rules by which tasks are assigned: pure functions, so that equal history and seed give equal choices."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence


def draw(*parts: object) -> float:
    """Return a pseudorandom number in [0, 1) that depends only on the parts, such as seed, annotator and image."""
    text = "\0".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / 2**56


def order(units: Iterable[str], *, annotator: int, seed: int, first: Mapping[str, float] | None = None) -> list[str]:
    """Return the units in the random order of an annotator, which depends only on the seed and the annotator.

    With `first` the units are sorted by their numbers there, the lowest first and units without a number last. Only
    units with equal numbers are in random order then.
    """
    ranks = first or {}
    return sorted(units, key=lambda unit: (ranks.get(unit, math.inf), draw(seed, annotator, unit), unit))


def choose(
    ordered: Sequence[str], people: Mapping[str, int], seen: Collection[str], *, per_unit: int, count: int
) -> list[str]:
    """Choose the next units for an annotator: the least annotated first, and among equals in the given order.

    Args:
        ordered: the units to choose from, in the order that `order` gave.
        people: for each unit, how many annotators have answered or hold it; a missing unit counts 0.
        seen: units that this annotator has had already, whether answered or not.
        per_unit: number of annotators that each unit needs.
        count: largest number of units to choose.
    """
    free = (unit for unit in ordered if unit not in seen and people.get(unit, 0) < per_unit)
    return heapq.nsmallest(count, free, key=lambda unit: people.get(unit, 0))  # keeps the order of equal units


def gold_is_due(position: int, *, annotator: int, seed: int, share: float) -> bool:
    """Return whether the task at `position` (0, 1, ...) of an annotator is a gold image.

    Each block of 1 / share tasks, rounded and at least 2, has one gold image. Its place in the block is drawn for each
    annotator and block, so that nobody can tell which task it is.
    """
    block = max(2, round(1 / share))
    return position % block == int(draw("gold", seed, annotator, position // block) * block)


def arm_of(arms: Sequence[str], number: int, *, owner: object, seed: int) -> str:
    """Return the arm of item `number` (0, 1, ...) of an owner.

    The items are divided into blocks of `len(arms)`, and each arm occurs once in every block, in random order. An owner
    is an annotator whose items are tasks, or the study, whose items are annotators.
    """
    block, position = divmod(number, len(arms))
    order = sorted(range(len(arms)), key=lambda arm: draw("arm", seed, owner, block, arm))
    return arms[order[position]]


def sides(images: Sequence[str], *, annotator: int, seed: int) -> list[str]:
    """Return the images of a pair in the order, left and right, in which this annotator sees them."""
    return list(images) if draw("side", seed, annotator, *images) < 0.5 else list(reversed(images))
