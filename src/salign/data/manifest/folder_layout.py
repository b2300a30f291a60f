"""What the folders above images mean: `SPLIT/CLASS/image`, `CLASS/image`, `SPLIT/image`, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

from salign.data.manifest.image_files import same_name
from salign.errors import SalignError, nearest

Folders = Literal["auto", "split/class", "class", "split", "none"]
"""What the user says that the folders mean; with `auto`, `folder_layout` finds it out."""

_WORD = re.compile(r"(train|training|val|valid|validation|dev|test|testing|eval|holdout|ood)([_\- .].*|\d*)", re.I)


class Layout(NamedTuple):
    """Which of the folders above an image, counted from the top (0), are its split and its class; None = none is."""

    split: int | None = None
    label: int | None = None

    def split_of(self, path: str) -> str | None:
        """Return the split of an image, given its path below the folder of all images."""
        return None if self.split is None else same_name(PurePosixPath(path).parts[self.split])

    def label_of(self, path: str) -> str | None:
        """Return the class of an image, given its path below the folder of all images."""
        return None if self.label is None else same_name(PurePosixPath(path).parts[self.label])

    def __str__(self) -> str:
        """Return the name of the layout in `Folders`."""
        return {(0, 1): "split/class", (None, 0): "class", (0, None): "split"}.get((self.split, self.label), "none")


LAYOUTS = {
    "split/class": Layout(0, 1),
    "class": Layout(None, 0),
    "split": Layout(0, None),
    "none": Layout(),
}


def folder_layout(paths: Sequence[str], folders: str = "auto") -> Layout:
    """Return what the folders above images mean.

    With `auto`, this depends on how many folders each image lies in, at least:

    * Two or more: the uppermost folders are splits, and the folders below are classes, if one of the uppermost is named
      like a split (`train`, `test_ood`) or if folders of the same name lie in several of them, as classes do. Otherwise
      the uppermost folders are the classes.
    * One: the folders are splits if all of them are named like splits, because a class may be called `train`. Otherwise
      they are the classes.
    * None, for at least one image: folders mean nothing.

    Args:
        paths: paths of all images, relative to their folder.
        folders: one of `Folders`.

    Raises:
        SalignError: there is no such layout, or an image lies in fewer folders than the layout needs.
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
