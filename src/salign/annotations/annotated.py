"""What people marked, as annotation tools say it: the form in which every importer hands it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from salign.annotations.rle import Runs
from salign.maps.shapes import Shape


class Stored:
    """A map in a file: `np.asarray` reads it, every time, so that a set of any size needs the memory of one map."""

    def __init__(self, load: Callable[[], np.ndarray]) -> None:
        """Take a function that reads the map, `(H, W)` float32 in [0, 1]."""
        self.load = load

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.load(), dtype=dtype)


@dataclass(frozen=True)
class Annotated:
    """Marks of one annotator with one label on one image; an image may have several of them.

    With neither shapes nor mask it says: looked and marked nothing (a blank map). An image of which there is no
    `Annotated` has no map.
    """

    image: str
    """Name or path of the image as the tool says it; never opened as it stands."""
    size: tuple[int, int] | None = None
    """(H, W) the tool gives, in whose pixels the marks are; None where it gives none."""
    label: str | None = None
    """What the tool calls the marks (or the image); None where it does not say."""
    shapes: tuple[Shape, ...] = ()
    """Areas in the order they were made, or fixations."""
    mask: np.ndarray | Runs | Stored | None = None
    """(H, W) bool, or float32 in [0, 1], run lengths or a file, instead of shapes."""
    annotator: str | None = None
    """Who, where the tool says it."""
    image_labels: tuple[str, ...] = ()
    """What the tool calls the image as a whole, where it says that apart from the marks; several contradict."""
    relative: bool = False
    """The coordinates of the shapes are shares of width and height, 0..1 (YOLO); `size` is None then."""
    source: str | None = field(default=None, compare=False)
    """The file that says so, below the folder that is read, where each image has a file of its own."""


def by_label(
    marks: Sequence[tuple[str | None, Shape | Runs]],
    image: str,
    size: tuple[int, int] | None = None,
    *,
    whole: bool = True,
    **more: Any,
) -> list[Annotated]:
    """One `Annotated` per label (and one per mask), in the order of the labels; a blank one where there is no mark.

    Where marks were left out as faulty (not `whole`), no mark does not mean that nothing was marked.
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
    """`by_label` for marks that say which machine made them: maker (None: it was `annotator`), label, mark."""
    groups: dict[str | None, list[tuple[str | None, Shape | Runs]]] = {}
    for maker, label, mark in marks:
        groups.setdefault(maker or annotator, []).append((label, mark))
    makers = (groups or {annotator: []}).items()
    return [mark_group for who, theirs in makers for mark_group in by_label(theirs, image, size, annotator=who, **more)]
