"""The type of a saliency map, made by people or by a model, together with its provenance."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from salign.errors import SalignError

_PROVENANCE = re.compile(r"(human|model):\S.*|mask|unknown")


@dataclass(frozen=True)
class SaliencyMap:
    """A saliency map: how much each pixel mattered to somebody, from 0 (not at all) to 1.

    A blank map (all zeros) says "looked and marked nothing". An image at which nobody looked has no map, which is
    written as `None`.

    Raises:
        SalignError: the values are not a 2-D, non-empty, finite float32 tensor within [0, 1], or the provenance has
            none of the forms listed at `provenance`.
    """

    values: Tensor
    """`(H, W)` float32 in [0, 1]."""
    provenance: str = "unknown"
    """`human:<who>`, `model:<which>`, `mask` (a segmentation used as a map) or `unknown`."""

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor):
            raise SalignError(f"a saliency map is a tensor; got {type(self.values).__name__}: SaliencyMap.from_array")
        shape = tuple(self.values.shape)
        if len(shape) != 2 or 0 in shape:
            raise SalignError(f"a saliency map is (H, W) with H, W >= 1; got shape {shape}")
        if self.values.dtype != torch.float32:
            raise SalignError(
                f"a saliency map is float32 in [0, 1]; got {self.values.dtype}. SaliencyMap.from_array scales"
            )
        if not bool(torch.isfinite(self.values).all()):
            raise SalignError("a saliency map is finite everywhere; got NaN or infinity. Repair the map at its source")
        low, high = self.values.min().item(), self.values.max().item()
        if low < 0 or high > 1:
            raise SalignError(f"a saliency map lies in [0, 1]; got {low:g} to {high:g}. Scale it, e.g. with min_max")
        if not _PROVENANCE.fullmatch(self.provenance):
            raise SalignError(
                f"provenance is 'human:<who>', 'model:<which>', 'mask' or 'unknown'; got {self.provenance!r}"
            )

    @classmethod
    def from_array(cls, array: np.ndarray | Tensor, provenance: str = "unknown") -> SaliencyMap:
        """Make a saliency map of an array as image tools store it.

        Args:
            array: `(H, W)`; bool; uint8 or uint16, whose full range becomes [0, 1]; or floating point in [0, 1].
            provenance: see the field of that name.

        Raises:
            SalignError: the array has another type, or the class refuses its values or the provenance.
        """
        values = np.asarray(array.detach().cpu() if isinstance(array, Tensor) else array)
        if values.dtype in (np.uint8, np.uint16):
            values = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
        elif values.dtype == np.bool_ or np.issubdtype(values.dtype, np.floating):
            values = values.astype(np.float32)
        else:
            raise SalignError(
                f"a map array is bool, uint8, uint16 or floating point; got {values.dtype}, whose range for "
                "'fully salient' is unknown. Convert it to floating point in [0, 1]"
            )
        return cls(torch.from_numpy(np.ascontiguousarray(values)), provenance)
