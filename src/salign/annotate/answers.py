"""What counts of everything that was saved: one answer for each annotator and unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salign.annotate.catalog import Unit
from salign.annotate.collection import Collection
from salign.annotate.drafts import Draft
from salign.annotate.records import Annotation, shapes_of
from salign.annotate.rows import Person, Revision, Snapshot, Task
from salign.data.reading.image import read_saliency
from salign.maps.rasterize import rasterize
from salign.maps.shapes import Shape, scaled, shape_from_json


@dataclass(frozen=True)
class Answer:
    """The latest save of one annotator on one unit."""

    person: Person
    unit: Unit
    task: Task
    revision: Revision
    said: Annotation
    """Without its shapes; `shapes` reads them when they are needed."""
    painted: frozenset[int]
    """Which images of the task have marks."""
    drafts: tuple[Draft, ...]
    """Those that were shown."""

    @property
    def skipped(self) -> bool:
        """There is a reason instead of an answer."""
        return self.said.skipped is not None

    @property
    def value(self) -> str | None:
        """The class; of a pair the id of the image chosen; in a review the verdict, where no class was given."""
        said = self.said
        if self.skipped:
            return None
        if said.side is not None:
            return self.task.images[said.side]
        return said.answer if said.answer is not None else said.review

    @property
    def seconds(self) -> float:
        """Time to answer."""
        return self.said.elapsed_ms / 1000

    def shapes(self, image: str) -> list[Shape]:
        """Areas drawn on an image, in order; of an accepted draft its areas."""
        draft = self._accepted()
        if draft is not None:
            return [shape_from_json(shape) for shape in draft.shapes]
        if image not in self.task.images:
            return []
        place = self.task.images.index(image)
        return [shape for number, shape in self._drawn() if number == place]

    def size(self, image: str) -> tuple[int, int] | None:
        """(H, W) of an image when it was marked, in whose pixels `shapes` are; None where that is not known."""
        if self.said.sizes is None or image not in self.task.images or self._accepted() is not None:
            return None
        height, width = self.said.sizes[self.task.images.index(image)]
        return height, width

    def marked(self, image: str) -> bool:
        """Whether this answer says where on the image: marks, or that there is nothing to mark."""
        said = self.said
        if self.skipped or said.review == "reject":
            return False
        if (draft := self._accepted()) is not None:
            return bool(draft.shapes) or draft.column is not None
        if said.blank:
            return said.side is None or self.task.images[said.side] == image
        return image in self.task.images and self.task.images.index(image) in self.painted

    def map_column(self) -> str | None:
        """The manifest column with the map of an accepted draft that has no shapes."""
        draft = self._accepted()
        return draft.column if draft is not None and not draft.shapes else None

    def _drawn(self) -> list[tuple[int, Shape]]:
        return shapes_of(Annotation.model_validate(self.revision.body), len(self.task.images))

    def _accepted(self) -> Draft | None:
        said = self.said
        if said.review != "accept" or said.draft is None or said.draft >= len(self.drafts):
            return None
        return self.drafts[said.draft]


def answers_of(collection: Collection, snapshot: Snapshot) -> tuple[list[Answer], int]:
    """All answers that count, and how many are of units that the study no longer has."""
    people = {person.id: person for person in snapshot.people}
    found, strange = [], 0
    for task in snapshot.tasks:
        revision = snapshot.latest.get(task.id)
        if revision is None:
            continue
        unit = collection.units.get(task.unit)
        if unit is None:
            strange += 1
            continue
        body = revision.body
        painted = frozenset(int(shape.get("image", 0)) for shape in body.pop("shapes") if not shape.get("erase"))
        said, drafts = Annotation.model_validate(body), tuple(collection.drafts_of(task))
        found.append(Answer(people[task.annotator], unit, task, revision, said, painted, drafts))
    return found, strange


def map_of(
    answer: Answer, image: str, size: tuple[int, int], longest: int | None = None, file: Path | None = None
) -> np.ndarray:
    """The map of an answer on an image.

    Args:
        answer: one for which `marked(image)`.
        image: id.
        size: (H, W) of the image.
        longest: side of the map to be made, in pixels; None = the image's own size.
        file: the map of the accepted draft, where the answer has a `map_column`.

    Returns:
        `(h, w)` bool, or float32 in [0, 1] for an accepted draft that is a picture.
    """
    factor = 1.0 if longest is None else min(1.0, longest / max(size))
    small = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    if file is not None:
        return fitted(read_saliency(file).numpy(), small)
    return rasterize(shapes_at(answer, image, small, size), small)


def shapes_at(answer: Answer, image: str, size: tuple[int, int], now: tuple[int, int]) -> list[Shape]:
    """Areas drawn on an image, in pixels of the (H, W) `size`; `now` is the image's own."""
    height, width = answer.size(image) or now
    shapes = answer.shapes(image)
    if (height, width) == size:
        return shapes
    return [scaled(shape, size[1] / width, size[0] / height) for shape in shapes]


def fitted(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`(h, w)` float in [0, 1] at another size: areas averaged on the way down, bilinear on the way up."""
    import torch

    from salign.maps import resize

    return np.clip(resize(torch.from_numpy(values), size).numpy(), 0, 1)


def majority(values: Sequence[str]) -> str | None:
    """The value that occurs most often; None without any and where several are first."""
    counts = {value: values.count(value) for value in set(values)}
    first = [value for value, count in counts.items() if count == max(counts.values())]
    return first[0] if len(first) == 1 else None


def answered(collection: Collection, answers: Sequence[Answer]) -> dict[str, str | None]:
    """What most annotators answered of each image; None where nobody did or they are tied."""
    said: dict[str, list[str]] = {name: [] for name in collection.catalog.pictures}
    target = collection.target()
    others = [name for name in collection.classes if name != target]
    for answer in answers:
        if answer.value is None:
            continue
        if answer.said.side is None:
            if answer.said.answer is not None:
                said[answer.unit.images[0]].append(answer.said.answer)
        elif target is not None and len(others) == 1:
            for image in answer.unit.images:
                said[image].append(target if image == answer.value else others[0])
    return {name: majority(values) for name, values in said.items()}
