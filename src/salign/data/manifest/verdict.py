"""Notes that a large manifest is sound, so that it is validated once and not by every run that reads it.

A note stands in the user's cache folder. It holds as long as the manifest has its size and times, and every folder of
files that it names has the time of its last change, which is that of a file that came, went or was renamed there; so
has every shard. What is overwritten under its own name, or behind a URL, is not noticed: reading it says what is wrong,
with the row.
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
"""A manifest of fewer rows is validated each time, which takes a second or two."""
_RULES = 1
"""Another number makes every note of before void: the rules of what is sound have changed."""
_RACY_NS = 2 * 10**9
"""What changed so shortly ago may change again without another time."""
_MOST_FOLDERS = 1_000_000


class Verdict:
    """Whether a manifest, and what it names, was found sound in a certain way.

    Args:
        file: the manifest.
        checks: what was looked at, and with which options; each combination has a note of its own.
    """

    def __init__(self, file: Path, *checks: object) -> None:
        self._manifest = file
        key = hashlib.sha256(repr((_RULES, checks)).encode()).hexdigest()[:32]
        self._file = _notes_of(file) / f"{key}.json"

    @property
    def holds(self) -> bool:
        """Whether it was sound, and neither the manifest nor a folder of its files has changed since."""
        try:
            note = read_json(self._file)
            return bool(_state(self._manifest, note["folders"]) == note)
        except (SalignError, OSError, KeyError, TypeError, ValueError):
            return False

    def note(self, names: Iterable[pd.Series], root: Path) -> None:
        """Note that it is sound; nothing is noted where the manifest or a folder changed in the last two seconds.

        Args:
            names: columns of paths.
            root: folder that they are relative to.
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
    """Let a manifest be validated anew by whoever reads it next."""
    for note in _notes_of(Path(manifest)).glob("*.json"):
        note.unlink(missing_ok=True)


def _state(manifest: Path, folders: Iterable[str]) -> dict[str, Any]:
    """What a note holds: size and times of the manifest, and the time of the last change of each folder, or shard."""
    return {
        "manifest": list(file_state(manifest)),
        "folders": {folder: 0 if is_remote(folder) else Path(folder).stat().st_mtime_ns for folder in folders},
    }


def _notes_of(manifest: Path) -> Path:
    name = hashlib.sha256(os.fsencode(absolute(manifest))).hexdigest()[:32]
    return cache_folder() / "manifests" / name
