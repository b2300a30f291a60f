"""A yes-or-no mask kept as run lengths: as small as in the file it came from, until it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from salign.data.reading.image import MAX_PIXELS
from salign.errors import SalignError

MOST_RUNS = 5_000_000
"""A mask in more pieces than this is noise, not a mark."""

Box = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Pixels of an image, in turn outside and inside of the mask, beginning outside.

    Raises:
        SalignError: a size that is not positive or above `MAX_PIXELS`, a negative run, or runs that do not add up.
    """

    size: tuple[int, int]
    """(H, W) of the image."""
    counts: np.ndarray
    """`(n,)` whole numbers >= 0 whose sum is the number of pixels of the box; held as uint32."""
    box: Box | None = None
    """The part of the image that the runs go through; it may stick out of the image. All of the image when None."""
    columns: bool = False
    """The runs go down the columns (COCO) instead of along the rows."""
    pixels: int = field(init=False)
    """How many pixels of the box are inside of the mask."""

    def __post_init__(self) -> None:
        checked_size(*self.size)
        _, _, height, width = self.box or (0, 0, *self.size)
        checked_size(height, width)
        counts = np.asarray(self.counts)
        if counts.ndim != 1 or counts.dtype.kind not in "iu":
            raise SalignError(f"run lengths are a list of whole numbers; got {counts.dtype} of shape {counts.shape}")
        if counts.size and (counts.min() < 0 or counts.max() > MAX_PIXELS):
            raise SalignError(f"a run is 0 to {MAX_PIXELS:,} pixels long; got {counts.min()} to {counts.max()}")
        total = int(counts.sum(dtype=np.int64))
        if total != height * width:
            raise SalignError(f"the runs add up to {total} pixels; expected {width} x {height} = {height * width}")
        object.__setattr__(self, "counts", counts.astype(np.uint32))
        object.__setattr__(self, "pixels", int(counts[1::2].sum(dtype=np.int64)))

    @classmethod
    def of(cls, mask: np.ndarray, *, columns: bool = False) -> Runs:
        """Encode an `(H, W)` bool mask.

        Raises:
            SalignError: it has more than `MOST_RUNS` runs.
        """
        # A run ends where the next pixel differs. Runs begin outside, so a mask that begins inside has a run of length
        # 0 first.
        flat = mask.ravel(order="F" if columns else "C")
        differs = flat[1:] != flat[:-1]
        if (count := np.count_nonzero(differs)) > MOST_RUNS:
            raise SalignError(f"a mask in {count:,} pieces is noise, not a mark; up to {MOST_RUNS:,} are read")
        ends = np.concatenate([[0] if flat[0] else [], np.flatnonzero(differs) + 1, [flat.size]])
        return cls((mask.shape[0], mask.shape[1]), np.diff(ends, prepend=0).astype(np.int64), columns=columns)

    def decode(self) -> np.ndarray:
        """`(H, W)` bool; what sticks out of the image is cut off."""
        top, left, height, width = self.box or (0, 0, *self.size)
        # Every second run is inside. Then the box, which may stick out of the image, is laid into the image.
        inside = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(inside, self.counts)
        part = flat.reshape((width, height)).T if self.columns else flat.reshape((height, width))
        if self.box is None:
            return np.ascontiguousarray(part)
        mask = np.zeros(self.size, dtype=bool)
        rows, lines = _overlap(top, height, self.size[0])
        across, strips = _overlap(left, width, self.size[1])
        mask[rows, across] = part[lines, strips]
        return mask


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """The stretch [start, start + length) inside of [0, limit): in the image, and in the box."""
    low, high = min(max(start, 0), limit), min(max(start + length, 0), limit)
    return slice(low, high), slice(low - start, high - start)


def checked_size(height: int, width: int) -> tuple[int, int]:
    """(H, W) as given, if an image can be that large: the check before anything of that size is made.

    Raises:
        SalignError: a side below 1, or more than `MAX_PIXELS` in all.
    """
    if height < 1 or width < 1 or height > MAX_PIXELS or width > MAX_PIXELS or height * width > MAX_PIXELS:
        sides = " x ".join(str(side) if abs(side) < 1e9 else "over 1e9" for side in (width, height))
        raise SalignError(f"expected 1 to {MAX_PIXELS:,} pixels; got {sides}")
    return height, width


def at_size(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An `(h, w)` bool mask at another size (H, W): a pixel is inside where its centre falls on one that is."""
    if mask.shape == size:
        return mask
    down, across = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[down][:, across]


def run_counts(values: Sequence[object]) -> np.ndarray:
    """Whole numbers as a tool lists them -> `(n,)` int64.

    Raises:
        SalignError: something else than a whole number, or one that no image could have.
    """
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PIXELS:
            text = repr(value)[:40] if not isinstance(value, int) else "one out of range"
            raise SalignError(f"run lengths are whole numbers from 0 to {MAX_PIXELS:,}; got {text}")
    return np.array(values, dtype=np.int64)
