"""What people marked, as annotation tools say it: the form in which every importer hands it over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from salign.data.runs import Runs
from salign.maps.shapes import Shape


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
    mask: np.ndarray | Runs | None = None
    """(H, W) bool, or float32 in [0, 1], or run lengths, instead of shapes."""
    annotator: str | None = None
    """Who, where the tool says it."""
    relative: bool = False
    """The coordinates of the shapes are shares of width and height, 0..1 (YOLO); `size` is None then."""
