"""Who sees which image next: pure functions; the same history and seed always give the same choice."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but the parts (seed, annotator, image)."""
    text = "\0".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / 2**56


def order(units: Iterable[str], *, annotator: int, seed: int, first: Mapping[str, float] | None = None) -> list[str]:
    """The units in the order drawn for an annotator; it depends on the seed and the annotator only.

    With `first` the units come by that number, lowest first and those without one last; only equal ones are drawn.
    """
    ranks = first or {}
    return sorted(units, key=lambda unit: (ranks.get(unit, math.inf), draw(seed, annotator, unit), unit))


def choose(
    ordered: Sequence[str], people: Mapping[str, int], seen: Collection[str], *, per_unit: int, count: int
) -> list[str]:
    """The next units for an annotator: the least annotated first, among equals in the order given.

    Args:
        ordered: all units that are not gold, as by `order`.
        people: how many annotators have answered a unit or hold it; absent = 0.
        seen: units this annotator had already, whatever became of them.
        per_unit: annotators wanted for each unit.
        count: at most so many.
    """
    free = (unit for unit in ordered if unit not in seen and people.get(unit, 0) < per_unit)
    return heapq.nsmallest(count, free, key=lambda unit: people.get(unit, 0))  # stable


def gold_is_due(position: int, *, annotator: int, seed: int, share: float) -> bool:
    """Whether the task at `position` (0, 1, ...) of an annotator is a gold image: one in each block of 1 / share.

    Where it stands in its block is drawn for each annotator and block, so that nobody can tell which one it is.
    """
    block = max(2, round(1 / share))
    return position % block == int(draw("gold", seed, annotator, position // block) * block)


def arm_of(arms: Sequence[str], number: int, *, owner: object, seed: int) -> str:
    """The arm of the `number`-th thing of an owner: in every run of len(arms) each arm occurs once, in random order."""
    block, position = divmod(number, len(arms))
    order = sorted(range(len(arms)), key=lambda arm: draw("arm", seed, owner, block, arm))
    return arms[order[position]]


def sides(images: Sequence[str], *, annotator: int, seed: int) -> list[str]:
    """The images of a pair in the order this annotator sees them, left and right."""
    return list(images) if draw("side", seed, annotator, *images) < 0.5 else list(reversed(images))
