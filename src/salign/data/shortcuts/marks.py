"""The marks that `plant` puts into images: one picture per class, all of the same size, told apart at a glance."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Kind = Literal["patch", "text", "border"]
Pixels = npt.NDArray[np.uint8]

# Each function gives a number for each pixel of the square [-1, 1]^2. A shape consists of the pixels with the smallest
# numbers, and all shapes have the same number of pixels.
_SHAPES: tuple[Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]], ...] = (
    lambda x, y: np.abs(np.hypot(x, y) - 0.7),  # ring
    lambda x, y: np.minimum(np.abs(x), np.abs(y)),  # cross
    lambda x, y: np.hypot(x, y),  # disc
    lambda x, y: np.minimum(np.abs(x - y), np.abs(x + y)),  # diagonal cross
    lambda x, y: np.abs(np.abs(y) - 0.55),  # two horizontal bars
    lambda x, y: np.abs(np.abs(x) - 0.55),  # two vertical bars
    lambda x, y: np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.8),  # frame
    lambda x, y: np.minimum(np.abs(y - 0.8), np.abs(x + 0.8)),  # corner
    lambda x, y: np.abs(y),  # horizontal bar
    lambda x, y: np.abs(x),  # vertical bar
)
_TAGS = ("L1", "R7", "AP", "XK", "M3", "W5", "SE", "QO", "HH", "V0")
MOST_CLASSES = len(_SHAPES)
SIDES = ("top", "bottom", "left", "right")

_SHARE = 0.4  # the share of a patch that its shape covers


def mark(kind: Kind, number: int, side: int) -> Pixels:
    """Draw the mark of class `number`.

    Args:
        kind: `patch`: a coloured shape on black, `side` x `side`. `text`: a white tag on black, `side` high and twice
            as wide. `border`: a coloured strip, `side` / 4 thick and 5 `side` long (upright for left and right).
        number: Number of the class, from 0 and below `MOST_CLASSES`.
        side: Length in pixels, at least 4.

    Returns:
        `(h, w, 3)` uint8; `h * w` is the same for every class, and so is the number of coloured pixels of a patch.
    """
    if kind == "patch":
        return _patch(number, side)
    return _text(number, side) if kind == "text" else _strip(number, side)


def _colour(number: int) -> Pixels:
    """Return the RGB colour of a class; hues are three tenths of a circle apart, so that the first few differ most."""
    return np.array([round(255 * part) for part in colorsys.hsv_to_rgb(number * 0.3 % 1, 1, 1)], dtype=np.uint8)


def _patch(number: int, side: int) -> Pixels:
    centres = (np.arange(side) + 0.5) / side * 2 - 1
    rank = _SHAPES[number](centres[None, :], centres[:, None]) + np.zeros((side, side))
    inside = np.argsort(rank, axis=None, kind="stable")[: round(_SHARE * side * side)]
    pixels = np.zeros((side * side, 3), dtype=np.uint8)
    pixels[inside] = _colour(number)
    return pixels.reshape(side, side, 3)


def _text(number: int, side: int) -> Pixels:
    large = Image.new("L", (256, 128))
    font = ImageFont.load_default(120)
    ImageDraw.Draw(large).text((128, 64), _TAGS[number], fill=255, font=font, anchor="mm")
    grey = np.asarray(large.resize((2 * side, side), Image.Resampling.BOX))
    return np.repeat(grey[..., None], 3, axis=2)


def _strip(number: int, side: int) -> Pixels:
    thick, long = max(2, side // 4), 5 * side
    shape = (thick, long) if number % 4 < 2 else (long, thick)
    return np.broadcast_to(_colour(number), (*shape, 3)).copy()
