"""Binary masks kept as run lengths, which need as little memory as the file they came from until they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from salign.data.reading.image import MAX_PIXELS
from salign.errors import SalignError

MOST_RUNS = 5_000_000
"""Most runs of a mask. A mask in more pieces is taken for noise and refused."""

Box = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""


@dataclass(frozen=True, eq=False)
class Runs:
    """A binary mask as run lengths: numbers of pixels that lie alternately outside and inside the mask, outside first.

    Raises:
        SalignError: a size is not positive or is above `MAX_PIXELS`, a run is negative, or the runs do not add up to
            the number of pixels of the box.
    """

    size: tuple[int, int]
    """(H, W) of the image."""
    counts: np.ndarray
    """`(n,)` whole numbers >= 0 whose sum is the number of pixels of the box; held as uint32."""
    box: Box | None = None
    """The part of the image that the runs cover; it may extend beyond the image. None stands for the whole image."""
    columns: bool = False
    """Whether the runs go down the columns (as in COCO) instead of along the rows."""
    pixels: int = field(init=False)
    """How many pixels of the box are inside the mask."""

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
        """Encode a mask `(H, W)` bool; with `columns`, the runs go down the columns.

        Raises:
            SalignError: the mask has no pixel, or more than `MOST_RUNS` runs.
        """
        size = checked_size(mask.shape[0], mask.shape[1])
        # A run ends where the next pixel differs. Runs begin outside the mask, so a mask whose first pixel is inside
        # starts with a run of length 0.
        flat = mask.ravel(order="F" if columns else "C")
        differs = flat[1:] != flat[:-1]
        if (count := np.count_nonzero(differs)) > MOST_RUNS:
            raise SalignError(f"a mask in {count:,} pieces is noise, not a mark; up to {MOST_RUNS:,} are read")
        ends = np.concatenate([[0] if flat[0] else [], np.flatnonzero(differs) + 1, [flat.size]])
        return cls(size, np.diff(ends, prepend=0).astype(np.int64), columns=columns)

    def decode(self) -> np.ndarray:
        """Decode the mask as `(H, W)` bool; the part of the box outside the image is cut off."""
        top, left, height, width = self.box or (0, 0, *self.size)
        # Every second run is inside the mask. The decoded box, which may extend beyond the image, is then copied into
        # the image.
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
    """Intersect [start, start + length) with [0, limit); return the slice of the image and the slice of the box."""
    low, high = min(max(start, 0), limit), min(max(start + length, 0), limit)
    return slice(low, high), slice(low - start, high - start)


def checked_size(height: int, width: int) -> tuple[int, int]:
    """Return (H, W) unchanged after checking that an image can be that large, before memory of that size is allocated.

    Raises:
        SalignError: a side is below 1, or there are more than `MAX_PIXELS` pixels in all.
    """
    if height < 1 or width < 1 or height > MAX_PIXELS or width > MAX_PIXELS or height * width > MAX_PIXELS:
        sides = " x ".join(str(side) if abs(side) < 1e9 else "over 1e9" for side in (width, height))
        raise SalignError(f"expected 1 to {MAX_PIXELS:,} pixels; got {sides}")
    return height, width


def at_size(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask `(h, w)` bool to `size` (H, W): each pixel takes the value of the pixel that holds its centre."""
    if mask.shape == size:
        return mask
    down, across = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[down][:, across]


def run_counts(values: Sequence[object]) -> np.ndarray:
    """Check run lengths as a tool lists them, and return them as `(n,)` int64.

    Raises:
        SalignError: a value is not a whole number, is negative, or is above `MAX_PIXELS`.
    """
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PIXELS:
            text = repr(value)[:40] if not isinstance(value, int) else "one out of range"
            raise SalignError(f"run lengths are whole numbers from 0 to {MAX_PIXELS:,}; got {text}")
    return np.array(values, dtype=np.int64)
