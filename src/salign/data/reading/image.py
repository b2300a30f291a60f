"""Read pictures and maps: a file becomes a tensor, or raises one clear error.

Pillow reads PNG, JPEG, TIFF, BMP, WebP, GIF, PPM, JPEG 2000 and AVIF; pydicom (`salign[dicom]`) reads DICOM. The rules:

* 8-bit sources (grey, palette, RGB, CMYK) give uint8. 16-bit grey gives float32, divided by 65535; a TIFF of 12 bits is
  divided by 4095. A TIFF in which 0 is white is inverted. Pillow reads 16-bit colour as 8-bit.
* A 32-bit float TIFF must be finite and in [0, 1], because only the owner of the file knows which value is white.
* Transparent pictures are composited on black. EXIF orientation is applied.
* A file with several pages or frames is refused, because it is not clear which one is meant. The preview inside of a
  phone's JPEG is an exception.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

from salign.data.reading import dicom
from salign.errors import SalignError
from salign.readers import open_file

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 89_478_485
"""Pictures with more pixels are refused before decoding (a decompression bomb, or a scan that must be tiled first)."""

_SHAPE_TOLERANCE = 0.01

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")

_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, ZeroDivisionError,
    OverflowError, MemoryError, NotImplementedError, RuntimeError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""The exceptions that Pillow and pydicom raise on damaged files."""

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each value of the EXIF tag Orientation."""

_SIDEWAYS = (5, 6, 7, 8)
"""Values of the EXIF tag Orientation that swap height and width."""

_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Two tags of TIFF, and the value of the second if 0 is white, which Pillow only regards up to 8 bits."""


class ImageError(SalignError):
    """A picture or map cannot be used; the message names the file, and its row in the manifest if that is known."""


def image_size(path: str | Path, *, where: str | None = None) -> tuple[int, int]:
    """Return the (H, W) that `read_image` would give, from the header alone; the same limits apply."""
    with _explained(path, where), open_file(path, limit=None) as file:
        if dicom.is_dicom(path, file):
            return _checked_size(*dicom.size(file))
        with _opened(file) as picture:
            width, height = picture.size
            return (width, height) if _orientation(picture) in _SIDEWAYS else (height, width)


def read_image(path: str | Path, *, where: str | None = None, at_least: tuple[int, int] | None = None) -> Tensor:
    """Read a picture as a tensor.

    Args:
        path: the file.
        where: how an error names the picture, e.g. `manifest.csv row 7 (a.png)`; None = by its path.
        at_least: (H, W) that are enough. A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size, but never below
            `at_least`; this averages in the JPEG's own transform, and is several times faster.

    Returns:
        `(3, H, W)`: uint8 for 8-bit sources, float32 in [0, 1] for deeper ones.

    Raises:
        ImageError: the file is missing, damaged or truncated, the picture is smaller than 2 x 2 or larger than
            `MAX_PIXELS`, or the rules of this module refuse it.
    """
    import torch

    tensor = torch.from_numpy(read_pixels(path, where=where, at_least=at_least))
    return tensor.permute(2, 0, 1) if tensor.dim() == 3 else tensor.expand(3, -1, -1)


