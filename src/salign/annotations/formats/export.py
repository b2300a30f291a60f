"""What every export needs: marks per image, as outlines where they are outlines, else as pixels."""

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
"""A pixel of a grey map belongs to the area from this value on: formats of areas know only in and out."""


def machine(annotation: Annotated) -> str | None:
    """The machine that made a map, `model:<which>`; None where a person did."""
    return (
        annotation.annotator if annotation.annotator is not None and annotation.annotator.startswith(MACHINE) else None
    )


def machine_named(remark: Field | None) -> str | None:
    """The machine that an export of salign names in a field for remarks; None for anything else."""
    return remark.name() if remark is not None and str(remark.value).startswith(MACHINE) else None


def by_image(annotated: Iterable[Annotated]) -> dict[str, list[Annotated]]:
    """Marks by the name of their image, in the order in which the images first occur."""
    groups: dict[str, list[Annotated]] = {}
    for annotation in annotated:
        groups.setdefault(annotation.image, []).append(annotation)
    return groups


def size_needed(annotation: Annotated) -> tuple[int, int]:
    """(H, W) of the image.

    Raises:
        SalignError: it is not known.
    """
    if annotation.size is None:
        raise SalignError(f"{annotation.image}: its size is not known; an export needs it")
    return annotation.size


def inside(image: str) -> str:
    """The name of an image as a relative path that leads nowhere else.

    Raises:
        SalignError: it is absolute or holds `..`.
    """
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or not path.name or "\\" in image or ":" in path.parts[0]:
        raise SalignError(f"{image!r}: expected the relative path of an image, as a manifest has it")
    return image


def files_of(images: Iterable[str], ending: str) -> dict[str, str]:
    """The file for each image, below the folder of the export, as `output_names` calls it.

    Raises:
        SalignError: as for `inside`.
    """
    ordered = sorted(map(inside, images), key=lambda image: image.rpartition("/")[::2])
    return dict(output_names(ordered, ending))


def areas(annotation: Annotated) -> list[Polygon | Box | Runs]:
    """Outlines where only outlines were drawn, else one mask; nothing for a blank.

    Raises:
        SalignError: fixations, which have no area.
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
    """The shapes of marks of which each is an outline, without any that erases; None for others."""
    shapes = [shape for shape in annotation.shapes if isinstance(shape, Polygon | Box) and not shape.erase]
    return shapes if len(shapes) == len(annotation.shapes) else None


def boxed(mask: np.ndarray) -> tuple[np.ndarray, PixelBox]:
    """Cut an `(H, W)` bool mask with something in it to the box around what is inside."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    return part, (top, left, part.shape[0], part.shape[1])


def label_order(annotated: Iterable[Annotated]) -> list[str]:
    """Labels, sorted; marks without one count as `unnamed`."""
    return sorted({annotation.label or "unnamed" for annotation in annotated})
