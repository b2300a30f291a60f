"""Lines over epochs as a picture for a page."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from PIL import Image

from salign.errors import SalignError

_MOST = 10
"""Matplotlib has so many colours that are told apart."""


def line_chart(lines: Mapping[str, Sequence[float]], epochs: Sequence[int] | None = None) -> Image.Image:
    """Draw lines over epochs, with their names; values that are not finite leave a gap.

    Args:
        lines: name -> a value per epoch.
        epochs: which epochs the values are of; 0, 1, ... when None.

    Returns:
        `(480, 270)` pixels, RGB.

    Raises:
        SalignError: there is no finite value, or there are more lines than colours.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not 1 <= len(lines) <= _MOST or not any(math.isfinite(value) for line in lines.values() for value in line):
        raise SalignError(f"a chart has 1 to {_MOST} lines with finite values, got {len(lines)}.")
    figure = Figure(figsize=(4.8, 2.7), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, line in lines.items():
        axes.plot(
            range(len(line)) if epochs is None else epochs, line, marker="." if len(line) < 40 else None, label=name
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return Image.open(stream).convert("RGB")
