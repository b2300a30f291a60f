"""Three tools' ways to write run lengths down: COCO's string, CVAT's list, Label Studio's packed bits.

All become `Runs`. They differ in more than the spelling: COCO goes down the columns of the image, CVAT along the rows
of the mask's box, Label Studio along the rows of an RGBA picture whose channels follow each other.
"""

from __future__ import annotations

import numpy as np

from salign.annotations.rle import Box, Runs, checked_size, run_counts
from salign.errors import SalignError

_GROUPS = 7
"""Most characters of one COCO number: 35 bits hold any difference of two runs."""
_WORD = 8
"""Bits per channel value in Label Studio's masks."""


def from_coco_string(text: str, size: tuple[int, int]) -> Runs:
    """COCO's compressed counts.

    As cocoapi's `rleFrString`: every number is the difference to the one before the last (from the fourth on), in
    groups of five bits, lowest first, each in a character 48 + bits + 32 if another follows; the highest bit of the
    last group is the sign.

    Raises:
        SalignError: a character that cannot occur, a number that is cut off or too long, or runs that do not add up.
    """
    checked_size(*size)
    # 1. Each character is a group: five bits of a number, and bit 32 says that the number goes on.
    groups = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if not groups.size:
        raise SalignError("the run lengths are empty")
    if groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        raise SalignError("damaged: COCO run lengths use the characters 0 to o, and end with a whole number")
    # 2. A group without bit 32 ends a number; so the first and last group of every number are known.
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _GROUPS:
        raise SalignError(f"a COCO run length has up to {_GROUPS} characters; one has {lengths.max()}")
    # 3. The lowest five bits come first. The highest bit of the last group is the sign: two's complement.
    shift = 5 * (np.arange(groups.size) - np.repeat(first, lengths))
    values = np.add.reduceat((groups & 31) << shift, first)
    values -= np.where(groups[last] & 16, np.int64(1) << (5 * lengths), 0)
    # 4. From the fourth on a number is the difference to the one before the last. So the numbers at odd places are
    # summed up, and those at even places from the third on.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return Runs(size, values, columns=True)


def to_coco_string(runs: Runs) -> str:
    """The inverse of `from_coco_string`; other runs than COCO's are turned into them first."""
    counts = _coco(runs).counts.astype(np.int64)
    # Differences first, then groups of five bits, lowest first. The last group is the one after which only the sign is
    # left.
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
    """COCO's uncompressed counts: down the columns of the whole image, outside first."""
    return [int(count) for count in _coco(runs).counts]


def _coco(runs: Runs) -> Runs:
    return runs if runs.columns and runs.box is None else Runs.of(runs.decode(), columns=True)


def from_cvat(text: str, size: tuple[int, int], box: Box) -> Runs:
    """CVAT's `rle="3, 5, 7"` with `left`, `top`, `width`, `height`: along the rows of that box, outside first.

    Raises:
        SalignError: something else than whole numbers, or runs that do not fill the box.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and len(part) < 10 for part in parts):
        raise SalignError("CVAT run lengths are whole numbers with commas between")
    return Runs(size, run_counts([int(part) for part in parts]), box)


def to_cvat(mask: np.ndarray) -> tuple[str, Box]:
    """An `(H, W)` bool mask with something in it -> CVAT's text, and the box around what is inside."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    text = ", ".join(map(str, Runs.of(part).counts.tolist()))
    return text, (top, left, part.shape[0], part.shape[1])


def from_label_studio(data: bytes, size: tuple[int, int]) -> Runs:
    """Label Studio's brush: an RGBA picture packed by thi.ng's rle-pack; a pixel is inside where alpha is 128 or more.

    Bits, highest first: 32 for how many values follow (4 H W), 5 for the bits per value less 1, four times 4 for
    the bits of a length less 1. Then blocks: 1 bit (1 = one value repeated, 0 = values one by one), 2 bits for which
    of the four length sizes is used, the length less 1, and the value or values.

    Raises:
        SalignError: another size, another kind of value, or the data end early.
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
        # A block has one value that repeats, or one value after the other. Only every fourth value is an alpha:
        # `inside` are the pixels whose alpha lies in this block, and the alphas begin at value 3 - begin % 4 of it.
        repeated = bits.take(1)
        end = begin + 1 + bits.take(sizes[bits.take(2)])
        if end > total:
            raise SalignError(f"the packed mask goes on after its {total} values")
        inside = slice(begin // 4, end // 4)  # pixels whose alpha, the last of four values, is in this block
        if repeated:
            mask[inside] = bits.take(_WORD) >= 128
        else:
            mask[inside] = bits.words(end - begin)[3 - begin % 4 :: 4] >= 128
        begin = end
    return Runs.of(mask.reshape(height, width))


class _Bits:
    """Reads bits, highest first; the end of the data is an error."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        start, end = self._advance(count)
        whole = int.from_bytes(self.data[start // 8 : -(-end // 8)], "big")
        return (whole >> (-end % 8)) & ((1 << count) - 1)

    def words(self, count: int) -> np.ndarray:
        """The next `count` bytes, `(count,)` uint8, wherever in a byte they begin."""
        start, end = self._advance(_WORD * count)
        # Where the bytes do not begin at the edge of a byte, each is put together from two neighbours.
        raw = np.frombuffer(self.data[start // 8 : -(-end // 8)], dtype=np.uint8).astype(np.uint16)
        shift = start % 8
        return raw if not shift else (raw[:-1] << shift | raw[1:] >> (8 - shift)) & 255

    def _advance(self, count: int) -> tuple[int, int]:
        start, self.at = self.at, self.at + count
        if self.at > 8 * len(self.data):
            raise SalignError("the packed mask ends early")
        return start, self.at
