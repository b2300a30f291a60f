"""The choices of a person about a folder that can be understood in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from salign.data.manifest.split import SHARES

CLASSES_FROM = ("folders", "outer-folders", "inner-folders", "table", "annotations", "names")


@dataclass(frozen=True)
class Choices:
    """The choices of a person about a folder that can be understood in several ways; None = no choice was made."""

    classes_from: str | None = None
    """One of `CLASSES_FROM`."""
    label_column: str | None = None
    maps: str | None = None
    """The source of the maps: their kind (`*_mask`, `masks/`), the name of an annotation format, or `none`."""
    label: str | None = None
    """The class of images whose class nothing else tells."""
    group: Sequence[str] = ()
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    seed: int = 0
    sigma: float | None = None
    """Standard deviation of the Gaussian of a fixation, in pixels as in its table; None = no maps are made of gaze."""
    leave_out: bool = False
    """Whether to go on without the images and marks that have faults."""
    unlisted: bool = False
    """Whether nobody looked at the images that a tool lists without a mark; else somebody did, and marked nothing."""
