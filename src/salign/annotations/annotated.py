"""The common form in which every importer returns the marks that people made in an annotation tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from salign.annotations.rle import Runs
from salign.maps.shapes import Shape


class Stored:
    """A map that stays in its file and is read anew by every `np.asarray`, so that many maps need the memory of one."""

    def __init__(self, load: Callable[[], np.ndarray]) -> None:
        """Take a function that reads the map as `(H, W)` float32 in [0, 1]."""
        self.load = load

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.load(), dtype=dtype)


@dataclass(frozen=True)
class Annotated:
    """The marks of one annotator with one label on one image; an image may have several `Annotated`.

    An `Annotated` with neither shapes nor a mask says that the annotator looked and marked nothing (a blank map). An
    image without any `Annotated` has no map.
    """

    image: str
    """Name or path of the image as the tool gives it. It is matched with known images and never opened directly."""
    size: tuple[int, int] | None = None
    """(H, W) of the image according to the tool; the marks are in its pixels. None if the tool gives no size."""
    label: str | None = None
    """What the tool calls the marks (or the image); None if it gives no label."""
    shapes: tuple[Shape, ...] = ()
    """Areas in the order in which they were drawn, or fixations."""
    mask: np.ndarray | Runs | Stored | None = None
    """A map instead of shapes: `(H, W)` bool or float32 in [0, 1], run lengths, or a map in a file."""
    annotator: str | None = None
    """Who made the marks; None if the tool does not say it."""
    image_labels: tuple[str, ...] = ()
    """What the tool calls the image as a whole, if it says that apart from the marks. Several labels contradict each
    other, unless classes come from elsewhere."""
    relative: bool = False
    """Whether the coordinates of the shapes are shares of width and height, 0..1 (as in YOLO); `size` is then None."""
    source: str | None = field(default=None, compare=False)
    """The file with these marks, as a path below the folder that is read, for formats with one file per image."""


def by_label(
    marks: Sequence[tuple[str | None, Shape | Runs]],
    image: str,
    size: tuple[int, int] | None = None,
    *,
    whole: bool = True,
    **more: Any,
) -> list[Annotated]:
    """Group the marks on an image into one `Annotated` per label, in the order of the labels, and one per mask.

    If there are no marks, the result is one blank `Annotated`, or an empty list if `whole` is False.

    Args:
        marks: pairs of a label and a mark.
        image: as in `Annotated`.
        size: as in `Annotated`.
        whole: whether no mark was left out as faulty. Otherwise, no marks do not mean that nothing was marked.
        more: further fields of `Annotated`.
    """
    shapes: dict[str | None, list[Shape]] = {}
    annotations: list[Annotated] = []
    for label, mark in marks:
        if isinstance(mark, Runs):
            annotations.append(Annotated(image, size, label, mask=mark, **more))
        else:
            shapes.setdefault(label, []).append(mark)
    annotations = [Annotated(image, size, label, tuple(parts), **more) for label, parts in shapes.items()] + annotations
    return annotations or [Annotated(image, size, **more)] * whole


def by_maker(
    marks: Sequence[tuple[str | None, str | None, Shape | Runs]],
    image: str,
    size: tuple[int, int] | None = None,
    *,
    annotator: str | None = None,
    **more: Any,
) -> list[Annotated]:
    """Group marks by their maker and then as `by_label` does.

    Args:
        marks: a maker, a label and a mark each. The maker is the machine that made the mark; None stands for
            `annotator`.
        image: as in `Annotated`.
        size: as in `Annotated`.
        annotator: as in `Annotated`.
        more: further arguments of `by_label`.
    """
    groups: dict[str | None, list[tuple[str | None, Shape | Runs]]] = {}
    for maker, label, mark in marks:
        groups.setdefault(maker or annotator, []).append((label, mark))
    makers = (groups or {annotator: []}).items()
    return [mark_group for who, theirs in makers for mark_group in by_label(theirs, image, size, annotator=who, **more)]
