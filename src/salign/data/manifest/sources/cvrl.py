"""The layout that the public training code of CVRL (University of Notre Dame) reads.

A CSV file has lines `split,Class,path` without a header. The path is appended to the folder of the images, so a leading
slash does not mean the root of the disk. In a folder of heat maps, the map of an image has the file name of the image;
the fingerprint code of the same group has the map as a fourth cell of the line instead. In the CSV file that a network
is trained with, `test` is the set that the best epoch is chosen by. Splits are therefore renamed by `{"test": "val"}`
unless another mapping is given; give `{}` for a CSV file of test images.
"""

from __future__ import annotations

import csv as csv_module
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path, PurePosixPath

import pandas as pd

from salign.data.manifest import Fault, Manifest, ManifestError
from salign.errors import SalignError
from salign.files import common_folder
from salign.readers import MAX_TABLE, open_file

Line = tuple[int, Sequence[str]]


def from_cvrl(
    csv: Path | str,
    images: Path | str,
    heatmaps: Path | str | None = None,
    *,
    splits: Mapping[str, str] | None = None,
) -> Manifest:
    """Read one CSV file as a manifest.

    Only the rows of `train` get a map from the folder of heat maps, as in the public code, because images and maps pair
    by their file names alone, and the names of test images recur.

    Args:
        csv: A file of lines `split,Class,path` or `split,Class,path,map`.
        images: Folder that the paths are appended to.
        heatmaps: Folder of maps, each with the file name of its image. Nobody looked at a training image without a map.
        splits: Split in the CSV file -> split in the manifest; `{"test": "val"}` when None.

    Returns:
        A manifest whose root is the nearest folder above both images and maps. The `id` of an image is its path in the
        CSV file, without a leading slash.

    Raises:
        SalignError: a file or folder does not exist, two training images have the same file name, or no training image
            has a map in the folder of heat maps.
        ManifestError: a line has neither 3 nor 4 cells, an image is missing, or `Manifest` refuses the table for
            another reason.
    """
    path, folder = Path(csv), _existing(images)
    maps = _existing(heatmaps) if heatmaps is not None else None
    root = folder if maps is None else common_folder(folder, maps)
    renamed = {"test": "val"} if splits is None else dict(splits)
    rows: list[dict[str, str | int]] = []
    owners: dict[str, int] = {}
    for number, (split, label, name, *more) in _lines(path):
        relative = PurePosixPath(name.lstrip("/"))
        saliency = ""
        if more and more[0]:
            saliency = _below(folder / more[0].lstrip("/"), root)
        elif maps is not None and split == "train" and (maps / relative.name).is_file():
            saliency = _below(maps / relative.name, root)
            earlier = owners.setdefault(relative.name, number)
            if earlier != number:
                raise SalignError(
                    f"{path}: the training images of rows {earlier} and {number} are both called {relative.name}, so "
                    "their heat map cannot be told apart. Rename one, or give the map as a fourth cell."
                )
        rows.append(
            {
                "id": str(relative),
                "path": _below(folder / relative, root),
                "label": label,
                "split": renamed.get(split, split),
                "saliency": saliency,
                "row": number,
            }
        )
    if maps is not None and not owners:
        raise SalignError(f"{maps}: no map has the file name of a training image of {path}; is it the right folder?")
    return Manifest.of(pd.DataFrame(rows), root, str(path))


def _lines(path: Path) -> list[Line]:
    """Return the lines with their numbers, without blank lines."""
    try:
        with TextIOWrapper(open_file(path, limit=MAX_TABLE), encoding="utf-8-sig", newline="") as stream:
            reader = csv_module.reader(stream)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv_module.Error) as error:
        raise SalignError(f"{path} cannot be read as CSV: {error}") from error
    faults = [
        Fault(number, "line", f"expected split,Class,path or split,Class,path,map; got {len(cells)} cells")
        for number, cells in lines
        if len(cells) not in (3, 4)
    ]
    if faults or not lines:
        raise ManifestError.of(faults or [Fault(None, "table", "there is no line")], str(path))
    return list(lines)


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _existing(folder: Path | str) -> Path:
    path = Path(folder).resolve()
    if not path.is_dir():
        raise SalignError(f"no such folder: {folder}")
    return path
