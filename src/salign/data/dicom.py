"""DICOM pictures as a reader sees them: modality and VOI lookup applied, MONOCHROME1 turned the right way round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from salign.errors import install

_PAIRS = (("RescaleSlope", "RescaleIntercept"), ("WindowWidth", "WindowCenter"))
"""Tags that mean something together only."""


def size(path: str | Path) -> tuple[int, int]:
    """(H, W) from the header.

    Raises:
        ValueError: no picture in it.
    """
    with _damage_named() as pydicom:
        return _size(pydicom.dcmread(path, stop_before_pixels=True))


def read(path: str | Path, check_size: Callable[[int, int], tuple[int, int]]) -> np.ndarray:
    """Read one picture.

    Grey: rescale slope and intercept (both or neither, as pydicom does), then the first VOI window or table (DICOM
    PS3.3 C.11.2), whose output range becomes [0, 1]; without either, the full range of the stored bits after rescaling.
    MONOCHROME1 (low is white) is inverted.

    Args:
        path: the file.
        check_size: called with (H, W) from the header, before the pixels are decoded.

    Returns:
        `(H, W)` float32 in [0, 1], or `(H, W, 3)` uint8 for RGB.

    Raises:
        ValueError: several frames, a photometric interpretation other than grey and RGB, or lookups that leave values
            which are not finite or all one (a slope of 0).
    """
    with _damage_named() as pydicom:
        return _read(path, check_size, pydicom)


def _read(path: str | Path, check_size: Callable[[int, int], tuple[int, int]], pydicom: ModuleType) -> np.ndarray:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    check_size(*_size(header))
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it holds {header.NumberOfFrames} frames; save the one you mean as a file")
    dataset = pydicom.dcmread(path)
    kind = str(dataset.PhotometricInterpretation)
    if kind == "RGB" or kind.startswith("YBR"):
        values = dataset.pixel_array
        if values.dtype != np.uint8:
            raise ValueError(f"colour is expected in 8 bits; got {values.dtype}")
        return np.ascontiguousarray(values)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"photometric interpretation {kind} is not supported; expected MONOCHROME1/2 or RGB")
    _drop_halves(dataset)
    values = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
    values = pydicom.pixels.apply_voi_lut(values, dataset).astype(np.float64)
    low, high = _range(dataset)
    if not np.isfinite([low, high]).all() or low >= high or not np.isfinite(values).all():
        told = ", ".join(f"{tag} {dataset[tag].value}" for pair in _PAIRS for tag in pair if tag in dataset)
        raise ValueError(f"its values span {low:g} to {high:g} after {told or 'the lookups'}: no picture comes of that")
    scaled = np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    turned = _falls(dataset)  # pydicom maps the lower end of a window to the lowest stored bits, the higher value then
    return 1.0 - scaled if (kind == "MONOCHROME1") != turned else scaled


@contextmanager
def _damage_named() -> Iterator[ModuleType]:
    """Give pydicom; its own exceptions become ValueError (it parses a tag when it is asked for)."""
    try:
        import pydicom
        import pydicom.errors
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
    """Whether a window is laid over values that fall as the stored ones rise."""
    windowed = "WindowWidth" in dataset and not dataset.get("VOILUTSequence")
    rescaled = "RescaleSlope" in dataset and not dataset.get("ModalityLUTSequence")
    return bool(windowed and rescaled and dataset.RescaleSlope < 0)


def _drop_halves(dataset: Any) -> None:
    """Take out of each pair of tags that which stands alone or is empty, and a VOI table without entries.

    It says nothing without the other; pydicom passes over it or stumbles.
    """
    tables = dataset.get("VOILUTSequence")
    if tables and any(tables[0].get(tag) is None for tag in ("LUTDescriptor", "LUTData")):
        dataset.pop("VOILUTSequence")
    for pair in _PAIRS:
        if any(dataset.get(tag) is None or dataset.get(tag) == "" for tag in pair):
            for tag in pair:
                dataset.pop(tag, None)


def _size(header: Any) -> tuple[int, int]:
    if "Rows" not in header or "Columns" not in header:
        raise ValueError("there is no picture in this DICOM file")
    return int(header.Rows), int(header.Columns)


def _range(dataset: Any) -> tuple[float, float]:
    """Lowest and highest value that can come out of the lookups."""
    if dataset.get("VOILUTSequence"):
        return 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    if dataset.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    low, high = (0, 2**bits - 1) if dataset.PixelRepresentation == 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    slope, intercept = (float(dataset.get(tag, none)) for tag, none in zip(_PAIRS[0], (1, 0), strict=True))
    ends = (low * slope + intercept, high * slope + intercept)
    return min(ends), max(ends)
