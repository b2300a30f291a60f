"""The place of a map's weight in an image, in figures and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

_FIELDS = (
    ("upper left", "upper middle", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "lower middle", "lower right"),
)
_EDGE = 0.1
"""Width of the edge along the four sides, as a share of the image's width or height: the edge is 36 % of the area."""


class MapSummary(BaseModel):
    """Where the weight of a map lies. The weight of a pixel is its value divided by the sum of all values."""

    half: float = Field(description="The smallest share of the image that holds half of the weight, in (0, 1].")
    edge: float = Field(
        description="The share of the weight in the outer tenth along the four sides, 36 % of the area."
    )
    ninths: list[list[float]] = Field(
        description="The shares of the weight in three rows of three equal fields, from the upper left; they sum to 1."
    )
    words: str = Field(description="The same in words.")


def summarise_map(values: NDArray[Any]) -> MapSummary | None:
    """Say where the weight of a map `(h, w)` in [0, 1] lies; None for a map of zeros."""
    total = float(values.sum())
    if total <= 0:
        return None
    weights = values.astype(np.float64) / total
    high, wide = weights.shape
    largest = np.sort(weights, axis=None)[::-1].cumsum()
    half = float(np.searchsorted(largest, 0.5 - 1e-9) + 1) / weights.size
    ninths = _shares(high, (0, 1 / 3, 2 / 3, 1)) @ weights @ _shares(wide, (0, 1 / 3, 2 / 3, 1)).T
    inner = _shares(high, (_EDGE, 1 - _EDGE)) @ weights @ _shares(wide, (_EDGE, 1 - _EDGE)).T
    edge = 1 - float(inner[0, 0])
    row, column = np.unravel_index(int(ninths.argmax()), ninths.shape)
    words = (
        f"Half of the map's weight lies on {half:.0%} of the image. Of nine equal fields, "
        f"the {_FIELDS[row][column]} one has the most: {ninths[row, column]:.0%}. The outer tenth along the "
        f"sides, 36% of the image, has {edge:.0%}."
    )
    return MapSummary(half=half, edge=edge, ninths=ninths.tolist(), words=words)


def _shares(cells: int, bounds: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the share of each cell of an axis that lies between two neighbouring bounds, `(len(bounds) - 1, cells)`.

    The axis goes from 0 to 1 and is divided into `cells` equal cells.
    """
    low, high = np.array(bounds[:-1])[:, None] * cells, np.array(bounds[1:])[:, None] * cells
    begin = np.arange(cells)
    return np.clip(np.minimum(high, begin + 1) - np.maximum(low, begin), 0, 1)
