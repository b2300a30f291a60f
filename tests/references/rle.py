"""Run lengths, pixel by pixel and bit by bit."""

from __future__ import annotations

import numpy as np


def runs(flat: list[bool]) -> list[int]:
    """Lengths of equal stretches, beginning with one of False (which may be 0 long)."""
    counts, current = [0], False
    for value in flat:
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return counts


def coco_counts(mask: np.ndarray) -> list[int]:
    return runs([bool(mask[i, j]) for j in range(mask.shape[1]) for i in range(mask.shape[0])])


def cvat_counts(mask: np.ndarray, top: int, left: int, height: int, width: int) -> list[int]:
    return runs([bool(mask[top + i, left + j]) for i in range(height) for j in range(width)])


def packed(mask: np.ndarray, sizes: tuple[int, int, int, int] = (3, 4, 8, 16), paint: int = 255) -> list[int]:
    """Label Studio's brush: red, green, blue and alpha of each pixel, packed as thi.ng's rle-pack does."""
    colours = [(226, 30, 20, paint) if pixel else (0, 0, 0, 0) for pixel in mask.ravel().tolist()]
    values = [channel for colour in colours for channel in colour]
    bits = format(len(values), "032b") + format(7, "05b") + "".join(format(size - 1, "04b") for size in sizes)
    k = 0
    while k < len(values):
        same = 1
        while k + same < len(values) and values[k + same] == values[k] and same < 2 ** max(sizes):
            same += 1
        if same > 1:
            bits += "1" + length(same, sizes) + format(values[k], "08b")
            k += same
            continue
        single, most = 1, 2 ** max(sizes)
        while k + single + 1 < len(values) and values[k + single] != values[k + single + 1] and single < most:
            single += 1
        bits += "0" + length(single, sizes) + "".join(format(value, "08b") for value in values[k : k + single])
        k += single
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def length(count: int, sizes: tuple[int, int, int, int]) -> str:
    which = next(k for k, size in enumerate(sizes) if count <= 2**size)
    return format(which, "02b") + format(count - 1, f"0{sizes[which]}b")
