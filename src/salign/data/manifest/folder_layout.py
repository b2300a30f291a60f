"""What the folders of images say: `SPLIT/CLASS/image`, `CLASS/image`, `SPLIT/image`, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

from salign.data.manifest.image_files import same_name
from salign.errors import SalignError, nearest

Folders = Literal["auto", "split/class", "class", "split", "none"]
"""What folders are said to say; `auto` = found out."""

_WORD = re.compile(r"(train|training|val|valid|validation|dev|test|testing|eval|holdout|ood)([_\- .].*|\d*)", re.I)


class Layout(NamedTuple):
    """Which of the folders above an image, from the top, are its split and its class; None = none of them."""

    split: int | None = None
    label: int | None = None

    def split_of(self, path: str) -> str | None:
        """The split of an image, by its path below the folder."""
        return None if self.split is None else same_name(PurePosixPath(path).parts[self.split])

    def label_of(self, path: str) -> str | None:
        """The class of an image, by its path below the folder."""
        return None if self.label is None else same_name(PurePosixPath(path).parts[self.label])

    def __str__(self) -> str:
        """As `Folders` names it."""
        return {(0, 1): "split/class", (None, 0): "class", (0, None): "split"}.get((self.split, self.label), "none")


LAYOUTS = {
    "split/class": Layout(0, 1),
    "class": Layout(None, 0),
    "split": Layout(0, None),
    "none": Layout(),
}


def folder_layout(paths: Sequence[str], folders: str = "auto") -> Layout:
    """What the folders above images say.

    Found out, the uppermost folders are splits where one of them is named like a split (`train`, `test_ood`) or where
    folders of one name lie in several of them, as classes do; those below are classes then. Without folders below, all
    of the uppermost must be named like splits, for a class may be called `train`; else they are the classes. Images
    that lie in no folder say that folders mean nothing.

    Args:
        paths: paths of all images, relative to the folder.
        folders: one of `Folders`.

    Raises:
        SalignError: no such layout, or an image lies in fewer folders than it needs.
    """
    if folders not in get_args(Folders):
        raise SalignError(
            f"folders say one of {', '.join(get_args(Folders))}, not {folders!r}{nearest(folders, get_args(Folders))}"
        )
    depth = min((path.count("/") for path in paths), default=0)
    if folders != "auto":
        layout = LAYOUTS[folders]
        if depth < (needed := folders.count("/") + (folders != "none")):
            shallow = next(path for path in paths if path.count("/") == depth)
            raise SalignError(f"expected {folders}/image, found {shallow}, which lies in {depth} of {needed} folders")
        return layout
    if not depth:
        return Layout()
    first = {path.split("/")[0] for path in paths}
    named = {name for name in first if _WORD.fullmatch(name)}
    if depth == 1:
        return LAYOUTS["split" if named == first else "class"]
    pairs = {tuple(path.split("/")[:2]) for path in paths}
    recurs = len({name for _, name in pairs}) < len(pairs)
    return LAYOUTS["split/class" if named or recurs else "class"]
