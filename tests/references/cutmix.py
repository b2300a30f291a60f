"""CutMix by loops: a box of one image in another (Yun et al. 2019, arXiv 1905.04899, eq. 2)."""

from __future__ import annotations

import math


def cutmix(image, other, lam, row, column):
    """Images as nested lists `[channel][row][column]`; `row` and `column` are the centre, as shares."""
    height, width = len(image[0]), len(image[0][0])
    tall, wide = int(height * math.sqrt(1 - lam)), int(width * math.sqrt(1 - lam))
    middle, centre = int(row * height), int(column * width)
    mixed = [[list(values) for values in channel] for channel in image]
    for y in range(max(0, middle - tall // 2), min(height, middle + tall // 2)):
        for x in range(max(0, centre - wide // 2), min(width, centre + wide // 2)):
            for channel, source in zip(mixed, other, strict=True):
                channel[y][x] = source[y][x]
    return mixed
