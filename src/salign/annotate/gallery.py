"""The gallery of the owner's page: a list of all answers of a study, which can be filtered and sorted."""

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
"""The owner can filter by at most this many different answers. In a study of pairs each chosen image is an answer."""


class Look(BaseModel):
    """The owner's choice of which answers to list, and in which order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotator: Annotated[int, Field(ge=1)] | None = None
    image: Annotated[str, Field(max_length=200)] = ""
    """A part of the id of the unit or of an image, in any case."""
    answer: Annotated[str, Field(max_length=2000)] = ""
    show: Show = "all"
    order: Order = "newest"
    start: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1, le=100)] = 24


def list_answers(collection: Collection, answers: Sequence[Answer], alike: Mapping[str, float]) -> list[Row]:
    """Return one row for each answer, which also says how far the annotators of its unit differ.

    Args:
        collection: the study.
        answers: the answers that count.
        alike: for each image id, the mean correlation of its maps; images for which it was not computed are missing.
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
    """Return the row of an answer in the gallery.

    `apart` in the row is 1 minus the mean correlation of the maps, in [0, 2]; None if it is not known.

    Args:
        collection: the study.
        answer: the answer.
        differ: share of the pairs of annotators of its unit who gave different answers, if known.
        alike: mean correlation of the maps of each image, as `list_answers` takes it.
    """
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
    """Return the share of pairs of annotators who gave different answers; None for fewer than two answers."""
    pairs = math.comb(len(values), 2)
    same = sum(math.comb(count, 2) for count in Counter(values).values())
    return (pairs - same) / pairs if pairs else None


def find_known_answer(collection: Collection, answer: Answer) -> str | None:
    """Return the answer that is right by the gold answers of the study, or else by the labels of the images.

    For a pair it is the id of the image of the class that was asked for. The result is None if neither gold nor a label
    tells the answer, and also if the answer names no class or the label is none of the classes, since the study asked
    another question then.
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
"""For each order, the sort key and whether the largest value comes first. Rows without a value come last."""


def select_answers(rows: Sequence[Row], look: Look, comments: Mapping[int, Sequence[Comment]]) -> dict[str, Any]:
    """Return the answers that the owner asked for, in order, with the owner's comments on them.

    Args:
        rows: what `list_answers` returned.
        look: which rows are wanted.
        comments: the comments on each task, by its number.

    Returns:
        `answers`: at most `look.count` of the selected rows, from number `look.start` on; `total`: how many rows are
        selected; `values`: the different answers in all rows, sorted, at most `MOST`.
    """
    part, selected = look.image.casefold(), []
    by_task = {str(task): notes for task, notes in comments.items()}
    for row in rows:
        whose = look.annotator is None or row["annotator"] == look.annotator
        if whose and any(part in name.casefold() for name in (row["unit"], *row["images"])):
            full = add_comments(row, by_task[row["task"]]) if row["task"] in by_task else row
            if look.answer in ("", row["answer"]) and _SHOWN[look.show](full):
                selected.append(full)
    key, largest_first = _ORDERS[look.order]
    selected.sort(key=lambda row: (row["unit"], row["name"]))
    selected.sort(key=key, reverse=largest_first)
    values = sorted({row["answer"] for row in rows if row["answer"] is not None})
    return {"answers": selected[look.start : look.start + look.count], "total": len(selected), "values": values[:MOST]}


def add_comments(row: Row, comments: Sequence[Comment]) -> Row:
    """Add the owner's comments to a row, and whether the answer was sent back and has not been saved since."""
    last = max((comment.revision for comment in comments if comment.back), default=0)
    rows = [vars(comment) | {"created": iso_time(comment.created)} for comment in comments]
    return row | {"comments": rows, "returned": last == row["revision"]}
