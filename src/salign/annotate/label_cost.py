"""The cost of maps in labels: how many more images could have been labelled in the time that the maps took."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from salign.annotate.answers import Answer

FEW = 5
"""With fewer answers of a kind than this, nothing is said about its time."""


def times_of(answers: Sequence[Answer]) -> tuple[list[float], list[float]]:
    """Return the seconds of answers with a mark, and of answers with a label alone; skips and reviews are left out.

    A click on "nothing to mark" counts as a mark.
    """
    marking: list[float] = []
    labelling: list[float] = []
    for answer in answers:
        if answer.value is not None and answer.annotation.review is None:
            marked = any(answer.marked(image) for image in answer.task.images)
            (marking if marked else labelling).append(answer.seconds)
    return marking, labelling


def describe_label_cost(marking: Sequence[float], labelling: Sequence[float]) -> str | None:
    """Say how many more images could have been labelled in the time that the maps took.

    Let t be the median time of an answer with a mark, and u that of a label alone. Then n maps took n (t - u) seconds
    more than n labels, which is the time of n (t / u - 1) labels. So the maps must beat cross-entropy with t / u times
    as many images, which is the arm `ce_times@` of a study.

    Args:
        marking: the seconds of each answer with a mark.
        labelling: the seconds of each answer without one.

    Returns:
        A sentence; None if there are fewer than `FEW` of either, or the median of `labelling` is 0.
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
