"""Progress of long work: in a terminal a bar with the time left, elsewhere a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_LINES = "▁▂▃▄▅▆▇█"
_WIDTH = 20
_SECONDS = 10.0
"""Outside of a terminal, at least this many seconds pass between two lines, except for those of `every_line`."""


class Bar:
    """A progress bar, as a context manager, for work with a known or an unknown number of steps.

    Args:
        label: what is being done, such as `reading images`.
        total: number of steps; None if it is unknown.
        show: False for no output at all.
        done: number of steps that were done earlier.
        every_line: outside of a terminal, print a line for every `advance` that has a note.
    """

    def __init__(
        self, label: str, total: int | None, *, show: bool = True, done: int = 0, every_line: bool = False
    ) -> None:
        self.label, self.total, self.done, self.note, self.every_line = label, total, done, "", every_line
        console = Console()
        self._live = show and (console.is_terminal or console.is_jupyter)
        self._plain = show and not self._live
        self._start = self._last = time.monotonic()
        self._first = done
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(compact=True), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._live)

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()
        self._task = self._progress.add_task(
            self.label, total=self.total, completed=self.done, count=self._count(), note=""
        )

    def stop(self) -> None:
        """Remove the bar."""
        self._progress.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def advance(self, steps: int = 1, note: str | None = None, count: str | None = None) -> None:
        """Move the bar on by some steps.

        Args:
            steps: how many steps were done.
            note: text behind the bar, until the next note; None keeps the last note.
            count: text in place of the number of steps, such as `epoch 3/30`.
        """
        self.done += steps
        self.note = self.note if note is None else note
        text = count or self._count()
        if self._live:
            self._progress.update(self._task, completed=self.done, count=text, note=self.note)
        now = time.monotonic()
        if self._plain and (now - self._last >= _SECONDS or (self.every_line and note is not None)):
            self._last = now
            print(", ".join(filter(None, [f"{self.label}: {text}", self.note, self._left(now)])), file=sys.stderr)

    def _count(self) -> str:
        return f"{self.done}/{self.total}" if self.total is not None else str(self.done)

    def _left(self, now: float) -> str:
        steps = self.done - self._first
        if self.total is None or not steps or self.done >= self.total:
            return ""
        seconds = round((now - self._start) / steps * (self.total - self.done))
        return f"{seconds // 60} min {seconds % 60} s left" if seconds >= 60 else f"{seconds} s left"


def track(items: Iterable[Item], label: str, *, show: bool = True, total: int | None = None) -> Iterator[Item]:
    """Yield items one after the other while a bar shows how many are done.

    Args:
        items: the items to work on.
        label: what is being done.
        show: False for no output at all.
        total: number of items; None takes the length of `items` if they have one.
    """
    length = len(items) if total is None and isinstance(items, Sized) else total
    with Bar(label, length, show=show) as bar:
        for item in items:
            yield item
            bar.advance()


def sparkline(values: Sequence[float]) -> str:
    """Draw the last 20 values as blocks, scaled from the lowest to the highest of them; NaN becomes a space."""
    recent = list(values)[-_WIDTH:]
    numbers = [value for value in recent if value == value]
    if not numbers:
        return ""
    low, span, top = min(numbers), max(numbers) - min(numbers), len(_LINES) - 1
    return "".join(
        " " if value != value else _LINES[round((value - low) / span * top) if span else top // 2] for value in recent
    )
