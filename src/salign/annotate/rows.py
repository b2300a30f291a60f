"""What the store keeps: annotators, tasks and revisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
    """`open`, `done` or `skipped`."""
    revision: int
    """Number of the revision that counts; 0 = nothing was saved."""


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
