"""Where in an image a map lies, in figures and in words."""

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
"""This share of each side is edge: 36 % of the area in all."""


class MapSummary(BaseModel):
    """Where the weight of a map lies. The map is scaled to [0, 1], and its values are weights that sum to 1."""

    half: float = Field(description="The smallest share of the image that holds half of the weight, in (0, 1].")
    edge: float = Field(
        description="The share of the weight in the outer tenth along the four sides, 36 % of the area."
    )
    ninths: list[list[float]] = Field(
        description="The shares of the weight in three rows of three equal fields, from the upper left; they sum to 1."
    )
    words: str = Field(description="The same in words.")


def summarise_map(values: NDArray[Any]) -> MapSummary | None:
    """Say where a map `(h, w)` in [0, 1] lies; None for a map of zeros."""
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
    """`(len(bounds) - 1, cells)`: which share of each cell of an axis from 0 to 1 lies between two bounds."""
    low, high = np.array(bounds[:-1])[:, None] * cells, np.array(bounds[1:])[:, None] * cells
    begin = np.arange(cells)
    return np.clip(np.minimum(high, begin + 1) - np.maximum(low, begin), 0, 1)
