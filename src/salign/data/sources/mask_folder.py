"""A folder of masks or grey maps with the names of the images, of one annotator or of several."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from salign.data.annotations import Annotated
from salign.data.image import ImageError, image_size, read_image, read_saliency
from salign.data.manifest import Fault, ManifestError
from salign.data.matching import Images
from salign.data.sources.stored import MOST_PIXELS, Names, keep
from salign.types import SalignError

LEAST = 16 / 255
"""A map whose brightest pixel is darker holds numbers of classes rather than grey values."""


def read_masks(
    path: Path | str, *, pattern: str = "{image}", values: Literal["grey", "nonzero"] = "grey"
) -> list[Annotated]:
    """Read every picture of a folder and the folders below as the map of an image.

    Args:
        path: the folder; hidden files, and links that lead out of it, are left out.
        pattern: what a path below the folder says, see `stored.Names`: `{annotator}/{image}`, `{image}_mask`, ...
        values: `grey`: the full range of the bit depth is 0..1, as `salign.data.image.read_saliency` reads a map.
            `nonzero`: everything that is not black is marked (class numbers, coloured masks).

    Returns:
        One per file, by path; a black picture says "looked and marked nothing". Yes-or-no masks are held as run
        lengths, grey maps read again when they are drawn.

    Raises:
        SalignError: no such folder, no picture in it, or a pattern that is none.
        ManifestError: everything wrong with the files: damaged, too large, coloured, as dark as class numbers, or of
            another pattern.
    """
    if values not in ("grey", "nonzero"):
        raise SalignError(f"values of masks are grey or nonzero, not {values!r}")
    folder, names = Path(path), Names(pattern)
    found: list[Annotated] = []
    faults: list[Fault] = []
    for name in Images.below(folder).paths:
        file = folder / name

        def load(file: Path = file, name: str = name) -> np.ndarray:
            return _read(file, name, nonzero=values == "nonzero")

        try:
            found.append(names.annotated(str(PurePosixPath(name).with_suffix("")), *keep(load(), load)))
        except SalignError as error:
            faults.append(Fault(None, name, str(error).removeprefix(f"{name}: ")))
    if faults:
        raise ManifestError.of(faults, str(folder))
    return found


def _read(file: Path, name: str, *, nonzero: bool) -> np.ndarray:
    """`(H, W)` float32 in [0, 1]."""
    height, width = image_size(file, where=name)
    if height * width > MOST_PIXELS:
        raise ImageError(f"{name}: {width} x {height} pixels; maps up to {MOST_PIXELS:,} pixels are read: shrink it")
    if nonzero:
        return np.asarray((read_image(file, where=name).numpy() > 0).any(0), dtype=np.float32)
    values: np.ndarray = read_saliency(file, where=name).numpy()
    if 0 < values.max() < LEAST:
        raise ImageError(
            f"{name}: the brightest of its pixels has {values.max():.2%} of the full range, as if they were numbers of "
            "classes; if all that is not black is marked, say so (values = nonzero)"
        )
    return values
