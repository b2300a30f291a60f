"""DICOM pictures as a human reader sees them: with modality and VOI lookups applied, and MONOCHROME1 inverted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from salign.errors import SalignError, install
from salign.readers import open_file

_MOST_UNPACKED = 200_000_000
_JP2 = b"\0\0\0\x0cjP  "
_PAIRS = (("RescaleSlope", "RescaleIntercept"), ("WindowWidth", "WindowCenter"))
"""Pairs of tags that mean something only together."""


def is_dicom(path: str | Path, file: IO[bytes]) -> bool:
    """Return whether a file has the ending or the first bytes of DICOM; it is open at its beginning, and left there."""
    begins = file.read(132)
    file.seek(0)
    return Path(path).suffix.lower() in (".dcm", ".dicom") or begins[128:] == b"DICM"


def patient(path: str | Path) -> str:
    """Return the PatientID in the header of a DICOM file; an empty text if there is none or it cannot be read.

    Raises:
        SalignError: the path does not exist, or is not a regular file.
    """
    with open_file(path, limit=None) as file:  # refuses a pipe before any library opens it
        if not is_dicom(path, file):
            return ""
        try:
            with _damage_named() as pydicom:
                header = _header(file, pydicom, specific_tags=["PatientID"])
                return str(header.get("PatientID") or "").strip()
        except (ValueError, OSError, SalignError):
            return ""  # the function that reads the pixels reports what is wrong


def size(file: IO[bytes]) -> tuple[int, int]:
    """Return (H, W) from the header.

    Raises:
        ValueError: the file holds no picture.
    """
    with _damage_named() as pydicom:
        return _size(_header(file, pydicom))


def read(file: IO[bytes], check_size: Callable[[int, int], tuple[int, int]]) -> np.ndarray:
    """Read the one picture of a file.

    Grey values are rescaled by slope and intercept (if both are given, as in pydicom), and then go through the first
    VOI window or table (DICOM PS3.3 C.11.2), whose output range becomes [0, 1]. Without a window or table, the full
    range of the stored bits after rescaling becomes [0, 1]. MONOCHROME1 (low is white) is inverted.

    Args:
        file: open at its beginning.
        check_size: called with (H, W) from the header, before the pixels are decoded.

    Returns:
        `(H, W)` float32 in [0, 1], or `(H, W, 3)` uint8 for RGB.

    Raises:
        ValueError: the file holds several frames, the picture is neither grey nor 8-bit colour, or the values after the
            lookups are not finite or have no range (such as with a slope of 0).
    """
    with _damage_named() as pydicom:
        return _read(file, check_size, pydicom)


def _read(file: IO[bytes], check_size: Callable[[int, int], tuple[int, int]], pydicom: ModuleType) -> np.ndarray:
    header = _header(file, pydicom)
    check_size(*_size(header))
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it holds {header.NumberOfFrames} frames; save the one you mean as a file")
    file.seek(0)
    dataset = pydicom.dcmread(file)
    _check_boxes(dataset, pydicom)
    kind = str(dataset.get("PhotometricInterpretation") or "(none)")
    if kind == "RGB" or kind.startswith("YBR"):
        values = _pixels(dataset, (3,))
        if values.dtype != np.uint8:
            raise ValueError(f"colour is expected in 8 bits; got {values.dtype}")
        return np.ascontiguousarray(values)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"photometric interpretation {kind} is not supported; expected MONOCHROME1/2 or RGB")
    _drop_halves(dataset)
    values = pydicom.pixels.apply_modality_lut(_pixels(dataset, ()), dataset)
    values = pydicom.pixels.apply_voi_lut(values, dataset).astype(np.float64)
    low, high = _range(dataset)
    if not np.isfinite([low, high]).all() or low >= high or not np.isfinite(values).all():
        tags = ", ".join(f"{tag} {dataset[tag].value}" for pair in _PAIRS for tag in pair if tag in dataset)
        raise ValueError(f"its values span {low:g} to {high:g} after {tags or 'the lookups'}: no picture comes of that")
    scaled = np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    # pydicom maps the lower end of a window to the lowest stored bits, which give the highest value if the rescale
    # falls.
    turned = _falls(dataset)
    return 1.0 - scaled if (kind == "MONOCHROME1") != turned else scaled


def _header(file: IO[bytes], pydicom: ModuleType, **options: Any) -> Any:
    """Read the header, which is everything before the pixels."""
    file.seek(0)
    _check_deflated(file, pydicom)
    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=True, **options)


def _check_deflated(file: IO[bytes], pydicom: ModuleType) -> None:
    """Refuse a deflated file that is too large when unpacked, because pydicom unpacks it in one piece."""
    pydicom.filereader.read_preamble(file, False)
    meta = pydicom.filereader._read_file_meta_info(file)  # leaves the file at the start of what may be deflated
    if meta.get("TransferSyntaxUID") != pydicom.uid.DeflatedExplicitVRLittleEndian:
        return
    packed, size, unpacker = file.read(), 0, zlib.decompressobj(-zlib.MAX_WBITS)
    while packed and not unpacker.eof:
        size += len(unpacker.decompress(packed, 1 << 20))
        packed = unpacker.unconsumed_tail
        if size > _MOST_UNPACKED:
            raise ValueError(f"it is deflated, and more than {_MOST_UNPACKED / 1e6:,.0f} MB when unpacked")


def _check_boxes(dataset: Any, pydicom: ModuleType) -> None:
    """Refuse a JPEG 2000 picture with a box of length 0 before its pixels, with which pydicom would never end."""
    if dataset.file_meta.get("TransferSyntaxUID") not in pydicom.uid.JPEG2000TransferSyntaxes:
        return
    for tag in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):  # these locate further frames; there are none
        dataset.pop(tag, None)
    content = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1), b"")
    offset = 12 if content.startswith(_JP2) else len(content)
    while offset < len(content) and content[offset + 4 : offset + 8] != b"jp2c":
        length = int.from_bytes(content[offset : offset + 4], "big")
        if length == 0:
            raise ValueError("its JPEG 2000 data are damaged: a box in them has no length")
        offset += length


@contextmanager
def _damage_named() -> Iterator[ModuleType]:
    """Import pydicom for a block of code in which its own exceptions become ValueError.

    They may occur anywhere in the block, because pydicom parses a tag only when it is asked for.
    """
    try:
        import pydicom
        import pydicom.encaps
        import pydicom.errors
        import pydicom.filereader
        import pydicom.pixels
    except ImportError as error:
        raise ValueError(f"DICOM needs the package pydicom; {install('dicom')}") from error
    try:
        yield pydicom
    except pydicom.errors.InvalidDicomError as error:
        raise ValueError("it is not a DICOM file, or damaged") from error
    except pydicom.errors.BytesLengthException as error:
        raise ValueError(f"the DICOM file is damaged: {error}") from error


def _falls(dataset: Any) -> bool:
    """Return whether a window is applied to values that fall as the stored values rise."""
    windowed = "WindowWidth" in dataset and not dataset.get("VOILUTSequence")
    rescaled = "RescaleSlope" in dataset and not dataset.get("ModalityLUTSequence")
    return bool(windowed and rescaled and dataset.RescaleSlope < 0)


def _drop_halves(dataset: Any) -> None:
    """Drop each pair of tags of which one is missing or empty, and a VOI table without entries.

    One tag says nothing without the other, and pydicom either ignores it or fails.
    """
    tables = dataset.get("VOILUTSequence")
    if tables and any(tables[0].get(tag) is None for tag in ("LUTDescriptor", "LUTData")):
        dataset.pop("VOILUTSequence")
    for pair in _PAIRS:
        if any(dataset.get(tag) is None or dataset.get(tag) == "" for tag in pair):
            for tag in pair:
                dataset.pop(tag, None)


def _pixels(dataset: Any, samples: tuple[int, ...]) -> np.ndarray:
    """Return the stored values `(H, W, *samples)`.

    Raises:
        ValueError: the values have another shape, which happens if tags are damaged.
    """
    values: np.ndarray = dataset.pixel_array
    expected = (*_size(dataset), *samples)
    if values.shape != expected:
        raise ValueError(f"its tags contradict each other: expected values of shape {expected}, got {values.shape}")
    return values


def _size(header: Any) -> tuple[int, int]:
    if "Rows" not in header or "Columns" not in header:
        raise ValueError("there is no picture in this DICOM file")
    return int(header.Rows), int(header.Columns)


def _range(dataset: Any) -> tuple[float, float]:
    """Return the lowest and the highest value that the lookups can give."""
    if dataset.get("VOILUTSequence"):
        return 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    if dataset.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    low, high = (0, 2**bits - 1) if dataset.PixelRepresentation == 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    slope, intercept = (float(dataset.get(tag, none)) for tag, none in zip(_PAIRS[0], (1, 0), strict=True))
    ends = (low * slope + intercept, high * slope + intercept)
    return min(ends), max(ends)
