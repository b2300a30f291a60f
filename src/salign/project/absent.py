"""Classes without an image in a split of a study, so that runs are refused or measure nothing of these classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from salign.data.manifest import Manifest
from salign.data.manifest.folder_layout import splits_by_role
from salign.data.manifest.labels import by_name
from salign.errors import SalignError

_SHOWN = 5


class Absent(NamedTuple):
    """The classes that are missing in the splits of a manifest."""

    refused: tuple[str, ...]
    """Classes of which training or validation has no image. A run with all classes is refused because of them."""
    rest: tuple[str, ...]
    """The other classes, which can be trained."""
    sentences: list[str]
    """Sentences that say which split has no image of which classes, and what follows from it."""


def absent_classes(manifest: Manifest) -> Absent:
    """Find the classes that have images in some of training, validation and test, but not in all three.

    Raises:
        SalignError: fewer than two classes can be trained, or none where images may have several labels.
    """
    table = by_name(manifest.table) if manifest.multi_label else manifest.table
    roles = splits_by_role(manifest.splits)
    there = {role: set(table["label"][table["split"].isin(splits)]) for role, splits in roles.items()}
    used = [name for name in manifest.classes if any(name in names for names in there.values())]
    lacking: dict[tuple[str, ...], list[str]] = {}
    for name in used:
        lacking.setdefault(tuple(role for role in roles if name not in there[role]), []).append(name)
    refused = [name for name in used if name not in there["train"] & there["val"]]
    rest = [name for name in used if name not in refused]
    lacks = {where: _lack(where, names) for where, names in lacking.items() if where}
    if len(rest) < 1 + (not manifest.multi_label):
        raise SalignError(
            f"{manifest.root}: {'; '.join(lacks.values())}. Too few classes are left that can be trained: give more "
            "images of each, or other --shares"
        )
    sentences = [f"{lack}{_consequence(where, lacking[where])}" for where, lack in lacks.items()]
    return Absent(tuple(refused), tuple(rest), sentences)


def _lack(roles: Sequence[str], names: Sequence[str]) -> str:
    listed = ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
    return f"{' and '.join(roles)} {'has' if len(roles) == 1 else 'have'} no image of {listed}"


def _consequence(roles: Sequence[str], names: Sequence[str]) -> str:
    if list(roles) == ["test"]:
        return f", so that nothing is measured of {'it' if len(names) == 1 else 'them'}"
    which = "the class" if len(names) == 1 else "each of these classes"
    return f": runs are refused. Merge {which} with another, remove it, add images of it, or leave it out of runs"