def read_pixels(path: str | Path, *, where: str | None = None, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture without torch, with the same arguments, rules and errors as `read_image`.

    Returns:
        `(H, W, 3)`, or `(H, W)` for a grey picture: uint8 for 8-bit sources, float32 in [0, 1] for deeper ones.
    """
    with _explained(path, where), open_file(path, limit=None) as file:
        if dicom.is_dicom(path, file):
            return dicom.read(file, _checked_size)
        with _opened(file) as picture:
            return _pixels(picture, at_least)


def read_saliency(path: str | Path, *, where: str | None = None) -> Tensor:
    """Read a saliency map; the full range of its bit depth becomes [0, 1], whatever values occur in it.

    A colour file is accepted if red, green and blue agree to within 8 of 255, as they do in a JPEG of a grey map. A
    colour-coded heat map is refused, because its brightness is not the value of the map.

    Returns:
        `(H, W)` float32 in [0, 1].

    Raises:
        ImageError: as for `read_image`, or the map is in colour.
    """
    values = read_image(path, where=where)
    with _explained(path, where):
        if not values.is_floating_point():
            if values.stride(0) and int((values.amax(0) - values.amin(0)).max()) > 8:
                raise ValueError(
                    "a saliency map is grey, and this one is in colour; save the values behind the colour map instead"
                )
            return values[1].float().div_(255)
        return values[1].clone()


@contextmanager
def _explained(path: str | Path, where: str | None) -> Iterator[None]:
    try:
        yield
    except SalignError as error:
        raise ImageError(f"{where or path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Image.UnidentifiedImageError as error:
        with open_file(path, limit=None) as file:
            reason = "is damaged or of another kind" if file.read(1) else "is empty"
        raise ImageError(f"{where or path}: the file {reason}; expected {', '.join(FORMATS)} or DICOM") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{where or path}: {_too_large()}") from error
    except _BROKEN as error:
        raise ImageError(f"{where or path}: cannot be read: {error}") from error


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    with Image.open(file, formats=FORMATS) as picture:
        _checked_size(picture.height, picture.width)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # MPO is a JPEG with a preview in it
            raise ValueError(f"it holds {frames} pages or frames; save the one you mean as a file")
        yield picture


def _checked_size(height: int, width: int) -> tuple[int, int]:
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels: {_too_large()}")
    if min(height, width) < 2:
        raise ValueError(f"{width} x {height} pixels; expected at least 2 x 2")
    return height, width


def _too_large() -> str:
    return f"more than {MAX_PIXELS:,} pixels, which may be a decompression bomb; shrink or tile the picture"


def _orientation(picture: Image.Image) -> int:
    if picture.format == "TIFF" or (picture.format == "PNG" and "exif" not in picture.info):
        return 1  # Pillow turns TIFF by itself; asking a PNG without EXIF would decode it
    return int(picture.getexif().get(ExifTags.Base.Orientation, 1))


def _pixels(picture: Image.Image, at_least: tuple[int, int] | None) -> np.ndarray:
    """Return the pixels of an opened picture: `(H, W)` or `(H, W, 3)`, uint8 or float32 in [0, 1]."""
    orientation = _orientation(picture)
    if at_least is not None:
        height, width = at_least[::-1] if orientation in _SIDEWAYS else at_least
        picture.draft(None, (width, height))
    picture.load()
    upright = picture.transpose(_TURN[orientation]) if orientation in _TURN else picture
    mode = picture.mode
    if mode == "F":
        return _checked_floats(np.array(upright, dtype=np.float32))
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        return _of_full_range(picture, np.asarray(upright).astype(np.float32))
    if mode == "I":
        raise ValueError("32-bit or signed integers have no agreed white; save 8 or 16 bits, or floats in [0, 1]")
    if mode in _TRANSPARENT or "transparency" in picture.info:
        colour = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", colour.size, (0, 0, 0, 255)), colour).convert("RGB")
    elif mode in ("1", "L"):
        return np.array(upright.convert("L"))
    return np.array(upright.convert("RGB"))


def _of_full_range(picture: Image.Image, values: np.ndarray) -> np.ndarray:
    """Divide values of more than 8 bits by the largest possible one.

    A TIFF says how many bits it has, and whether 0 is white; it is then inverted.
    """
    tags = getattr(picture, "tag_v2", {})  # only a TIFF has them
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    shares: np.ndarray = values / np.float32(2**bits - 1)
    return 1 - shares if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else shares


def _checked_floats(values: np.ndarray) -> np.ndarray:
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise ValueError(f"{bad} of {values.size} pixels are NaN or infinite; repair the file at its source")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"floating-point pixels are expected in [0, 1]; got {values.min():g} to {values.max():g}. Rescale the files"
        )
    return values


def shape_mismatch(map_size: tuple[int, int], size: tuple[int, int]) -> str | None:
    """Return what is wrong if the shapes (height over width) of a map and its image differ by more than 1 %, else None.

    Args:
        map_size: (H, W) of the map.
        size: (H, W) of the image.
    """
    if abs(map_size[1] * size[0] / (map_size[0] * size[1]) - 1) <= _SHAPE_TOLERANCE:
        return None
    return (
        f"the map is {map_size[1]} x {map_size[0]} pixels and the image {size[1]} x {size[0]}: not the same shape "
        "(1 % is allowed). Pair the right files, or cut the map as the image was cut"
    )
