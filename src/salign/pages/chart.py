"""Lines over epochs as a picture for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from salign.errors import SalignError

_WIDTH, _HEIGHT, _LEFT, _BELOW = 480, 260, 52, 24
_INK, _GRID = (40, 40, 40), (215, 215, 215)
_COLOURS = ((31, 119, 180), (214, 95, 14), (44, 140, 44), (148, 103, 189))


def line_chart(lines: Mapping[str, Sequence[float]]) -> Image.Image:
    """Draw up to four lines over epochs 0, 1, ..., their names beside them; what is not finite is left out.

    Args:
        lines: name -> a value per epoch.

    Raises:
        SalignError: there is no finite value, or there are more lines.
    """
    finite = [value for line in lines.values() for value in line if math.isfinite(value)]
    if not finite or len(lines) > len(_COLOURS):
        raise SalignError(f"a chart has 1 to {len(_COLOURS)} lines with finite values, got {len(lines)}.")
    low, high = min(finite), max(finite)
    spread = high - low or 1.0
    last = max(max(len(line) for line in lines.values()) - 1, 1)
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), (255, 255, 255))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    top, right = 8 + 16 * len(lines), _WIDTH - 10

    def at(epoch: int, value: float) -> tuple[float, float]:
        across = _LEFT + (right - _LEFT) * epoch / last
        return across, _HEIGHT - _BELOW - (_HEIGHT - _BELOW - top) * (value - low) / spread

    for value in (low, (low + high) / 2, high):
        height = at(0, value)[1]
        pen.line([(_LEFT, height), (right, height)], fill=_GRID)
        pen.text((4, height - 7), f"{value:.3g}", fill=_INK, font=font)
    pen.text((_LEFT, _HEIGHT - 18), "epoch 0", fill=_INK, font=font)
    pen.text((right - 24, _HEIGHT - 18), str(last), fill=_INK, font=font)
    for number, (name, line) in enumerate(lines.items()):
        pen.text((_LEFT, 4 + 16 * number), name, fill=_COLOURS[number], font=font)
        points = [at(epoch, value) for epoch, value in enumerate(line) if math.isfinite(value)]
        pen.line(points, fill=_COLOURS[number], width=2)
        for across, height in points if len(points) < 40 else ():
            pen.ellipse([across - 2, height - 2, across + 2, height + 2], fill=_COLOURS[number])
    return picture
