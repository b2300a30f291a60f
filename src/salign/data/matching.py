"""Names of images as annotation tools say them -> the images below a folder; never one outside of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from salign.data.sources.folder import SUFFIXES
from salign.types import SalignError

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


class Images:
    """Images by their relative paths, found again by paths, names or stems.

    The path that a tool gives may be absolute, of another machine or relative to elsewhere: it is only compared, from
    its end, with the paths there are. Of several images with the name, the one that shares most folders is meant.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = sorted(set(paths))
        """Relative, with `/`."""
        self._named: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in self.paths:
            name = path.rpartition("/")[2]
            self._named.setdefault(name, []).append(path)
            self._stems.setdefault(_stem(name), []).append(path)

    @classmethod
    def below(cls, folder: Path, skip: Iterable[Path] = ()) -> Images:
        """Every image file of a folder and the folders below; hidden ones and links that lead out are left out.

        Args:
            folder: where to look.
            skip: folders not to look into.

        Raises:
            SalignError: no such folder, or no image in it.
        """
        root = folder.resolve()
        if not root.is_dir():
            raise SalignError(f"no such folder: {folder}")
        found: list[str] = []
        skipped = {path.resolve() for path in skip}
        for place, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".") and Path(place, name) not in skipped]
            for name in names:
                path = Path(place, name)
                if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    continue
                found.append(path.relative_to(root).as_posix())
        if not found:
            raise SalignError(f"{folder}: found no image ({', '.join(sorted(SUFFIXES))})")
        return cls(found)

    def find(self, name: str) -> str:
        """The relative path of the image that a tool calls `name`.

        Raises:
            SalignError: there is none, or several could be meant; the message tells which.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            raise SalignError("expected the name of an image")
        last = parts[-1]
        candidates = self._candidates(last) or self._candidates(_UPLOADED.sub("", last))
        if not candidates:
            raise SalignError("no image of this name")
        shared = [_shared(path.split("/")[:-1], parts[:-1]) for path in candidates]
        best = [path for path, count in zip(candidates, shared, strict=True) if count == max(shared)]
        exact = [path for path in best if path.split("/")[:-1] == parts[:-1]]
        if len(exact or best) > 1:
            raise SalignError(f"{len(best)} images could be meant: {', '.join(best[:3])}{', ...' * (len(best) > 3)}")
        return (exact or best)[0]

    def _candidates(self, name: str) -> list[str]:
        """By name; else by the name as a stem (of tools that leave suffixes out); else by its stem."""
        return self._named.get(name) or self._stems.get(name) or self._stems.get(_stem(name)) or []


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _shared(folders: list[str], given: list[str]) -> int:
    """How many folders two paths share, counted from their ends."""
    count = 0
    for ours, theirs in zip(reversed(folders), reversed(given), strict=False):
        if ours != theirs:
            break
        count += 1
    return count
