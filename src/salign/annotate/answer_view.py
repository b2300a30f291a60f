"""The owner's view of one answer: all annotators' answers to its unit, with earlier versions, comments and marks."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from salign.annotate.answers import Answer, marks_of, read_answer
from salign.annotate.collection import Collection, Unknown
from salign.annotate.gallery import add_comments, describe_answer
from salign.annotate.pictures import Encoded
from salign.annotate.records import Mistaken, refuse_control
from salign.annotate.rows import Revision, Task, iso_time
from salign.annotations.draw import draw_marks
from salign.maps.render import overlay


class Remark(BaseModel):
    """A comment of the owner on an answer, as the page sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    revision: Annotated[int, Field(ge=1, lt=2**31)]
    """Number of the save that the owner saw."""
    text: str
    back: bool = False
    """Whether the task is sent back to the annotator."""


def view_unit(collection: Collection, number: int) -> dict[str, Any]:
    """Describe all annotators' answers to the unit of a task, each with all its versions.

    Raises:
        Unknown: there is no such task, or nothing was saved for it.
    """
    unit, comments, rows = find_task(collection, number).unit, collection.comments.by_task(), []
    for task in collection.store.tasks_of(unit):
        revisions = collection.store.revisions(task.id)
        latest = next((revision for revision in revisions if revision.number == task.revision), None)
        if latest is not None:
            row = add_comments(
                describe_answer(collection, _answer(collection, task, latest)), comments.get(task.id, ())
            )
            rows.append(row | {"versions": [_version(collection, task, revision) for revision in revisions]})
    return {"unit": unit, "answers": rows}


def find_task(collection: Collection, number: int) -> Task:
    """Return the task of that number, of any annotator, if something was saved for it.

    Raises:
        Unknown: there is no such task, or nothing was saved for it.
    """
    task = collection.store.any_task(number)
    if task is None or task.unit not in collection.units or not task.revision:
        raise Unknown("there is no such answer")
    return task


def add_remark(collection: Collection, number: int, remark: Remark) -> None:
    """Store a comment of the owner, and send the task back if the comment says so.

    Raises:
        Unknown: there is no such answer.
        Changed: the answer was saved again meanwhile; nothing is stored.
        Mistaken: the text is empty, longer than the study allows, or has control characters.
    """
    text, limit = remark.text.strip(), collection.study.limits.text
    if not 1 <= len(text) <= limit:
        raise Mistaken(f"text: write what the annotator should know, in at most {limit} characters")
    refuse_control("text", text)
    collection.comments.add(find_task(collection, number).id, remark.revision, text, remark.back)


def draw_answer(
    collection: Collection, number: int, revision: int, index: int, width: int, marked: bool = True
) -> Encoded:
    """Draw an image with the marks of one save, in the same way as the maps of the export are drawn.

    Args:
        collection: the study.
        number: number of the task.
        revision: number of the save.
        index: index of the image in the task, from 0.
        width: width that is needed, in pixels.
        marked: whether to draw the marks; False gives the image alone.

    Raises:
        Unknown: there is no such save, or no such image of it.
        Unshown: the image, or the map of an accepted draft, cannot be read.
    """
    task = find_task(collection, number)
    saves = {save.number: save for save in collection.store.revisions(task.id)}
    if revision not in saves or not 0 <= index < len(task.images):
        raise Unknown("there is no such answer")
    answer, name = _answer(collection, task, saves[revision]), task.images[index]
    window = collection.window(name)
    path = collection.catalog.pictures[name].path
    plain = collection.broken.show(path, lambda file: collection.cache.image(file, width, window))
    if not marked or not answer.marked(name):
        return plain
    with Image.open(io.BytesIO(plain.content)) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    marks = marks_of(collection, answer, name)
    values = draw_marks([replace(marks, size=marks.size or collection.size(name))], (pixels.shape[1], pixels.shape[2]))
    content = io.BytesIO()
    overlay(pixels, torch.from_numpy(values).float()).save(content, "JPEG", quality=90, subsampling=0)
    tag = hashlib.blake2b(content.getvalue(), digest_size=16).hexdigest()  # of the content, since drafts can change
    return Encoded(content.getvalue(), "image/jpeg", tag)


def _answer(collection: Collection, task: Task, revision: Revision) -> Answer:
    person = collection.store.person(task.annotator)
    if person is None:
        raise Unknown("there is no such answer")
    return read_answer(collection, person, task, revision)[0]


def _version(collection: Collection, task: Task, revision: Revision) -> dict[str, Any]:
    """Describe one save: its answer, and whether it was based on an old revision and so does not count (`side`)."""
    answer = _answer(collection, task, revision)
    return {
        "revision": revision.number,
        "answer": answer.value,
        "skipped": answer.annotation.skipped,
        "blank": answer.annotation.blank,
        "side": revision.side,
        "saved": iso_time(revision.created),
    }
