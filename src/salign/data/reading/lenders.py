"""Draw an image that lends its surroundings to another image."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from salign.data.manifest import Manifest

Lender = Literal["same_class", "other_class", "any"]
"""Which images may lend their surroundings to an image."""
_Positions = NDArray[np.int64]


class Lenders:
    """Draws a lender for an image, all permitted lenders being equally likely, without a search through all images.

    Args:
        rows: the images. Rows with the same path are the same image, and lend nothing to each other.
        labels: `(N,)` class numbers; or `(N, K)` if an image may have several labels, where the set of its labels is
            its class.
        among: which images may lend: those of the "same_class", of an "other_class", or "any" other image.
        may: `(N,)` bool: which rows may lend at all.
    """

    def __init__(self, rows: Manifest, labels: np.ndarray, among: Lender, may: np.ndarray) -> None:
        self.among = among
        self._kinds = labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
        self._images = pd.factorize(rows.table["path"])[0]
        self._lending = np.flatnonzero(may)
        # For each class, sorted: the places of its lenders in `_lending`, and the number of lenders of other classes
        # before each of these places.
        self._of_kind = _places(self._kinds[self._lending])
        self._others_before = {kind: at - np.arange(len(at)) for kind, at in self._of_kind.items()}
        repeated = len(rows.table) > self._images.max(initial=-1) + 1
        self._copies = _places(self._images) if repeated else {}

    def draw(self, i: int) -> int | None:
        """Draw the position of a lender for the image at `i` from torch's global generator; None if there is none."""
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
    """Draw one of `count` places, except for the excluded places; None if all are excluded.

    `others_before` has an entry for each excluded place, in their order: how many places that are not excluded lie
    before it.
    """
    left = count - len(others_before)
    if not left:
        return None
    k = int(torch.randint(left, ()))
    return k + int(np.searchsorted(others_before, k, side="right"))


def _places_in(values: _Positions, some: _Positions) -> _Positions:
    """Return the places in `values` of those of `some` that occur there; both are sorted."""
    places = np.searchsorted(values, some)
    inside = places < len(values)
    return places[inside][values[places[inside]] == some[inside]]


def _places(values: np.ndarray) -> dict[int, _Positions]:
    """Return, for each value, the places at which it occurs, in order."""
    if not len(values):
        return {}
    order = np.argsort(values, kind="stable")
    kinds, starts = np.unique(values[order], return_index=True)
    return dict(zip(kinds.tolist(), np.split(order, starts[1:]), strict=True))
