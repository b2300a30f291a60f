"""Notes that a large manifest is sound, so that it is validated once and not by every run that reads it.

A note lies in the user's cache folder. It holds as long as the manifest has the same size and times, and every shard
and every folder of files that the manifest names has the same modification time. The time of a folder changes when a
file in it is added, removed or renamed. A file that is overwritten under its own name, or changed behind a URL, is not
noticed here; if it is damaged, the error comes when it is read, and names the row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from salign.data.manifest.path_columns import folders_of
from salign.errors import SalignError
from salign.files import cache_folder, replace_text
from salign.location import absolute, is_remote
from salign.readers import file_state, read_json

log = logging.getLogger("salign.data")

MANY = 50_000
"""A manifest with fewer rows is validated each time, which takes a second or two."""
_RULES = 1
"""Version of the rules of what is sound; a new number makes all earlier notes void."""
_RACY_NS = 2 * 10**9
"""A file or folder that changed less than this many nanoseconds ago may change again without getting another time."""
_MOST_FOLDERS = 1_000_000


class Verdict:
    """The note that a manifest, and the files that it names, passed certain checks.

    Args:
        file: the manifest.
        checks: what was checked, and with which options; each combination has a note of its own.
    """

    def __init__(self, file: Path, *checks: object) -> None:
        self._manifest = file
        key = hashlib.sha256(repr((_RULES, checks)).encode()).hexdigest()[:32]
        self._file = _notes_of(file) / f"{key}.json"

    @property
    def holds(self) -> bool:
        """Whether the manifest was sound, and neither it nor a folder of its files has changed since."""
        try:
            note = read_json(self._file)
            return bool(_state(self._manifest, note["folders"]) == note)
        except (SalignError, OSError, KeyError, TypeError, ValueError):
            return False

    def note(self, names: Iterable[pd.Series], root: Path) -> None:
        """Note that the manifest is sound.

        Nothing is noted if the manifest or a folder of its files changed in the last two seconds, or if there are more
        than a million folders.

        Args:
            names: the columns of paths.
            root: folder that the paths are relative to.
        """
        folders = sorted({str(root / folder) for column in names for folder in folders_of(column)})
        if len(folders) > _MOST_FOLDERS:
            return
        try:
            state = _state(self._manifest, folders)
            latest = max(0 if is_remote(self._manifest) else state["manifest"][1], *state["folders"].values(), 0)
            if time.time_ns() - latest > _RACY_NS:
                replace_text(self._file, json.dumps(state))
        except (SalignError, OSError) as error:
            log.info("it is not noted that %s is sound: %s", self._manifest, error)


def forget_verdicts(manifest: Path | str) -> None:
    """Delete the notes on a manifest, so that it is validated again when it is read next."""
    for note in _notes_of(Path(manifest)).glob("*.json"):
        note.unlink(missing_ok=True)


def _state(manifest: Path, folders: Iterable[str]) -> dict[str, Any]:
    """Return the content of a note: size and times of the manifest, and modification time of each folder or shard."""
    return {
        "manifest": list(file_state(manifest)),
        "folders": {folder: 0 if is_remote(folder) else Path(folder).stat().st_mtime_ns for folder in folders},
    }


def _notes_of(manifest: Path) -> Path:
    name = hashlib.sha256(os.fsencode(absolute(manifest))).hexdigest()[:32]
    return cache_folder() / "manifests" / name
