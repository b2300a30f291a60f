"""The answers that count among everything that was saved: one for each annotator and unit, with its marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from salign.annotate.catalog import Unit
from salign.annotate.collection import Collection
from salign.annotate.drafts import Draft
from salign.annotate.records import Annotation, shapes_of
from salign.annotate.rows import Person, Revision, Snapshot, Task
from salign.annotations.annotated import Annotated
from salign.maps.shapes import Shape


@dataclass(frozen=True)
class Answer:
    """The answer of one annotator to one unit: the latest save that counts."""

    person: Person
    unit: Unit
    task: Task
    revision: Revision
    annotation: Annotation
    """The annotation without its shapes; `marks_of` reads them when they are needed."""
    painted: frozenset[int]
    """Indices of the images of the task on which something was drawn."""
    drafts: tuple[Draft, ...]
    """The drafts that were shown."""

    @property
    def skipped(self) -> bool:
        """Whether the annotator skipped the task and gave a reason instead of an answer."""
        return self.annotation.skipped is not None

    @property
    def value(self) -> str | None:
        """The answered class; for a pair, the id of the chosen image; for a review without a class, the verdict.

        None for a skip, and if nothing was answered.
        """
        annotation = self.annotation
        if self.skipped:
            return None
        if annotation.side is not None:
            return self.task.images[annotation.side]
        return annotation.answer if annotation.answer is not None else annotation.review

    @property
    def seconds(self) -> float:
        """Time from the appearance of the image to the save, in seconds."""
        return self.annotation.elapsed_ms / 1000

    @property
    def accepted(self) -> Draft | None:
        """The draft that was accepted unchanged, which counts as the annotator's map; None if there is none."""
        annotation = self.annotation
        if annotation.review != "accept" or annotation.draft is None or annotation.draft >= len(self.drafts):
            return None
        return self.drafts[annotation.draft]

    def marked(self, image: str) -> bool:
        """Return whether this answer has a map of the image: marks, or the statement that there is nothing to mark."""
        annotation = self.annotation
        if self.skipped or annotation.review == "reject":
            return False
        if (draft := self.accepted) is not None:
            return bool(draft.shapes) or draft.blank or draft.column is not None
        if annotation.blank:
            return annotation.side is None or self.task.images[annotation.side] == image
        return image in self.task.images and self.task.images.index(image) in self.painted

    def blank(self, image: str) -> bool:
        """Return whether this answer says that there is nothing to mark on the image."""
        return self.marked(image) and (self.annotation.blank or (self.accepted is not None and self.accepted.blank))


def tasks_with_answers(collection: Collection, snapshot: Snapshot) -> tuple[list[Task], int]:
    """Return the tasks that have a save, and the number of further ones whose units the study no longer has."""
    saved = [task for task in snapshot.tasks if task.id in snapshot.latest]
    known = [task for task in saved if task.unit in collection.units]
    return known, len(saved) - len(known)


def read_answer(
    collection: Collection, person: Person, task: Task, revision: Revision
) -> tuple[Answer, list[dict[str, Any]]]:
    """Parse a save into an answer, and return it with its shapes as they were sent."""
    body = revision.body
    shapes = body.pop("shapes")
    painted = frozenset(int(shape.get("image", 0)) for shape in shapes if not shape.get("erase"))
    annotation, drafts = Annotation.model_validate(body), tuple(collection.drafts_of(task))
    return Answer(person, collection.units[task.unit], task, revision, annotation, painted, drafts), shapes


def answers_of(collection: Collection, snapshot: Snapshot) -> tuple[list[Answer], int]:
    """Return all answers that count, and the number of further ones to units that the study no longer has."""
    people = {person.id: person for person in snapshot.people}
    tasks, strange = tasks_with_answers(collection, snapshot)
    read = (read_answer(collection, people[task.annotator], task, snapshot.latest[task.id]) for task in tasks)
    return [answer for answer, _ in read], strange


def judge_gold(collection: Collection, snapshot: Snapshot) -> dict[int, bool]:
    """Return, by task, whether each gold image was answered right. The first answer counts, before any feedback."""
    firsts = [(task, snapshot.first[task.id]) for task in snapshot.tasks if task.id in snapshot.first]
    verdicts = {task.id: collection.right(task, revision.body) for task, revision in firsts}
    return {task: right for task, right in verdicts.items() if right is not None}


def marks_of(
    collection: Collection, answer: Answer, image: str, pairs: Sequence[tuple[int, Shape]] | None = None
) -> Annotated:
    """Return the marks of an answer on an image; if it accepts a draft, these are the marks of the draft.

    Args:
        collection: the study.
        answer: an answer to a task with this image.
        image: id of the image.
        pairs: the shapes of the answer with the indices of their images, as `shapes_of` gives them; when None, they are
            read from the save.

    Returns:
        The marks, in pixels of the image as it was shown. `size` is None if that size is not known.
    """
    person, task = answer.person, answer.task
    if (draft := answer.accepted) is not None:
        return replace(collection.draft_marks(image, draft), annotator=person.name)
    if pairs is None:
        _, sent = read_answer(collection, person, task, answer.revision)
        pairs = shapes_of(sent, len(task.images))
    number_here = task.images.index(image)
    sizes = answer.annotation.sizes
    return Annotated(
        collection.catalog.pictures[image].path,
        None if sizes is None else (sizes[number_here][0], sizes[number_here][1]),
        shapes=tuple(shape for number, shape in pairs if number == number_here),
        annotator=person.name,
    )


def majority(values: Sequence[str]) -> str | None:
    """Return the value that occurs most often; None if there are no values or several are tied."""
    counts = {value: values.count(value) for value in set(values)}
    first = [value for value, count in counts.items() if count == max(counts.values())]
    return first[0] if len(first) == 1 else None


def answer_of(collection: Collection, image: str, answers: Iterable[Answer]) -> str | None:
    """Return the class that most annotators gave an image; None if nobody gave one or several classes are tied.

    If the study has two classes, an answer to a pair counts, too: it gives the chosen image the class that was asked
    for, and the other image the other class.

    Args:
        collection: the study.
        image: id of the image.
        answers: the answers to the units of the image.
    """
    valid = [answer for answer in answers if answer.value is not None]
    votes = [
        answer.annotation.answer
        for answer in valid
        if answer.annotation.side is None and answer.annotation.answer is not None
    ]
    target = collection.target()
    alternatives = [name for name in collection.classes if name != target]
    if target is not None and len(alternatives) == 1:
        paired = [answer for answer in valid if answer.annotation.side is not None]
        votes += [target if image == answer.value else alternatives[0] for answer in paired]
    return majority(votes)
