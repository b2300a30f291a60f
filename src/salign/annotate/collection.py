"""A running study: its images, its database, its secret, and what it tells the page."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from salign.annotate import access
from salign.annotate.broken import Broken, FileState, Unshown
from salign.annotate.catalog import Catalog, target_of
from salign.annotate.drafts import Draft, find_drafts
from salign.annotate.handout import HandOut
from salign.annotate.pictures import PictureCache, default_window
from salign.annotate.records import Annotation, Mistaken, check_annotation
from salign.annotate.rows import Person, Plan, Saved, Task
from salign.annotate.store import Comments, Links, Store
from salign.annotate.store_file import database_in
from salign.annotate.study import Study
from salign.annotations.annotated import Annotated, Stored
from salign.annotations.draw import scaled_to
from salign.data.reading.image import image_size, read_saliency
from salign.errors import SalignError
from salign.maps.outline import outlines
from salign.maps.shapes import scaled, shape_to_json

AHEAD = 2
"""Number of tasks that the page gets beyond those it has, so that the next image is loaded before it is needed."""
MOST_OPEN = 4
"""Largest number of tasks that an annotator holds at once."""
TOOLS = ("brush", "eraser", "polygon", "box", "ellipse", "region", "wand", "select")
"""Names, as the page knows them, of the tools to mark with. The first is selected at the start."""
SPECK = 5e-4
"""A region that a machine marked gets an outline to edit only if it covers at least this share of the image."""


class Unknown(Mistaken):
    """The requested thing does not exist, or it belongs to somebody else."""


class NoConsent(Mistaken):
    """The study asks for consent, and the annotator has not given it."""


def whole_number(text: str) -> int:
    """Read the number by which the page names a thing, such as a task.

    Raises:
        Unknown: the text is not a number of at most 15 digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Unknown("there is nothing of that number")
    return int(text)


def _counted(mine: Sequence[Task], broken: Set[str]) -> int:
    """Count the tasks that an annotator has had, without those that could not be shown and were never saved."""
    return sum(task.revision > 0 or task.unit not in broken for task in mine)


