"""How alike the maps of different images are, which decides whether `shuffled` maps are a control at all.

If every object is in the middle of its image, the map of another image marks nearly the same place, and training with
it teaches nearly the same as training with the image's own map. The mean correlation computed here shows this before
anything is trained.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.maps.tensor_ops import resize, varies

ALIKE = 0.5
"""From this mean correlation on, `shuffled` is hardly a control, because maps share a quarter of their variance."""

_GRID = 32


def sample_mapped(manifest: Manifest, most: int) -> Manifest:
    """Return the rows that have a map; if there are more than `most` of them, return `most`, evenly spread."""
    mapped = np.flatnonzero(manifest.table["saliency"].notna().to_numpy(dtype=bool))
    spread = np.unique(np.linspace(0, len(mapped) - 1, min(len(mapped), most)).round().astype(int))
    return manifest.take(mapped[spread])


def shuffled_correlation(manifest: Manifest) -> float:
    """Read all maps of a manifest and return the mean correlation of two of them; see `MeanCorrelation`.

    Args:
        manifest: the rows whose maps are shuffled, which are the training rows of a run.

    Returns:
        A value in [-1, 1]; NaN if fewer than two maps have a shape.

    Raises:
        ImageError: a map cannot be read.
    """
    correlation = MeanCorrelation()
    for i in range(len(manifest)):
        path = manifest.saliency_path(i)
        if path is not None:
            correlation.add(standardised(read_saliency(path, where=manifest.where(i, "saliency"))))
    return correlation.mean


class MeanCorrelation:
    """The mean of Pearson's correlation over all pairs of different maps, computed in constant memory.

    Each map is first brought to 32 x 32 cells, whatever its shape, as a shuffled map is stretched to its new image.
    `shuffled` gives every ordered pair of different images the same probability, so this mean is the expected
    correlation of an image's own map with its shuffled map. If z_i are the maps at mean 0 and norm 1, the correlation
    of a pair is z_i . z_j, and the mean over all pairs is (|sum_i z_i|^2 - n) / (n (n - 1)).
    """

    def __init__(self) -> None:
        self._total = np.zeros(_GRID * _GRID)
        self.maps = 0
        """Number of maps with a shape that were added."""

    def add(self, shape: np.ndarray | None) -> None:
        """Add a map as `standardised` gives it; None, which is a map without a shape, does not count."""
        if shape is not None:
            self._total += shape
            self.maps += 1

    @property
    def mean(self) -> float:
        """The mean correlation, in [-1, 1]; NaN if fewer than two maps were added."""
        if self.maps < 2:
            return math.nan
        return float((self._total @ self._total - self.maps) / (self.maps * (self.maps - 1)))


def standardised(values: Tensor) -> np.ndarray | None:
    """Bring a map `(H, W)` to 32 x 32 cells with mean 0 and norm 1, `(1024,)` float64; None if it has no shape."""
    small = resize(values.double(), (_GRID, _GRID))
    if not bool(varies(small)):
        return None
    centred = (small - small.mean()).flatten().numpy()
    return np.asarray(centred / np.linalg.norm(centred))
