"""What the time of the maps would have bought: how many more images it would have labelled."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from salign.annotate.answers import Answer

FEW = 5
"""Answers of a kind below which nothing is said of its time."""


def times_of(answers: Sequence[Answer]) -> tuple[list[float], list[float]]:
    """The seconds of answers that say where, and of those that give a label alone; skips and reviews are left out."""
    marking: list[float] = []
    labelling: list[float] = []
    for answer in answers:
        if answer.value is not None and answer.annotation.review is None:
            marked = any(answer.marked(image) for image in answer.task.images)
            (marking if marked else labelling).append(answer.seconds)
    return marking, labelling


def describe_label_cost(marking: Sequence[float], labelling: Sequence[float]) -> str | None:
    """Say how many more images the time of the maps would have labelled.

    With the median t of an answer that says where and the median u of a label alone, n maps took n (t - u) seconds more
    than labels would have, which is the time of n (t / u - 1) labels. So cross-entropy with t / u times as many images,
    in a study the arm `ce_times@`, is what the maps must beat.

    Args:
        marking: the seconds of each answer with a mark.
        labelling: the seconds of each answer without one.

    Returns:
        A sentence; None where there are fewer than `FEW` of either, or where a time of 0 was sent.
    """
    if min(len(marking), len(labelling)) < FEW or median(labelling) <= 0:
        return None
    both, alone = median(marking), median(labelling)
    times = (
        f"an answer with a mark took {both:.3g} s (median of {len(marking)}), a label alone {alone:.3g} s (median of "
        f"{len(labelling)})"
    )
    if both <= alone:
        return f"{times}: the maps cost no more time"
    more = round(len(marking) * (both / alone - 1))
    return (
        f"{times}: the time of the maps would have labelled about {more} more images; a study compares with that by "
        f"the arm ce_times@{both / alone:.3g}"
    )
