"""Which classes have something marked on their images, and which class borrows marked regions from the other."""

from __future__ import annotations

from collections.abc import Sequence

from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency


def marked_classes(rows: Manifest) -> list[str]:
    """Return the classes that have an image on whose map something is marked, but no more than two of them.

    Args:
        rows: the images to look at. Maps that a machine made count, so remove them first (`Manifest.of_people`).

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
    """Return the class whose images borrow marked regions from the other class.

    Args:
        marked: the classes that have marks; see `marked_classes`.
        classes: all classes.

    Returns:
        The class without marks, if there are two classes and one of them has marks; otherwise an empty list.
    """
    return [name for name in classes if name not in marked] if len(marked) == 1 and len(classes) == 2 else []
