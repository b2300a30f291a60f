"""The file of a SQLite database: where it lies, and whether it is still the file that was opened."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import unquote

from salign.errors import SalignError
from salign.readers import open_file
from salign.web.limited_log import LimitedLog

_LIMITED = LimitedLog(logging.getLogger("salign.annotate"))
_BEGINNING = b"SQLite format 3\0"


class Gone(SalignError):
    """The files of the open database were deleted, moved or replaced, so that what is written now would be lost."""


def database_in(folder: Path) -> Path:
    """Return the path of the database in the folder of a study.

    Raises:
        SalignError: an earlier version of salign put the database elsewhere, because it read the folder's name, which
            has a `?` or `%`, as a part of a URL.
    """
    path = folder.resolve() / "annotations.db"
    cut = str(path).partition("?")[0]
    for earlier in map(Path, dict.fromkeys([cut, unquote(cut)])):
        if earlier != path and not path.exists() and _is_database(earlier):
            raise SalignError(
                f"{earlier}: an earlier salign kept answers here, because of a ? or % in the name {folder}. If they "
                f"are of this study, stop its server and move the file to {path}; else move it elsewhere"
            )
    return path


def _is_database(path: Path) -> bool:
    try:
        with open_file(path, limit=None) as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except (OSError, SalignError):
        return False


class Watch:
    """Watches whether the files of an open database are still the files that were opened.

    SQLite goes on writing to files that were deleted, moved or replaced meanwhile, and does not report it.
    """

    def __init__(self, path: Path) -> None:
        """Remember the file at `path`, and the `-wal` file beside it, which holds the newest saves, if there is one."""
        self._path = path
        self._files = [file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()]
        self._known = self._look()

    def check(self) -> None:
        """Check that the files are still the same.

        Raises:
            Gone: a file is missing, or another file lies in its place.
        """
        if self._look() != self._known:
            _LIMITED.warning(
                "gone",
                "refused: %s, or the -wal file beside it, was deleted, moved or replaced while the server runs; "
                "nothing is stored until the same files are back, or the server is stopped and started again",
                self._path,
            )
            raise Gone(
                "the server's database is not where it was, so nothing can be stored now; please tell whoever runs the "
                "study, and leave this page open: what you did is kept in this browser"
            )

    def _look(self) -> list[tuple[int, int] | None]:
        states: list[tuple[int, int] | None] = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                states.append(None)
            else:
                states.append((state.st_dev, state.st_ino))
        return states
