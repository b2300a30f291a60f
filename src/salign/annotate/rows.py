"""What the store keeps: annotators and invites, tasks, revisions and comments."""

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
    """As the owner or the annotator gave it first; unique."""
    shown: str
    """As the annotator wants to be called."""
    created: float
    """Seconds since 1970, as all times here."""
    consented: float | None
    invite: int | None = None
    """By which invite this annotator joined."""
    stopped: float | None = None
    """Since when the link works no more."""


@dataclass(frozen=True)
class Invite:
    """A link that several people join by."""

    id: int
    name: str
    """Says whom it is for; unique."""
    people: int | None
    """At most so many people join by it."""
    images: int | None
    """Each of them gets at most so many images."""
    until: float | None
    """After this time nobody joins, and those who joined get no new image."""
    created: float
    stopped: float | None
    """Since when nobody joins by it."""
    joined: int
    """Annotators who joined by it."""

    def closed(self, now: float) -> str | None:
        """Why nobody can join by it at this time; None while people can."""
        if self.stopped is not None:
            return "it was stopped"
        if self.until is not None and now >= self.until:
            return "its time is over"
        if self.people is not None and self.joined >= self.people:
            return f"{self.joined} people have joined, and it is for no more"
        return None


TAKEN = ("done", "returned")
"""States of a task that nobody else needs to do."""


@dataclass(frozen=True)
class Task:
    """One unit handed to one annotator; there is never a second one for the same two."""

    id: int
    unit: str
    annotator: int
    position: int
    """0, 1, ... in the order they were handed to the annotator."""
    images: tuple[str, ...]
    """Ids of the images, in the order shown."""
    arm: str | None
    gold: bool
    leased: float
    """Until when it is kept for the annotator."""
    state: str
    """`open`, `done`, `skipped`, or `returned`: the owner sent it back, and what was saved counts until it is saved
    again."""
    revision: int
    """Number of the revision that counts; 0 = nothing was saved."""

    @property
    def waits(self) -> bool:
        """Whether it waits for the annotator."""
        return self.state in ("open", "returned")


@dataclass(frozen=True)
class Plan:
    """A task to be made."""

    unit: str
    images: Sequence[str]
    arm: str | None
    gold: bool


@dataclass(frozen=True)
class Revision:
    """One save of one task; none is ever changed or deleted."""

    task: int
    number: int
    base: int
    """The revision that the annotator had before the eyes."""
    side: bool
    """It was based on an old revision: it is kept, and does not count."""
    text: str
    """The annotation as it was sent, JSON; parsed only where it is needed, since strokes are long."""
    created: float

    @property
    def body(self) -> dict[str, Any]:
        """The annotation."""
        return dict(json.loads(self.text))


@dataclass(frozen=True)
class Comment:
    """What the owner wrote beside an answer; none is ever changed or deleted."""

    task: int
    revision: int
    """The save that the owner had before the eyes."""
    text: str
    back: bool
    """The task was sent back with it."""
    created: float


@dataclass(frozen=True)
class Saved:
    """What became of a save."""

    number: int
    latest: int
    side: bool
    again: bool
    """The same save had come before; nothing was stored."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that counts at one moment."""

    people: list[Person]
    tasks: list[Task]
    latest: dict[int, Revision]
    """By task id; tasks without a save are absent."""
    first: dict[int, Revision]
    """The first answer to each gold image that is no skip, by task id."""
    comments: list[Comment]
    """Oldest first."""


def iso_time(seconds: float) -> str:
    """A time as all are here, seconds since 1970, in ISO 8601 and UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
