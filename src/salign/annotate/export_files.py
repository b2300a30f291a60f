"""The tables of an export: one row for each answer, and every shape as it was drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from salign import __version__
from salign.annotate.answers import Answer
from salign.annotate.collection import Collection
from salign.files import replacing
from salign.maps.shapes import shape_to_json


def answer_rows(collection: Collection, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """One row for each answer and skip, in the order they were handed out; what was not asked is empty."""
    return [
        {
            "unit": answer.unit.id,
            "images": " ".join(answer.task.images),
            "annotator": answer.person.name,
            "answer": answer.value,
            "confidence": answer.said.confidence,
            "seconds": round(answer.seconds, 3),
            "marks": len(answer.painted),
            "blank": answer.said.blank,
            "skipped": answer.said.skipped,
            "review": answer.said.review,
            "draft": _draft_name(answer),
            "arm": answer.task.arm,
            "gold": answer.unit.gold,
            "right": collection.right(answer.task, answer.revision.body),
            "position": answer.task.position,
            "revision": answer.revision.number,
            "started": answer.said.started,
            "saved": _iso(answer.revision.created),
            "page": answer.said.version,
        }
        for answer in answers
    ]


def shape_entries(collection: Collection, answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    """What each annotator did on each image; of a pair, an entry for each of the two."""
    for answer in answers:
        for image in answer.task.images:
            picture = collection.catalog.pictures[image]
            height, width = answer.size(image) or collection.size(image) or (None, None)
            yield {
                "image": image,
                "path": picture.path,
                "width": width,
                "height": height,
                "annotator": answer.person.name,
                "unit": answer.unit.id,
                "answer": answer.said.answer,
                "chosen": answer.value == image if answer.said.side is not None else None,
                "shapes": [shape_to_json(shape) for shape in answer.shapes(image)],
                "blank": answer.marked(image) and answer.said.blank,
                "skipped": answer.said.skipped,
                "review": answer.said.review,
                "confidence": answer.said.confidence,
                "elapsed_ms": answer.said.elapsed_ms,
                "arm": answer.task.arm,
                "revision": answer.revision.number,
                "started": answer.said.started,
                "saved": _iso(answer.revision.created),
                "page": answer.said.version,
            }


def write_shapes(path: Path, collection: Collection, entries: Iterator[dict[str, Any]]) -> None:
    """Write `{"salign", "study", "annotations"}`, an entry a line, without holding all of them at once."""
    about = collection.study.model_dump(mode="json", include={"title", "question", "mode", "classes", "seed"})
    about["question"] = collection.study.asked
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(f'{{"salign": {json.dumps(__version__)}, "study": {json.dumps(about)}, "annotations": [')
        for number, entry in enumerate(entries):
            file.write((",\n" if number else "\n") + json.dumps(entry))
        file.write("\n]}\n")


def _draft_name(answer: Answer) -> str | None:
    number = answer.said.draft
    return answer.drafts[number].source if number is not None and number < len(answer.drafts) else None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
