"""Run lengths as three tools write them: COCO's string, CVAT's list and Label Studio's packed bits.

All become `Runs`. The tools also differ in the order of pixels: COCO's runs go down the columns of the image, CVAT's
along the rows of the mask's box, and Label Studio's along the rows of an RGBA picture whose channels are interleaved.
"""

from __future__ import annotations

import numpy as np

from salign.annotations.rle import Box, Runs, checked_size, run_counts
from salign.errors import SalignError

_GROUPS = 7
"""Most characters of a number in COCO's string; their 35 bits can hold any difference of two runs."""
_WORD = 8
"""Bits per channel value in Label Studio's masks."""


def from_coco_string(text: str, size: tuple[int, int]) -> Runs:
    """Decode COCO's compressed counts, as cocoapi's `rleFrString` does.

    From the fourth number on, each number is stored as its difference to the number two places before. A number is
    split into groups of five bits, lowest bits first. Each group is one character, whose code is 48 + bits, plus 32 if
    another group follows. The highest bit of the last group is the sign.

    Args:
        text: the string.
        size: (H, W) of the image.

    Raises:
        SalignError: the string has an invalid character, a number is cut off or too long, or the runs do not add up.
    """
    checked_size(*size)
    # 1. Each character is a group of five bits of a number; bit 32 says that the number continues.
    groups = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if not groups.size:
        raise SalignError("the run lengths are empty")
    if groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        raise SalignError("damaged: COCO run lengths use the characters 0 to o, and end with a whole number")
    # 2. A group without bit 32 ends a number, which gives the first and the last group of every number.
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _GROUPS:
        raise SalignError(f"a COCO run length has up to {_GROUPS} characters; one has {lengths.max()}")
    # 3. The lowest five bits come first. The highest bit of the last group is the sign: two's complement.
    shift = 5 * (np.arange(groups.size) - np.repeat(first, lengths))
    values = np.add.reduceat((groups & 31) << shift, first)
    values -= np.where(groups[last] & 16, np.int64(1) << (5 * lengths), 0)
    # 4. From the fourth number on, a number is the difference to the number two places before. The numbers at odd
    # indices are therefore summed up cumulatively, and so are those at even indices from index 2 on.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return Runs(size, values, columns=True)


def to_coco_string(runs: Runs) -> str:
    """Encode runs as COCO's string, the inverse of `from_coco_string`; runs in another order are converted first."""
    counts = _coco(runs).counts.astype(np.int64)
    # Numbers become differences first, then groups of five bits, lowest bits first. The last group of a number is the
    # group after which only the sign is left.
    counts[3:] -= counts[1:-2].copy()
    out = bytearray()
    for value in counts.tolist():
        while True:
            bits, value = value & 31, value >> 5
            last = value == (-1 if bits & 16 else 0)
            out.append(48 + bits + (0 if last else 32))
            if last:
                break
    return out.decode("ascii")


def to_coco_counts(runs: Runs) -> list[int]:
    """Return COCO's uncompressed counts: runs down the columns of the whole image, outside first."""
    return [int(count) for count in _coco(runs).counts]


def _coco(runs: Runs) -> Runs:
    return runs if runs.columns and runs.box is None else Runs.of(runs.decode(), columns=True)


def from_cvat(text: str, size: tuple[int, int], box: Box) -> Runs:
    """Decode CVAT's `rle="3, 5, 7"`: runs along the rows of a box, outside first.

    Args:
        text: the run lengths.
        size: (H, W) of the image.
        box: the box of the mask, from `top`, `left`, `height` and `width`.

    Raises:
        SalignError: the text holds something else than whole numbers, or the runs do not fill the box.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and len(part) < 10 for part in parts):
        raise SalignError("CVAT run lengths are whole numbers with commas between")
    return Runs(size, run_counts([int(part) for part in parts]), box)


def to_cvat(mask: np.ndarray) -> tuple[str, Box]:
    """Encode a mask `(H, W)` bool that is not empty as CVAT's text, and return the text and the mask's bounding box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    text = ", ".join(map(str, Runs.of(part).counts.tolist()))
    return text, (top, left, part.shape[0], part.shape[1])


def from_label_studio(data: bytes, size: tuple[int, int]) -> Runs:
    """Decode Label Studio's brush mask, an RGBA picture packed by thi.ng's rle-pack.

    A pixel is inside the mask if its alpha is 128 or more. The data are bits, highest first. They begin with 32 bits
    for the number of values (4 H W), 5 bits for the bits per value less 1, and four times 4 bits for the bits of a
    length less 1. Blocks follow. Each block has 1 bit (1 for one value that is repeated, 0 for a sequence of values), 2
    bits for which of the four length sizes is used, the length less 1, and the value or the values.

    Args:
        data: the packed bytes.
        size: (H, W) of the image.

    Raises:
        SalignError: the picture has another size or other bits per value, or the data end early.
    """
    height, width = checked_size(*size)
    bits = _Bits(data)
    total, word = bits.take(32), bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    if total != 4 * height * width or word != _WORD:
        raise SalignError(
            f"expected {4 * height * width} values of {_WORD} bits (RGBA of {width} x {height} pixels), "
            f"got {total} of {word}"
        )
    mask = np.zeros(height * width, dtype=bool)
    begin = 0
    while begin < total:
        # A block holds one value that is repeated, or a sequence of values. Only every fourth value is an alpha. The
        # pixels whose alpha lies in this block are `inside`, and the block's first alpha is its value 3 - begin % 4.
        repeated = bits.take(1)
        end = begin + 1 + bits.take(sizes[bits.take(2)])
        if end > total:
            raise SalignError(f"the packed mask goes on after its {total} values")
        inside = slice(begin // 4, end // 4)  # alpha is the last of a pixel's four values
        if repeated:
            mask[inside] = bits.take(_WORD) >= 128
        else:
            mask[inside] = bits.words(end - begin)[3 - begin % 4 :: 4] >= 128
        begin = end
    return Runs.of(mask.reshape(height, width))


class _Bits:
    """Reads numbers from packed bits, highest bit first; raises a SalignError when the data end early."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        start, end = self._advance(count)
        whole = int.from_bytes(self.data[start // 8 : -(-end // 8)], "big")
        return (whole >> (-end % 8)) & ((1 << count) - 1)

    def words(self, count: int) -> np.ndarray:
        """Return the next `count` values of 8 bits as `(count,)`; they may begin anywhere in a byte."""
        start, end = self._advance(_WORD * count)
        # If the values do not begin at the start of a byte, each is put together from two neighbouring bytes.
        raw = np.frombuffer(self.data[start // 8 : -(-end // 8)], dtype=np.uint8).astype(np.uint16)
        shift = start % 8
        return raw if not shift else (raw[:-1] << shift | raw[1:] >> (8 - shift)) & 255

    def _advance(self, count: int) -> tuple[int, int]:
        start, self.at = self.at, self.at + count
        if self.at > 8 * len(self.data):
            raise SalignError("the packed mask ends early")
        return start, self.at
