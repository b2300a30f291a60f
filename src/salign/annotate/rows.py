"""The records of the store: annotators and invites, tasks, revisions and comments. Times are seconds since 1970."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Person:
    """An annotator."""

    id: int
    name: str
    """The name that the owner or the annotator gave first; unique."""
    shown: str
    """The name by which the annotator wants to be called."""
    created: float
    """Seconds since 1970, as all times in this module."""
    consented: float | None
    invite: int | None = None
    """Number of the invite by which the annotator joined; None for a link of their own."""
    stopped: float | None = None
    """Time since which the annotator's link no longer works; None if it works."""


@dataclass(frozen=True)
class Invite:
    """A link by which several people can join."""

    id: int
    name: str
    """Name that says whom the invite is for; unique."""
    people: int | None
    """At most this many people can join by it; None = any number."""
    images: int | None
    """Each annotator who joined by it gets at most this many images; None = all."""
    until: float | None
    """After this time nobody can join by it, and annotators who joined by it get no new image; None = no end."""
    created: float
    stopped: float | None
    """Time since which nobody can join by it; None if it was not stopped."""
    joined: int
    """Number of annotators who joined by it."""

    def closed(self, now: float) -> str | None:
        """Say why nobody can join by it at the time `now`; None if people can."""
        if self.stopped is not None:
            return "it was stopped"
        if self.until is not None and now >= self.until:
            return "its time is over"
        if self.people is not None and self.joined >= self.people:
            return f"{self.joined} people have joined, and it is for no more"
        return None


TAKEN = ("done", "returned")
"""States of a task whose answer counts, so that nobody else needs to do it."""


@dataclass(frozen=True)
class Task:
    """One unit that was handed to one annotator. There is at most one task for each unit and annotator."""

    id: int
    unit: str
    annotator: int
    position: int
    """0, 1, ... in the order in which the annotator got the tasks."""
    images: tuple[str, ...]
    """Ids of the images, in the order in which they are shown."""
    arm: str | None
    gold: bool
    leased: float
    """Time until which the task is kept for the annotator."""
    state: str
    """`open`, `done`, `skipped` or `returned`. A `returned` task was sent back by the owner; its last save counts until
    the annotator saves again."""
    revision: int
    """Number of the revision that counts; 0 if nothing was saved."""

    @property
    def waits(self) -> bool:
        """Whether the task waits for the annotator."""
        return self.state in ("open", "returned")


@dataclass(frozen=True)
class Plan:
    """A task that the store is to make."""

    unit: str
    images: Sequence[str]
    arm: str | None
    gold: bool


@dataclass(frozen=True)
class Revision:
    """One save of one task. Revisions are never changed or deleted."""

    task: int
    number: int
    base: int
    """Number of the revision that the annotator saw and changed; 0 if there was none."""
    side: bool
    """Whether the revision was based on an old revision. It is kept then, but does not count."""
    text: str
    """The annotation as JSON text. It is parsed only when it is needed, since strokes are long."""
    created: float

    @property
    def body(self) -> dict[str, Any]:
        """The annotation, parsed anew at each access."""
        return dict(json.loads(self.text))


@dataclass(frozen=True)
class Comment:
    """A comment of the owner on an answer. Comments are never changed or deleted."""

    task: int
    revision: int
    """Number of the save that the owner saw."""
    text: str
    back: bool
    """Whether the task was sent back with this comment."""
    created: float


@dataclass(frozen=True)
class Saved:
    """The outcome of a save."""

    number: int
    """Number of the revision."""
    latest: int
    """Number of the revision that counts after the save."""
    side: bool
    """Whether the save was based on an old revision, so that it does not count."""
    again: bool
    """Whether the same save had come before, so that nothing was stored."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that counts at one moment."""

    people: list[Person]
    tasks: list[Task]
    latest: dict[int, Revision]
    """The revision of each task that counts, by task id; tasks without a save are missing."""
    first: dict[int, Revision]
    """The first answer to each gold task that is not a skip, by task id."""
    comments: list[Comment]
    """Oldest first."""


def iso_time(seconds: float) -> str:
    """Write a time, given in seconds since 1970, in ISO 8601 and UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
