"""Images and maps of a study that cannot be shown. They are found at the start or on request, and logged once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from salign.annotate.catalog import Catalog, Unit
from salign.annotate.drafts import Draft
from salign.annotate.records import Mistaken
from salign.data.reading.image import ImageError, image_size
from salign.errors import SalignError
from salign.progress import Bar

log = logging.getLogger("salign.annotate")

_MANY = 2000
"""From this number of files on, looking at them takes long enough for a progress bar."""

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
"""Errors that are the fault of the machine or its network, not of the file."""

FileState = tuple[int, int, int] | None
Shown = TypeVar("Shown")


class Unshown(Mistaken):
    """A file of the study cannot be read; the message is for the page."""

    path = ""
    """Path of the file, relative to the root."""
    reason = ""
    """The reason, for whoever runs the study. It does not contain the path of the root."""


class Broken:
    """The files that could not be read. Each is forgotten when its file changes. Safe to use from many threads."""

    def __init__(self, catalog: Catalog, units: Iterable[Unit], drafts: Mapping[str, Sequence[Draft]]) -> None:
        """Note which units show which files. No file is read yet."""
        self._catalog = catalog
        self._users: dict[str, list[str]] = defaultdict(list)
        for unit in units:
            for image in unit.images:
                cells = catalog.pictures[image].cells
                maps = [cells[draft.column] for draft in drafts.get(image, ()) if draft.column in cells]
                for path in (catalog.pictures[image].path, *maps):
                    self._users[path].append(unit.id)
        self._found: dict[str, tuple[FileState, str]] = {}
        self._lock = threading.Lock()

    def show(self, path: str, make: Callable[[Path], Shown]) -> Shown:
        """Return what `make` makes of a file of the study.

        Args:
            path: path of the file, relative to the root.
            make: function that reads the file.

        Raises:
            Unshown: the file cannot be read. That is noted, and its units are not handed out until it is mended.
            ImageError, OSError: the cause is not the file but a passing fault of the machine, such as lack of memory.
        """
        try:
            return make(self._catalog.file(path))
        except (ImageError, OSError) as error:
            cause = error.__cause__ if isinstance(error, ImageError) else error
            if isinstance(cause, MemoryError) or getattr(cause, "errno", None) in _PASSING:
                raise
            unshown = Unshown("this image cannot be shown; whoever runs the study is told")
            unshown.path, unshown.reason = path, self._note(path, error)
            raise unshown from None

    def look(self) -> dict[str, str]:
        """Read the headers of all files, with a progress bar if there are many, and return `reasons`.

        Raises:
            SalignError: not a single unit can be shown.
        """

        def glance(path: str) -> None:
            with contextlib.suppress(Unshown, ImageError, OSError):
                self.show(path, image_size)

        with (
            Bar("looking at the images", len(self._users), show=len(self._users) >= _MANY) as bar,
            ThreadPoolExecutor(8) as pool,
        ):
            for _ in pool.map(glance, self._users):
                bar.advance()
        reasons = self.reasons()
        if {unit for users in self._users.values() for unit in users} == self.units():
            raise SalignError(f"{self._catalog.source}: nothing can be shown; first {next(iter(reasons.values()))}")
        return reasons

    def reasons(self) -> dict[str, str]:
        """Return, by path, why a file could not be read. A file that has changed since then is forgotten."""
        with self._lock:
            for path, (state, _) in list(self._found.items()):
                if self.state(path) != state:
                    del self._found[path]
            return {path: reason for path, (_, reason) in self._found.items()}

    def units(self) -> set[str]:
        """Return the ids of the units that cannot be shown now."""
        return {unit for path in self.reasons() for unit in self._users.get(path, ())}

    def state(self, path: str) -> FileState:
        """Return a fingerprint that changes when the file at a path does; None if there is no file to look at."""
        try:
            state = (self._catalog.root / path).stat()
        except OSError:
            return None
        return state.st_ino, state.st_ctime_ns, state.st_size  # ctime changes with permissions, too

    def _note(self, path: str, error: Exception) -> str:
        root = str(self._catalog.root)
        reason = str(error).replace(f"{root}{os.sep}", "").replace(root, "the folder of the images")
        state = self.state(path)
        with self._lock:
            known = self._found.get(path)
            self._found[path] = state, reason
        if known is None or known[0] != state:
            log.warning("refused: not shown until it is mended: %s", reason if path in reason else f"{path}: {reason}")
        return reason
