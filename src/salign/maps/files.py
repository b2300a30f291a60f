"""Maps as files: 16-bit grey PNG, whose full range is [0, 1]."""

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
    """Write `(H, W)` values in [0, 1], rounded to 1 / 65535, whole or not at all; `read_saliency` gives them back.

    It does not wait for the disk: of thousands of maps, a power cut may leave some damaged, which reading then tells.

    Raises:
        SalignError: values that are no such map; they would come out as others.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or not (numbers.min(initial=0) >= 0 and numbers.max(initial=1) <= 1):
        low, high = numbers.min(initial=np.inf), numbers.max(initial=-np.inf)
        raise SalignError(f"{path}: expected a map (H, W) from 0 to 1, got {numbers.shape} from {low:g} to {high:g}.")
    with replacing(path, sync=False) as partial:  # at level 1 a file is hardly larger and written in half the time
        Image.fromarray(np.round(numbers * 65535).astype(np.uint16)).save(partial, format="PNG", compress_level=1)
    return path
