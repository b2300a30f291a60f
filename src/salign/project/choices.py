"""What a person decides of a folder that can be understood in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from salign.data.manifest.split import SHARES

CLASSES_FROM = ("folders", "table", "annotations", "names")


@dataclass(frozen=True)
class Choices:
    """What a person decides where a folder can be understood in several ways; None = there is one way only."""

    classes_from: str | None = None
    """One of `CLASSES_FROM`."""
    label_column: str | None = None
    maps: str | None = None
    """Kind of the maps (`*_mask`, `masks/`), the name of an annotation format, or `none`."""
    label: str | None = None
    """Class of images of which nothing else says it."""
    group: Sequence[str] = ()
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    seed: int = 0
    sigma: float | None = None
    """Standard deviation of the Gaussian of a fixation, in the pixels of its table; None = gaze is not taken."""
    leave_out: bool = False
    unlisted: bool = False
    """Whether images that a tool lists without a mark were not looked at; else nothing was to be marked on them."""
