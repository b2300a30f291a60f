"""The reading side of an export: the answers image by image, and the files. Files that cannot be read are noted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from salign.annotate.answers import Answer, judge_gold, marks_of, read_answer, tasks_with_answers
from salign.annotate.broken import Unshown
from salign.annotate.catalog import Picture
from salign.annotate.collection import Collection
from salign.annotate.records import shapes_of
from salign.annotate.rows import Task
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.data.reading.image import image_size, shape_mismatch
from salign.maps.shapes import Shape

Made = TypeVar("Made")


class ImageAnswer(NamedTuple):
    """One answer, and what it marks on one image."""

    number: int
    """Number of the answer, counted annotator by annotator in the order in which they got the tasks."""
    answer: Answer
    marks: Annotated


class Reading:
    """The answers and files of a study at one moment. The saved text of each answer is parsed only once."""

    def __init__(self, collection: Collection) -> None:
        """Look up which answers count, without parsing any."""
        self._collection = collection
        self._snapshot = collection.store.snapshot()
        self.tasks, self.strange = tasks_with_answers(collection, self._snapshot)
        self._people = {person.id: person for person in self._snapshot.people}
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for number, task in enumerate(self.tasks):
            for image in collection.units[task.unit].images:
                self._numbers[image].append(number)
        self._half: dict[int, list[tuple[int, Shape]]] = {}
        """Shapes of the answers to pairs of which `answers_on` was called for one of the two images."""
        self.people = [self._people[key] for key in sorted({task.annotator for task in self.tasks})]
        """The annotators who answered, in the order in which they joined."""
        self._answers: dict[int, Answer] = {}
        self.comments = self._snapshot.comments
        """The owner's comments on answers, oldest first."""
        self.unreadable: dict[str, tuple[str, str]] = {}
        """For each file that cannot be used, by path, the id of the image and the reason."""

    @property
    def answers(self) -> list[Answer]:
        """The answers that were read so far: annotator by annotator, in the order in which they got the tasks."""
        return [answer for _, answer in sorted(self._answers.items())]

    @property
    def returned(self) -> list[Task]:
        """The tasks that were sent back and not saved since. The earlier save still counts."""
        return [task for task in self.tasks if task.state == "returned"]

    def judge_gold(self) -> dict[int, bool]:
        """Return, by task, whether the first answer to each gold image was right."""
        return judge_gold(self._collection, self._snapshot)

    def answers_on(self, image: str) -> list[ImageAnswer]:
        """Return the answers on an image in the order of `answers`. Call this only once for each image."""
        return [self._given(number, image) for number in self._numbers[image]]

    def _given(self, number: int, image: str) -> ImageAnswer:
        task, answer = self.tasks[number], self._answers.get(number)
        if answer is None:
            revision = self._snapshot.latest[task.id]
            answer, sent = read_answer(self._collection, self._people[task.annotator], task, revision)
            shapes = shapes_of(sent, len(task.images))
            self._answers[number] = answer
            if len(task.images) > 1:
                self._half[number] = shapes
        else:
            shapes = self._half.pop(number)
        return ImageAnswer(number, answer, marks_of(self._collection, answer, image, shapes))

    def size(self, picture: Picture) -> tuple[int, int] | None:
        """Return (H, W) of an image; None if it cannot be read, which is noted in `unreadable`."""
        return self._made(picture, lambda: self._shown(picture.path, image_size))

    def is_as_marked(self, picture: Picture, size: tuple[int, int], marks: list[Annotated]) -> bool:
        """Return whether an image has the shape that it had when it was marked; if not, note it in `unreadable`."""
        for mark in marks:
            if mark.size is not None and shape_mismatch(mark.size, size):
                height, width = mark.size
                why = f"marked at {width} x {height} pixels, and the image has {size[1]} x {size[0]} now"
                self.unreadable[picture.path] = picture.id, why
                return False
        return True

    def map(self, picture: Picture, marks: Annotated, size: tuple[int, int]) -> np.ndarray | None:
        """Draw the map of one annotator, `(H, W)` float32 in [0, 1]; None if it is a file that cannot be read."""
        return self._made(picture, lambda: draw_marks([marks], size))

    def cell(self, picture: Picture, column: str) -> str | None:
        """Return the path of a map in the study's manifest; None, noted in `unreadable`, if it cannot be read."""
        path = picture.cells[column]
        return None if self._made(picture, lambda: self._shown(path, image_size)) is None else path

    def _shown(self, path: str, make: Callable[[Path], Made]) -> Made:
        return self._collection.broken.show(path, make)

    def _made(self, picture: Picture, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except Unshown as error:
            self.unreadable[error.path] = picture.id, error.reason
            return None
