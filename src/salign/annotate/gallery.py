"""The answers of a study one by one, as its owner looks through them: a list to filter and sort."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salign.annotate.answers import Answer
from salign.annotate.collection import Collection
from salign.annotate.rows import Comment, iso_time

Row = dict[str, Any]
Show = Literal["all", "differ", "wrong", "skipped", "blank", "commented", "returned"]
Order = Literal["newest", "image", "annotator", "answer", "differ", "apart", "fastest"]


MOST = 100
"""Answers to choose from, at most; in a study of pairs each image is one."""


class Look(BaseModel):
    """Which answers the owner looks at, and in which order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotator: Annotated[int, Field(ge=1)] | None = None
    image: Annotated[str, Field(max_length=200)] = ""
    """A part of the image's id; upper and lower case are alike."""
    answer: Annotated[str, Field(max_length=2000)] = ""
    show: Show = "all"
    order: Order = "newest"
    start: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1, le=100)] = 24


def list_answers(collection: Collection, answers: Sequence[Answer], alike: Mapping[str, float]) -> list[Row]:
    """A row for each answer, with how far the annotators of its unit differ.

    Args:
        collection: the study.
        answers: those that count.
        alike: mean correlation of the maps of an image, by its id, where it was computed.
    """
    by_unit: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        if answer.value is not None:
            by_unit[answer.unit.id].append(answer.value)
    differ = {unit: share_of_differing_pairs(values) for unit, values in by_unit.items()}
    return [describe_answer(collection, answer, differ.get(answer.unit.id), alike) for answer in answers]


def describe_answer(
    collection: Collection, answer: Answer, differ: float | None = None, alike: Mapping[str, float] | None = None
) -> Row:
    """What the gallery says of an answer."""
    agreement = [(alike or {}).get(image, math.nan) for image in answer.unit.images]
    known = [value for value in agreement if not math.isnan(value)]
    label = find_known_answer(collection, answer)
    return {
        "task": str(answer.task.id),
        "unit": answer.unit.id,
        "images": list(answer.task.images),
        "annotator": answer.person.id,
        "name": answer.person.shown,
        "answer": answer.value,
        "label": label,
        "right": None if label is None or answer.value is None else answer.value == label,
        "skipped": answer.annotation.skipped,
        "blank": answer.annotation.blank,
        "review": answer.annotation.review,
        "confidence": answer.annotation.confidence,
        "seconds": answer.seconds,
        "revision": answer.revision.number,
        "saved": iso_time(answer.revision.created),
        "differ": differ,
        "apart": 1 - sum(known) / len(known) if known else None,
        "comments": [],
        "returned": False,
    }


def share_of_differing_pairs(values: Sequence[str]) -> float | None:
    """The share of pairs of annotators who answered differently; None for fewer than two answers."""
    pairs = math.comb(len(values), 2)
    same = sum(math.comb(count, 2) for count in Counter(values).values())
    return (pairs - same) / pairs if pairs else None


def find_known_answer(collection: Collection, answer: Answer) -> str | None:
    """The answer that gold or a label says is right; None where none does, or where another question was asked.

    In a pair it is the id of the image of the class asked for.
    """
    unit, pictures = answer.unit, collection.catalog.pictures
    if unit.gold is not None:
        return unit.gold
    labels = {image: pictures[image].label for image in unit.images}
    if collection.study.mode == "pair":
        target = collection.target()
        chosen = [image for image, label in labels.items() if label is not None and label == target]
        return chosen[0] if len(chosen) == 1 else None
    label = labels[unit.images[0]]
    return label if answer.annotation.answer is not None and label in collection.classes else None


_SHOWN: dict[str, Callable[[Row], bool]] = {
    "all": lambda row: True,
    "differ": lambda row: bool(row["differ"]),
    "wrong": lambda row: row["right"] is False,
    "skipped": lambda row: row["skipped"] is not None,
    "blank": lambda row: bool(row["blank"]),
    "commented": lambda row: bool(row["comments"]),
    "returned": lambda row: bool(row["returned"]),
}
_ORDERS: dict[str, tuple[Callable[[Row], Any], bool]] = {
    "newest": (lambda row: row["saved"], True),
    "image": (lambda row: row["unit"], False),
    "annotator": (lambda row: row["name"].casefold(), False),
    "answer": (lambda row: (row["answer"] is None, row["answer"] or ""), False),
    "differ": (lambda row: -1.0 if row["differ"] is None else row["differ"], True),
    "apart": (lambda row: -3.0 if row["apart"] is None else row["apart"], True),
    "fastest": (lambda row: row["seconds"], False),
}
"""By what, and whether the largest comes first; an image of which it is not known comes last."""


def select_answers(rows: Sequence[Row], look: Look, comments: Mapping[int, Sequence[Comment]]) -> dict[str, Any]:
    """The answers that are asked for, in order, with what the owner wrote beside them.

    Args:
        rows: `list_answers`.
        look: which of them.
        comments: by task.

    Returns:
        `answers`: at most `look.count` rows from `look.start` on; `total`: how many there are; `values`: what anybody
        answered.
    """
    part, selected = look.image.casefold(), []
    by_task = {str(task): notes for task, notes in comments.items()}
    for row in rows:
        whose = look.annotator is None or row["annotator"] == look.annotator
        if whose and part in row["unit"].casefold() + " ".join(row["images"]).casefold():
            full = add_comments(row, by_task[row["task"]]) if row["task"] in by_task else row
            if look.answer in ("", row["answer"]) and _SHOWN[look.show](full):
                selected.append(full)
    key, largest_first = _ORDERS[look.order]
    selected.sort(key=lambda row: (row["unit"], row["name"]))
    selected.sort(key=key, reverse=largest_first)
    values = sorted({row["answer"] for row in rows if row["answer"] is not None})
    return {"answers": selected[look.start : look.start + look.count], "total": len(selected), "values": values[:MOST]}


def add_comments(row: Row, comments: Sequence[Comment]) -> Row:
    """A row with what the owner wrote; an answer is out with its annotator until it is saved again."""
    last = max((comment.revision for comment in comments if comment.back), default=0)
    rows = [vars(comment) | {"created": iso_time(comment.created)} for comment in comments]
    return row | {"comments": rows, "returned": last == row["revision"]}
