"""The contents of an export's tables: rows of answers and comments, entries of `shapes.json`, and the summary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from salign.annotate.answers import Answer
from salign.annotate.collection import Collection
from salign.annotate.export_reading import ImageAnswer, Reading
from salign.annotate.label_cost import describe_label_cost, times_of
from salign.annotate.quality import sample_maps
from salign.annotate.rows import iso_time
from salign.annotate.split_half import split_half
from salign.annotations.shape_files import entry_line


def answer_rows(collection: Collection, reading: Reading) -> list[dict[str, Any]]:
    """Return one row for each answer and skip, in the order of `Reading.answers`. Cells that do not apply are empty.

    The column `marks` is the number of images of the answer on which something was drawn: of a pair, 0 to 2. The column
    `right` of a gold image is about the first answer, as on the owner's page, since feedback may have told
    the annotator the right answer before the answer in the row was saved.
    """
    verdicts = reading.judge_gold()
    return [
        {
            "unit": answer.unit.id,
            "images": " ".join(answer.task.images),
            "annotator": answer.person.name,
            "answer": answer.value,
            "confidence": answer.annotation.confidence,
            "seconds": round(answer.seconds, 3),
            "marks": len(answer.painted),
            "blank": answer.annotation.blank,
            "skipped": answer.annotation.skipped,
            "review": answer.annotation.review,
            "draft": _draft_name(answer),
            "arm": answer.task.arm,
            "gold": answer.unit.gold,
            "right": verdicts.get(answer.task.id)
            if answer.task.gold
            else collection.right(answer.task, answer.annotation.model_dump()),
            "position": answer.task.position,
            "revision": answer.revision.number,
            "started": answer.annotation.started,
            "saved": iso_time(answer.revision.created),
            "page": answer.annotation.version,
        }
        for answer in reading.answers
    ]


def shapes_line(entry: ImageAnswer, image: str, now: tuple[int, int] | None) -> str:
    """Return the entry of an answer on an image in `shapes.json`.

    Args:
        entry: the answer and its marks.
        image: id of the image.
        now: the image's present (H, W), which is used if the size at the time of marking is not known; None if the
            image cannot be read.
    """
    answer, marks = entry.answer, entry.marks
    return entry_line(
        image,
        replace(marks, size=marks.size or now),
        unit=answer.unit.id,
        answer=answer.annotation.answer,
        chosen=answer.value == image if answer.annotation.side is not None else None,
        blank=answer.blank(image),
        skipped=answer.annotation.skipped,
        review=answer.annotation.review,
        confidence=answer.annotation.confidence,
        elapsed_ms=answer.annotation.elapsed_ms,
        arm=answer.task.arm,
        revision=answer.revision.number,
        started=answer.annotation.started,
        saved=iso_time(answer.revision.created),
        page=answer.annotation.version,
    )


def about_study(collection: Collection) -> dict[str, Any]:
    """Return the facts about the study that `shapes.json` states."""
    about = collection.study.model_dump(mode="json", include={"title", "question", "mode", "classes", "seed"})
    return about | {"question": collection.study.shown_question}


def _draft_name(answer: Answer) -> str | None:
    number = answer.annotation.draft
    return answer.drafts[number].source if number is not None and number < len(answer.drafts) else None


def comment_rows(reading: Reading) -> list[dict[str, Any]]:
    """Return one row for each comment of the owner on an answer that counts, oldest first."""
    answers = {answer.task.id: answer for answer in reading.answers}
    return [
        {
            "unit": answers[comment.task].unit.id,
            "annotator": answers[comment.task].person.name,
            "revision": comment.revision,
            "text": comment.text,
            "sent_back": comment.back,
            "written": iso_time(comment.created),
        }
        for comment in reading.comments
        if comment.task in answers
    ]


def summary_sentences(collection: Collection, reading: Reading) -> list[str]:
    """Say how many answers are sent back, whether more annotators are needed, and what the maps cost in labels."""
    sentences = []
    if reading.returned:
        sentences.append(
            f"sent back and not done again: {len(reading.returned)} answers; the versions that were sent back are "
            "exported"
        )
    valid = [answer for answer in reading.answers if not answer.skipped]
    agreement = split_half(sample_maps(collection, valid).values(), collection.study.seed)
    if agreement.points:
        sentences.append("do we need another annotator? " + "; ".join(agreement.sentences()))
    if cost := describe_label_cost(*times_of(valid)):
        sentences.append(cost)
    return sentences
