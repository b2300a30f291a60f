"""Maps as files: 16-bit grey PNGs, in which 0 to 65535 stands for [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from salign.errors import SalignError
from salign.files import replacing

if TYPE_CHECKING:
    from torch import Tensor


def write_map(path: Path, values: np.ndarray | Tensor) -> Path:
    """Write a map `(H, W)` in [0, 1], rounded to 1 / 65535, whole or not at all; `read_saliency` reads it back.

    The function does not wait until the file is on the disk. A power cut may therefore damage a few of thousands of
    maps; reading a damaged map raises an error.

    Raises:
        SalignError: the values are not `(H, W)` or not within [0, 1].
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or not (numbers.min(initial=0) >= 0 and numbers.max(initial=1) <= 1):
        low, high = numbers.min(initial=np.inf), numbers.max(initial=-np.inf)
        raise SalignError(f"{path}: expected a map (H, W) from 0 to 1, got {numbers.shape} from {low:g} to {high:g}.")
    with replacing(path, sync=False) as partial:  # compress level 1: hardly larger, written in half the time
        Image.fromarray(np.round(numbers * 65535).astype(np.uint16)).save(partial, format="PNG", compress_level=1)
    return path