class Collection:
    """A study with all that the server does for the page, but without HTTP."""

    def __init__(self, study: Study, catalog: Catalog, folder: Path, url: str | None = None) -> None:
        """Open a study.

        Args:
            study: the settings.
            catalog: the images.
            folder: folder of the secret, the cache and, without `url`, the SQLite database; it is made if missing.
            url: address of the database; None means a SQLite file in `folder`.

        Raises:
            SalignError: the study does not fit the images, the secret or the database cannot be used, or the database
                holds annotations of another mode.
        """
        self.study, self.catalog, self.folder = study, catalog, folder
        self.classes = tuple(study.classes or catalog.labels)
        self.units = {unit.id: unit for unit in catalog.units(study)}
        self.drafts = find_drafts(study, catalog)
        if study.mode == "review":
            self.units = {name: unit for name, unit in self.units.items() if self.drafts.get(name)}
        if not self.units:
            raise SalignError(f"{catalog.source}: nothing to hand out in mode {study.mode}")
        self._handout = HandOut(study, catalog, self.units.values())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.secret = access.read_secret(folder / "secret")
        self.cache = PictureCache(folder / ".cache")
        self.store = Store(url or database_in(folder))
        self.links, self.comments = Links(self.store), Comments(self.store)
        mode = self.store.remember("mode", study.mode)
        if mode != study.mode:
            raise SalignError(
                f"{self.store.shown_url}: holds annotations of mode {mode}, not {study.mode}; give another --out"
            )
        self.broken = Broken(catalog, self.units.values(), self.drafts)
        self._shown = {self._hidden(name): name for name in catalog.pictures}
        self._maps = {
            self._map_reference(name, draft.column): (name, draft.column)
            for name, drafts in self.drafts.items()
            for draft in drafts
            if draft.column is not None
        }
        self._window = lru_cache(maxsize=4096)(lambda path, _state: default_window(path))
        self._outlines = lru_cache(maxsize=64)(self._drawn_outlines)

    def about(self, person: Person) -> dict[str, Any]:
        """Return what the page must know before the first image."""
        from salign import __version__

        study = self.study
        return {
            "study": self.store.study,
            "title": study.title,
            "question": study.shown_question,
            "instructions": study.instructions,
            "consent": study.consent,
            "consented": person.consented is not None,
            "mode": study.mode,
            "classes": list(self.classes),
            "tools": ("reveal",) if study.mode == "reveal" else TOOLS,
            "reveal": study.reveal.model_dump() if study.mode == "reveal" else None,
            "confidence": study.confidence,
            "require_map": study.require_map,
            "skip_reasons": study.skip_reasons,
            "window_level": study.window_level,
            "annotator": {"id": person.id, "name": person.shown},
            "version": __version__,
        }

    def next_tasks(self, person: Person, have: Sequence[str]) -> dict[str, Any]:
        """Hand out the next tasks, renew the leases of open ones, and say how far the annotator is.

        Images that cannot be shown are passed over.

        Args:
            person: the annotator.
            have: ids of the tasks that the page has already.

        Raises:
            NoConsent: the study asks for consent, and the annotator has not given it.
        """
        if self.study.consent and person.consented is None:
            raise NoConsent("agree to take part first: open this page again")
        while (reply := self._hand_out(person, have)) is None:
            pass  # each round has found one more file that cannot be shown, so the loop ends
        return reply

    def _hand_out(self, person: Person, have: Sequence[str]) -> dict[str, Any] | None:
        """Do what `next_tasks` does; return None if a task cannot be shown, which is noted in `broken`."""
        offered: list[str] = []
        left = 0
        broken, most = self.broken.units(), self.most_images(person)

        def plan(mine: list[Task], people: dict[str, int]) -> list[Plan]:
            nonlocal left
            offered[:] = [
                task.unit for task in mine if self._handout.still_wanted(task, people) and task.unit not in broken
            ]
            holding = {str(task.id) for task in mine if task.waits} & set(have)
            room = most - _counted(mine, broken)
            count = min(min(AHEAD + len(holding), MOST_OPEN) - len(offered), room)
            plans = self._handout.plans(person.id, mine, people, broken, max(0, count))
            offered.extend(new.unit for new in plans)
            seen = {task.unit for task in mine} | {new.unit for new in plans} | broken
            left = max(0, min(self._handout.left(seen, people), room - len(plans)))
            return plans

        tasks = self.store.hand_out(person.id, self.study.lease_minutes * 60, plan)
        known = [task for task in tasks if task.unit in self.units]
        done = sum(not task.waits for task in known)
        news = [task for task in known if task.waits and task.unit in offered and str(task.id) not in have]
        try:
            views = [self.task_view(task) for task in news[:AHEAD]]
        except Unshown:
            return None
        return {
            "tasks": views,
            "progress": {"done": done, "total": done + len(offered) + left},
            "finished": not offered,
        }

    def task_view(self, task: Task) -> dict[str, Any]:
        """Describe a task for the page.

        Raises:
            Unshown: one of its files cannot be read, which is noted in `broken`.
        """
        drafts = self.drafts_of(task)
        latest = self.store.latest(task.annotator, task.id).get(task.id) if task.revision else None
        return {
            "id": str(task.id),
            "images": [self._image_view(name) for name in task.images],
            "drafts": [self._draft_view(task.images[0], draft) for draft in drafts],
            "arm": task.arm,
            "decision": drafts[0].answer if task.arm is not None and drafts else None,
            "saved": None if latest is None else latest.body,
            "revision": task.revision,
            "comment": self.comments.why_back(task.id) if task.state == "returned" else None,
        }

    def finished(self, person: Person) -> list[dict[str, Any]]:
        """Describe the tasks that an annotator has answered or skipped, in the order in which they were handed out."""
        tasks = [task for task in self.store.tasks(person.id) if not task.waits and task.unit in self.units]
        bodies = {task: revision.body for task, revision in self.store.latest(person.id).items()}
        return [
            {
                "id": str(task.id),
                "images": [self._hidden(name) for name in task.images],
                "revision": task.revision,
                **{key: bodies[task.id].get(key) for key in ("answer", "side", "review", "skipped")},
            }
            for task in tasks
        ]

    def task(self, person: Person, number: str) -> Task:
        """Return the annotator's task of that number.

        Raises:
            Unknown: the annotator has no such task, or the study no longer has its images.
        """
        task = self.store.task(whole_number(number), person.id)
        if task is None or task.unit not in self.units:
            raise Unknown("there is no such task of yours")
        return task

    def save(self, person: Person, key: str, annotation: Annotation) -> tuple[Saved, dict[str, Any] | None]:
        """Check and store an annotation.

        Args:
            person: the annotator.
            key: key of the save; the same save with the same key is stored only once.
            annotation: the annotation.

        Returns:
            What became of the save, and the feedback on a gold image; None for other images and without feedback.

        Raises:
            Unknown: the task is not one of this annotator.
            KeyReused: the key was used for another save; nothing is stored.
            Mistaken: the annotation does not fit the study or the task; nothing is stored.
        """
        task = self.task(person, annotation.task)
        drafts = self.drafts_of(task)
        check_annotation(annotation, self.study, self.classes, len(task.images), len(drafts))
        unsaid = {"sizes"} if annotation.sizes is None else None  # as before, so that a repeated save stays equal
        saved = self.store.save(key, task, annotation.base, annotation.model_dump(exclude=unsaid))
        return saved, self._feedback(task, annotation)

    def right(self, task: Task, body: dict[str, Any]) -> bool | None:
        """Return whether an answer to a gold image is right; None for other images and if nothing was answered."""
        unit = self.units.get(task.unit)
        if unit is None or unit.gold is None or body.get("skipped") is not None:
            return None
        if self.study.mode == "pair":
            return body["side"] is not None and task.images[body["side"]] == unit.gold
        return None if body["answer"] is None else bool(body["answer"] == unit.gold)

    def drafts_of(self, task: Task) -> list[Draft]:
        """Return what is shown with a task: the drafts of its image, in mode `assisted` reduced to the task's arm."""
        drafts = self.drafts.get(task.images[0], [])
        if self.study.mode != "assisted":
            return drafts
        decision, column = task.arm in ("decision", "both"), task.arm in ("map", "both")
        return [
            replace(draft, answer=draft.answer if decision else None, column=draft.column if column else None)
            for draft in drafts
            if decision or column
        ]

    def draft_marks(self, image: str, draft: Draft) -> Annotated:
        """Return the marks of a draft on an image.

        The file of a draft that is a picture is read only when the marks are drawn, which raises `Unshown` if the file
        cannot be read.
        """
        picture, column = self.catalog.pictures[image], draft.column
        if column is None:
            return Annotated(picture.path, draft.size, shapes=draft.shapes)
        stored = Stored(lambda: self.broken.show(picture.cells[column], read_saliency).numpy())
        return Annotated(picture.path, mask=stored)

    def picture(self, reference: str) -> str:
        """Return the path of an image from the name by which the page knows it.

        Raises:
            Unknown: no image has that name.
        """
        if reference not in self._shown:
            raise Unknown("there is no such image")
        return self.catalog.pictures[self._shown[reference]].path

    def heat_map(self, reference: str) -> str:
        """Return the path of a map from the reference by which the page knows it.

        Raises:
            Unknown: no map has that reference.
        """
        if reference not in self._maps:
            raise Unknown("there is no such map")
        name, column = self._maps[reference]
        return self.catalog.pictures[name].cells[column]

    def size(self, image: str) -> tuple[int, int] | None:
        """Return (H, W) of an image, by its id; None if it cannot be read now."""
        with suppress(Unshown):
            return self.broken.show(self.catalog.pictures[image].path, image_size)
        return None

    def window(self, image: str) -> tuple[float, float] | None:
        """Return the grey values that are black and white when an image is first shown, in 0..1 of the full range.

        The result is None, which means the full range, if the study does not offer window and level or the image has 8
        bits.

        Raises:
            Unshown: the image cannot be read.
        """
        if not self.study.window_level:
            return None
        path = self.catalog.pictures[image].path
        state = self.broken.state(path)
        return self.broken.show(path, lambda file: self._window(file, state))

    def most_images(self, person: Person) -> int:
        """Return how many images an annotator may get in all, by the limits of the invite by which they joined."""
        invite = None if person.invite is None else self.links.invite(person.invite)
        if invite is None:
            return sys.maxsize
        over = invite.until is not None and time.time() >= invite.until
        return 0 if over else sys.maxsize if invite.images is None else invite.images

    def images_left(self, person: Person, mine: Sequence[Task], seats: Mapping[str, int]) -> int:
        """Return how many images an annotator may still get.

        Args:
            person: the annotator.
            mine: all tasks of the annotator.
            seats: for each unit, how many annotators have answered or hold it.
        """
        broken = self.broken.units()
        seen = {task.unit for task in mine} | broken
        return max(0, min(self._handout.left(seen, seats), self.most_images(person) - _counted(mine, broken)))

    def target(self) -> str | None:
        """Return the class that pair mode asks for; None without classes."""
        return target_of(self.study, self.catalog)

    def _image_view(self, name: str) -> dict[str, Any]:
        path = self.catalog.pictures[name].path
        height, width = self.broken.show(path, image_size)
        return {"id": self._hidden(name), "width": width, "height": height, "window": self.window(name)}

    def _draft_view(self, image: str, draft: Draft) -> dict[str, Any]:
        reference = None
        if draft.column is None:
            size = draft.size and self.broken.show(self.catalog.pictures[image].path, image_size)
            marks = self.draft_marks(image, draft)
            shapes = [shape_to_json(shape) for shape in (scaled_to(marks, size) if size else marks).shapes]
        else:
            reference = f"/api/map/{self._map_reference(image, draft.column)}"
            shapes = self._outlines_now(image, draft.column) if self.study.mode == "review" else []  # for editing
        return {"from": draft.source, "answer": draft.answer, "shapes": shapes, "map": reference}

    def _outlines_now(self, image: str, column: str) -> list[dict[str, Any]]:
        """Return polygons around what a map marks, in pixels of the image, from the files as they are now."""
        picture = self.catalog.pictures[image]
        return self._outlines(image, column, self.broken.state(picture.cells[column]), self.broken.state(picture.path))

    def _drawn_outlines(self, image: str, column: str, *_states: FileState) -> list[dict[str, Any]]:
        picture = self.catalog.pictures[image]
        values = self.broken.show(picture.cells[column], read_saliency).numpy()
        height, width = self.broken.show(picture.path, image_size)
        across, down = width / values.shape[1], height / values.shape[0]
        return [shape_to_json(scaled(shape, across, down)) for shape in outlines(values, smallest=SPECK)]

    def _map_reference(self, image: str, column: str | None) -> str:
        return self._hidden(f"map\0{column}\0{image}")

    def _hidden(self, name: str) -> str:
        """Return the name by which the page knows a file.

        It depends on the identity of the study, so that two studies name their files differently even if the secret was
        copied from one to the other.
        """
        return access.hidden(self.secret, f"{self.store.study}\0{name}")

    def _feedback(self, task: Task, annotation: Annotation) -> dict[str, Any] | None:
        correct = self.right(task, annotation.model_dump())
        if correct is None or not task.gold or not self.study.gold_feedback:
            return None
        gold = self.units[task.unit].gold or ""
        answer = gold if self.study.mode != "pair" else ("left" if task.images[0] == gold else "right")
        text = f"Right: it is {answer}." if correct else f"Not quite: it is {answer}."
        return {"correct": correct, "answer": answer, "text": text}
