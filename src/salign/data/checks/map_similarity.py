"""How much one image's map says about another's: whether `shuffled` maps are a control at all.

Where every object stands in the middle, another image's map marks nearly the same place, and training with it teaches
nearly what training with the own map does. The number below says so before anything is trained.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency
from salign.maps.tensor_ops import resize, varies

ALIKE = 0.5
"""Mean correlation from which `shuffled` is hardly a control: a quarter of the variance is shared then."""

_GRID = 32


def sample_mapped(manifest: Manifest, most: int) -> Manifest:
    """The rows that have a map; of more than `most` so many, evenly spread."""
    mapped = np.flatnonzero(manifest.table["saliency"].notna().to_numpy(dtype=bool))
    spread = np.unique(np.linspace(0, len(mapped) - 1, min(len(mapped), most)).round().astype(int))
    return manifest.take(mapped[spread])


def shuffled_correlation(manifest: Manifest) -> float:
    """Read all maps of a manifest and give the mean correlation of two of them, as `MeanCorrelation` does.

    Args:
        manifest: the rows whose maps are shuffled, which are the training rows of a run.

    Returns:
        A value in [-1, 1]; NaN where fewer than two maps have a shape.

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
    """The mean of Pearson's correlation over all pairs of different maps, at constant memory.

    Each map is brought to 32 x 32 cells first, whatever its shape, as a shuffled map is stretched onto its new image.
    `shuffled` gives every ordered pair of different images the same probability, so this mean is exactly what an own
    and a shuffled map correlate by in expectation. With z the maps at mean 0 and norm 1, the correlation of a pair is
    z_i . z_j, and the mean over all pairs is (|sum_i z_i|^2 - n) / (n (n - 1)).
    """

    def __init__(self) -> None:
        self._total = np.zeros(_GRID * _GRID)
        self.maps = 0
        """How many maps with a shape were added."""

    def add(self, shape: np.ndarray | None) -> None:
        """Count a map as `standardised` gives it; None, a map without a shape, does not count."""
        if shape is not None:
            self._total += shape
            self.maps += 1

    @property
    def mean(self) -> float:
        """In [-1, 1]; NaN of fewer than two maps."""
        if self.maps < 2:
            return math.nan
        return float((self._total @ self._total - self.maps) / (self.maps * (self.maps - 1)))


def standardised(values: Tensor) -> np.ndarray | None:
    """`(H, W)` -> `(1024,)` float64, a map at 32 x 32 cells with mean 0 and norm 1; None where it has no shape."""
    small = resize(values.double(), (_GRID, _GRID))
    if not bool(varies(small)):
        return None
    centred = (small - small.mean()).flatten().numpy()
    return np.asarray(centred / np.linalg.norm(centred))
