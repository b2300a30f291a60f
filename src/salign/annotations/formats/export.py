"""Helpers that all exports share: marks grouped by image, as outlines if they are outlines, else as masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import Field
from salign.annotations.rle import Box as PixelBox, Runs
from salign.data.manifest import MACHINE
from salign.data.manifest.file_names import output_names
from salign.errors import SalignError
from salign.maps.rasterize import rasterize
from salign.maps.shapes import Box, Fixation, Polygon

HALF = 0.5
"""The value from which on a pixel of a grey map belongs to the exported area, since the formats have no grey values."""


def machine(annotation: Annotated) -> str | None:
    """Return the machine that made a map, as `model:<which>`; None if a person made it."""
    return (
        annotation.annotator if annotation.annotator is not None and annotation.annotator.startswith(MACHINE) else None
    )


def machine_named(remark: Field | None) -> str | None:
    """Return the machine that an export of salign has named in a field for remarks; None for any other remark."""
    return remark.name() if remark is not None and str(remark.value).startswith(MACHINE) else None


def by_image(annotated: Iterable[Annotated]) -> dict[str, list[Annotated]]:
    """Group marks by the name of their image, in the order in which the images first occur."""
    groups: dict[str, list[Annotated]] = {}
    for annotation in annotated:
        groups.setdefault(annotation.image, []).append(annotation)
    return groups


def size_needed(annotation: Annotated) -> tuple[int, int]:
    """Return (H, W) of the image.

    Raises:
        SalignError: the size is not known.
    """
    if annotation.size is None:
        raise SalignError(f"{annotation.image}: its size is not known; an export needs it")
    return annotation.size


def inside(image: str) -> str:
    """Return the name of an image after checking that it is a relative path which stays below its folder.

    Raises:
        SalignError: the name is absolute, or it holds `..`, a backslash or a drive.
    """
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or not path.name or "\\" in image or ":" in path.parts[0]:
        raise SalignError(f"{image!r}: expected the relative path of an image, as a manifest has it")
    return image


def files_of(images: Iterable[str], ending: str) -> dict[str, str]:
    """Return the file for each image, relative to the folder of the export, with the names of `output_names`.

    Raises:
        SalignError: as for `inside`.
    """
    ordered = sorted(map(inside, images), key=lambda image: image.rpartition("/")[::2])
    return dict(output_names(ordered, ending))


def areas(annotation: Annotated) -> list[Polygon | Box | Runs]:
    """Return the marked areas: outlines if all marks are outlines, else one mask; an empty list for a blank annotation.

    Raises:
        SalignError: there are fixations, which have no area, or the size of the image is needed and not known.
    """
    if annotation.mask is not None:
        mask = annotation.mask if isinstance(annotation.mask, Runs) else Runs.of(np.asarray(annotation.mask) >= HALF)
        return [mask] if mask.pixels else []
    if (shapes := outlines(annotation)) is not None:
        return [*shapes]
    if any(isinstance(shape, Fixation) for shape in annotation.shapes):
        raise SalignError(f"{annotation.image}: fixations have no area, and this format knows areas only")
    mask = Runs.of(rasterize(annotation.shapes, size_needed(annotation)))
    return [mask] if mask.pixels else []


def outlines(annotation: Annotated) -> list[Polygon | Box] | None:
    """Return the shapes if all of them are polygons or boxes and none erases; None otherwise."""
    shapes = [shape for shape in annotation.shapes if isinstance(shape, Polygon | Box) and not shape.erase]
    return shapes if len(shapes) == len(annotation.shapes) else None


def boxed(mask: np.ndarray) -> tuple[np.ndarray, PixelBox]:
    """Cut a mask `(H, W)` bool that is not empty to the bounding box of its pixels; return the part and the box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    return part, (top, left, part.shape[0], part.shape[1])


def label_order(annotated: Iterable[Annotated]) -> list[str]:
    """Return the labels, sorted; marks without a label count as `unnamed`."""
    return sorted({annotation.label or "unnamed" for annotation in annotated})
