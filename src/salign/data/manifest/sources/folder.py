"""The layout with one folder per class, and with a folder of maps that is laid out alike."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from salign.data.manifest import Manifest
from salign.data.manifest.image_files import image_files, no_image, same_name, stem
from salign.errors import SalignError
from salign.files import common_folder


def from_folder(folder: Path | str, maps: Path | str | None = None, *, split: str | None = None) -> Manifest:
    """Read `folder/<split>/<class>/**` or, with `split` given, `folder/<class>/**`.

    A map belongs to the image with the same path below its folder, whatever the suffixes are: `train/cat/1.png` is the
    map of `train/cat/1.jpg`.

    Args:
        folder: The folder of the images.
        maps: A folder of maps that is laid out alike. Nobody looked at an image without a map there.
        split: Name of the only split; the folders directly below `folder` are then the classes.

    Returns:
        A manifest whose root is the folder, or the nearest folder above both images and maps.

    Raises:
        SalignError: the folder does not exist or has no image, an image lies in too few folders, two images (or maps)
            have the same name, or a map belongs to no image.
    """
    folder = _existing(folder)
    top = _existing(maps) if maps is not None else None
    root = folder if top is None else common_folder(folder, top)
    images = _by_name(folder, skip=top)
    depth = 2 if split is None else 1
    shallow = [path for name, path in images.items() if name.count("/") < depth]
    if not images:
        raise no_image(folder)
    if shallow:
        layout = "<split>/<class>/image" if split is None else "<class>/image"
        hint = (
            "; with <class>/image, give the name of the split (--split train), or: salign init" if split is None else ""
        )
        raise SalignError(f"{folder}: expected {layout}, found {shallow[0].relative_to(folder)}{hint}.")
    paired = _by_name(top) if top is not None else {}
    lonely = sorted(set(paired) - set(images))
    if lonely:
        raise SalignError(
            f"{top}: {len(lonely)} of {len(paired)} maps belong to no image, first {paired[lonely[0]].name}. "
            "A map has the path of its image below the folder; only the suffix may differ."
        )
    rows = []
    for name, path in images.items():
        parts = name.split("/")
        rows.append(
            {
                "id": name,
                "path": path.relative_to(root).as_posix(),
                "label": parts[depth - 1],
                "split": parts[0] if split is None else split,
                "saliency": paired[name].relative_to(root).as_posix() if name in paired else "",
            }
        )
    return Manifest.of(pd.DataFrame(rows), root, str(folder))


def _existing(folder: Path | str) -> Path:
    path = Path(folder).resolve()
    if not path.is_dir():
        raise SalignError(f"no such folder: {folder}")
    return path


def _by_name(folder: Path, *, skip: Path | None = None) -> dict[str, Path]:
    """Return the files by their path below the folder without suffix, in Unicode's composed form (NFC), sorted."""
    paths: dict[str, Path] = {}
    for file in sorted(image_files(folder, skip=() if skip is None else (skip,))):
        name, path = same_name(stem(file)), folder / file
        if name in paths:
            raise SalignError(f"{folder}: {name} occurs twice, as {paths[name].name} and {path.name}; keep one.")
        paths[name] = path
    return paths
