"""What the folders above images mean: `SPLIT/CLASS/image`, `CLASS/SPLIT/image`, `CLASS/image`, `SPLIT/image`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

from salign.data.manifest.image_files import same_name
from salign.errors import SalignError, nearest

Folders = Literal["auto", "split/class", "class/split", "class", "split", "none"]
"""What the user says that the folders mean; with `auto`, `folder_layout` finds it out."""

_WORDS = {
    "train": "train|training",
    "val": "val|valid|validation|dev",
    "test": "test|testing|eval|holdout|ood",
}
"""What a split is for -> the words by which it is called."""
_BEGINNING = {role: re.compile(rf"({words})([_\- .].*|\d*)", re.I) for role, words in _WORDS.items()}
_WITHIN = {role: re.compile(rf"(?<![^_\- .])({words})\d*(?![^_\- .])", re.I) for role, words in _WORDS.items()}


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
        return next(name for name, layout in LAYOUTS.items() if layout == self)


LAYOUTS = {
    "split/class": Layout(0, 1),
    "class/split": Layout(1, 0),
    "class": Layout(None, 0),
    "split": Layout(0, None),
    "none": Layout(),
}


def roles_in(name: str) -> list[str]:
    """Return those of `train`, `val` and `test` whose words occur in a name: `test` for `ISIC2016_Test_Data`."""
    return [role for role, word in _WITHIN.items() if word.search(name)]


def without_split_word(name: str) -> str:
    """Put `*` in place of the word of a split: `*_masks` for `train_masks`, any other name as it is."""
    for word in _WITHIN.values():
        name = word.sub("*", name, count=1)
    return name


def splits_by_role(splits: Iterable[str]) -> Mapping[str, list[str]]:
    """Sort splits by what they are for.

    The word that a name begins with counts (`test_of_training`), or else the only one that occurs in it.

    Returns:
        `train`, `val` and `test` -> the splits that are called so; a split with another name is in none.
    """
    by_role: dict[str, list[str]] = {role: [] for role in _WORDS}
    for split in dict.fromkeys(splits):
        roles = [role for role, pattern in _BEGINNING.items() if pattern.fullmatch(split)] or roles_in(split)
        if len(roles) == 1:
            by_role[roles[0]].append(split)
    return by_role


def folder_layout(paths: Sequence[str], folders: str = "auto") -> Layout:
    """Return what the folders above images mean.

    With `auto`, this depends on how many folders each image lies in, at least:

    * Two or more: the uppermost folders are splits, and the folders below are classes, if one of the uppermost is named
      like a split (`train`, `test_ood`), if their names are equal but for the word of a split (`images_train`,
      `images_test`), or if folders of the same name lie in several of them, as classes do. If all folders below are
      named like splits, and images lie right in them, it is the other way round. Otherwise the uppermost folders are
      the classes.
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
    named = _splits_among(first)
    if depth == 1:
        return LAYOUTS["split" if named == first else "class"]
    pairs = {tuple(path.split("/")[:2]) for path in paths}
    second = {name for _, name in pairs}
    if not named and second == _splits_among(second) and all(path.count("/") == 2 for path in paths):
        return LAYOUTS["class/split"]
    recurs = len(second) < len(pairs)
    return LAYOUTS["split/class" if named or recurs else "class"]


def _splits_among(names: Iterable[str]) -> set[str]:
    """Return the names that begin like a split, or all of them if they are equal but for the word of a split."""
    names = set(names)
    if len(names) > 1 and len({without_split_word(name) for name in names}) == 1:
        return names
    return {name for name in names if any(pattern.fullmatch(name) for pattern in _BEGINNING.values())}
