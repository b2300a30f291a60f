"""Which image lends another one its surroundings."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from salign.data.manifest import Manifest

Lender = Literal["same_class", "other_class", "any"]
"""Which images may lend another one their surroundings."""
_Positions = NDArray[np.int64]


class Lenders:
    """Draws a lender for an image, each that may lend being equally likely, without looking through all of them.

    Args:
        rows: the images; rows of one path are one image, and lend nothing to each other.
        labels: `(N,)` class numbers, or `(N, K)` where an image may have several labels: these are its class together.
        among: those of the "same_class", of an "other_class", or "any" other image.
        may: `(N,)` bool: who lends at all.
    """

    def __init__(self, rows: Manifest, labels: np.ndarray, among: Lender, may: np.ndarray) -> None:
        self.among = among
        self._kinds = labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
        self._images = pd.factorize(rows.table["path"])[0]
        self._lending = np.flatnonzero(may)
        # of each class, in order: the places in `_lending`, and how many lenders of other classes lie before each
        self._of_kind = _places(self._kinds[self._lending])
        self._others_before = {kind: at - np.arange(len(at)) for kind, at in self._of_kind.items()}
        repeated = len(rows.table) > self._images.max(initial=-1) + 1
        self._copies = _places(self._images) if repeated else {}

    def draw(self, i: int) -> int | None:
        """The position of an image that lends to the one at `i`, by torch's generator; None where there is none."""
        kind = int(self._kinds[i])
        own = self._of_kind.get(kind, np.empty(0, np.int64))
        if self.among == "other_class":
            k = _draw_from(len(self._lending), self._others_before.get(kind, own))
            return None if k is None else int(self._lending[k])
        copies = _places_in(self._lending, self._copies.get(int(self._images[i]), np.array([i])))
        if self.among == "any":
            k = _draw_from(len(self._lending), copies - np.arange(len(copies)))
            return None if k is None else int(self._lending[k])
        copies = _places_in(own, copies)
        k = _draw_from(len(own), copies - np.arange(len(copies)))
        return None if k is None else int(self._lending[own[k]])


def _draw_from(count: int, others_before: _Positions) -> int | None:
    """One of so many places but for some, of each of which, in order, it is known how many others lie before it."""
    left = count - len(others_before)
    if not left:
        return None
    k = int(torch.randint(left, ()))
    return k + int(np.searchsorted(others_before, k, side="right"))


def _places_in(values: _Positions, some: _Positions) -> _Positions:
    """Where among the values some others are that may be among them; both are sorted."""
    places = np.searchsorted(values, some)
    inside = places < len(values)
    return places[inside][values[places[inside]] == some[inside]]


def _places(values: np.ndarray) -> dict[int, _Positions]:
    """Value -> the places at which it stands, in their order."""
    if not len(values):
        return {}
    order = np.argsort(values, kind="stable")
    kinds, starts = np.unique(values[order], return_index=True)
    return dict(zip(kinds.tolist(), np.split(order, starts[1:]), strict=True))
