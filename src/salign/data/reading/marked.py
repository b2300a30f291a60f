"""Which classes have something marked on their images, and which one borrows from the other."""

from __future__ import annotations

from collections.abc import Sequence

from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency


def marked_classes(rows: Manifest) -> list[str]:
    """The classes of images on whose map something is marked; two are enough, and no more are read.

    Args:
        rows: the images to look at; maps that a machine made count, so take them away before.

    Raises:
        SalignError: a map cannot be read.
    """
    marked: list[str] = []
    for position, label in enumerate(rows.table["label"].astype(str)):
        path = rows.saliency_path(position)
        if len(marked) == 2 or label in marked or path is None:
            continue
        if bool(read_saliency(path, where=rows.where(position, "saliency")).amax() > 0):
            marked.append(label)
    return marked


def borrowing_classes(marked: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The class whose images borrow the regions of the other: of two, the one on which nothing is marked; else none.

    Args:
        marked: the classes that have marks; see `marked_classes`.
        classes: all classes.
    """
    return [name for name in classes if name not in marked] if len(marked) == 1 and len(classes) == 2 else []
