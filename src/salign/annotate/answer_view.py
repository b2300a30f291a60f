"""One answer as the owner of a study opens it: everybody's marks on its image, earlier versions, and comments."""

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
    """What the owner writes beside an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    revision: Annotated[int, Field(ge=1, lt=2**31)]
    """The save that was looked at."""
    text: str
    back: bool = False
    """The annotator gets the task again."""


def view_unit(collection: Collection, number: int) -> dict[str, Any]:
    """Everybody's answers to the unit of a task, each with all its versions.

    Raises:
        Unknown: there is no such task, or nothing was saved of it.
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
    """A task of anybody, of which something was saved.

    Raises:
        Unknown: there is none of that number.
    """
    task = collection.store.any_task(number)
    if task is None or task.unit not in collection.units or not task.revision:
        raise Unknown("there is no such answer")
    return task


def add_remark(collection: Collection, number: int, remark: Remark) -> None:
    """Keep a comment of the owner, and send the task back if that is asked for.

    Raises:
        Unknown: there is no such answer.
        Changed: it was saved again meanwhile.
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
    """An image with what one save marks on it, drawn as the maps of the export are.

    Args:
        collection: the study.
        number: number of the task.
        revision: number of the save.
        index: number of the image in the task, from 0.
        width: pixels that are needed.
        marked: with the marks; the image alone if False.

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
    tag = hashlib.blake2b(content.getvalue(), digest_size=16).hexdigest()  # of what was drawn: drafts change, too
    return Encoded(content.getvalue(), "image/jpeg", tag)


def _answer(collection: Collection, task: Task, revision: Revision) -> Answer:
    person = collection.store.person(task.annotator)
    if person is None:
        raise Unknown("there is no such answer")
    return read_answer(collection, person, task, revision)[0]


def _version(collection: Collection, task: Task, revision: Revision) -> dict[str, Any]:
    """One save: its answer, and whether it was based on an older one and so does not count."""
    answer = _answer(collection, task, revision)
    return {
        "revision": revision.number,
        "answer": answer.value,
        "skipped": answer.annotation.skipped,
        "blank": answer.annotation.blank,
        "side": revision.side,
        "saved": iso_time(revision.created),
    }
