"""A folder of masks or grey maps that are named as the images, by one annotator or by several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np
from PIL import Image

from salign.annotations.annotated import Annotated
from salign.annotations.formats.notes import Notes, Reader
from salign.annotations.formats.stored import MOST_PIXELS, Names, keep
from salign.annotations.match import Images
from salign.data.reading.image import FORMATS, ImageError, image_size, read_image, read_saliency
from salign.errors import SalignError, one_of

Values = Literal["grey", "nonzero"]
LEAST = 16 / 255
"""A map whose brightest pixel is below this share of the full range is taken to hold class numbers, not grey values."""
HALF = 0.5
"""The share of the full range from which on a pixel of a lossy mask is marked, if no threshold is given. Lossy
compression (JPEG) leaves ripples around the marks that are not exactly black."""


@Reader
def read_masks(
    path: Path, notes: Notes, *, pattern: str = "{image}", values: Values = "grey", threshold: float | None = None
) -> list[Annotated]:
    """Read every picture of a folder and the folders below as the map of an image; see `read_listed`.

    Args:
        path: the folder; hidden files, and links that lead out of it, are left out.
        notes: collects the faults of files.
        pattern: as for `read_listed`.
        values: as for `read_listed`.
        threshold: as for `read_listed`.

    Raises:
        SalignError: there is no such folder or no picture in it, or an option has no valid value.
    """
    return read_listed(path, None, notes, pattern=pattern, values=values, threshold=threshold)


def read_listed(
    path: Path,
    listed: Sequence[str] | None,
    notes: Notes,
    *,
    pattern: str = "{image}",
    values: Values = "grey",
    threshold: float | None = None,
) -> list[Annotated]:
    """Read some pictures of a folder as the maps of images.

    Args:
        path: the folder.
        listed: the paths of the pictures relative to the folder; None reads every picture.
        notes: collects the faults of files: they are damaged, too large, coloured, as dark as class numbers, or do not
            match the pattern.
        pattern: the meaning of a picture's path below the folder, e.g. `{annotator}/{image}` or `{image}_mask`; see
            `stored.Names`.
        values: with `grey`, the full range of the bit depth becomes 0..1, as `read_saliency` of `data.reading.image`
            does. With `nonzero`, every pixel that is not black is marked (for class numbers and coloured masks); in a
            lossy picture, every pixel that reaches `HALF`.
        threshold: if given, every pixel that reaches this share of the full range is marked; in (0, 1].

    Returns:
        One annotation per file, in the order of the paths. A black picture says "looked and marked nothing". Binary
        masks are kept as run lengths, grey maps are read again when they are drawn.

    Raises:
        SalignError: an option has no valid value.
    """
    one_of(values, get_args(Values), "values of masks")
    if threshold is not None and not 0 < threshold <= 1:
        raise SalignError(f"expected a threshold above 0 and up to 1, in shares of the full range; got {threshold:g}")
    names = Names(pattern)
    lossy: list[str] = []

    def read(name: str) -> list[Annotated]:
        file, least = path / name, threshold
        with_ripples = values == "nonzero" and threshold is None and _is_lossy(file)
        if with_ripples:
            lossy.append(name)
            least = HALF

        def load() -> np.ndarray:
            return _read(file, name, least, nonzero=values == "nonzero")

        return [names.annotated(str(PurePosixPath(name).with_suffix("")), *keep(load(), load))]

    entries = [
        (name, notes.each(name, [name], read)[0]) for name in (Images.below(path).paths if listed is None else listed)
    ]
    masks = names.once_each(entries, "mask", notes)
    if lossy:
        notes.remarks.append(
            f"{len(lossy)} masks are lossy pictures, first {lossy[0]}, whose black is not all 0: a pixel is marked "
            f"from {HALF:g} of the full range on; --threshold says another share"
        )
    return masks


def _is_lossy(file: Path) -> bool:
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if picture.format == "WEBP":
                with file.open("rb") as content:
                    return b"VP8L" not in content.read(64)
            return picture.format in ("JPEG", "MPO") or picture.info.get("compression") == "jpeg"
    except Exception:  # a damaged file is reported when it is read
        return False


def _read(file: Path, name: str, least: float | None, *, nonzero: bool) -> np.ndarray:
    """Read a picture as a map `(H, W)` float32 in [0, 1]."""
    height, width = image_size(file, where=name)
    if height * width > MOST_PIXELS:
        raise ImageError(f"{name}: {width} x {height} pixels; maps up to {MOST_PIXELS:,} pixels are read: shrink it")
    if least is not None:
        return _from(least, file, name)
    if nonzero:
        return np.asarray((read_image(file, where=name).numpy() > 0).any(0), dtype=np.float32)
    values: np.ndarray = read_saliency(file, where=name).numpy()
    if 0 < values.max() < LEAST:
        raise ImageError(
            f"{name}: the brightest of its pixels has {values.max():.2%} of the full range, as if they were numbers of "
            "classes; if all that is not black is marked, say so (values = nonzero)"
        )
    return values


def _from(least: float, file: Path, name: str) -> np.ndarray:
    """Mark the pixels of a picture that reach the share `least` of the full range in at least one channel."""
    values = read_image(file, where=name).numpy()
    full = 255 if values.dtype == np.uint8 else 1
    brightest = values.max() / full
    if LEAST <= brightest < least:
        raise ImageError(
            f"{name}: the brightest of its pixels has {brightest:.1%} of the full range, and one is marked from "
            f"{least:.1%} on; lower the threshold"
        )
    return np.asarray((values >= least * full).any(0), dtype=np.float32)
