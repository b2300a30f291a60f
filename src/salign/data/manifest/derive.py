"""Make a manifest from another one, with new maps or newer rows; the maps of the old manifest are not touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from salign.data.manifest import CONFIDENCE, PROVENANCE, Fault, Manifest, ManifestError, map_columns
from salign.data.manifest.file_names import shapes_file, slugs
from salign.errors import SalignError
from salign.files import common_folder, relative_path, replacing_folder
from salign.location import absolute
from salign.maps.files import write_map

if TYPE_CHECKING:
    from torch import Tensor

MAP_FILE = "map_file"
"""Column that names the file to which the map of an image is written, in commands that make maps."""


def free_columns(manifest: Manifest) -> list[str]:
    """Return the names of the free columns of a manifest, which a table of predictions takes over."""
    fixed = ("id", "path", "split", "label", "saliency", "row", MAP_FILE)
    return [str(name) for name in manifest.table.columns if name not in fixed]


def with_new_maps(
    manifest: Manifest,
    target: Path,
    change: Callable[[int], Tensor | None],
    whose: Callable[[int], str] | None = None,
    *,
    overwrite: bool = False,
) -> Manifest:
    """Write a manifest with new maps in the column `saliency`, after all of these maps have been written.

    Args:
        manifest: the old manifest, whose other columns stay.
        target: the file of the new manifest. The maps go into the folder beside it that has the same name without the
            ending.
        change: returns the new map `(H, W)` in [0, 1] of the image at a position, or None for no map.
        whose: returns the cell of the column `provenance` for the image at a position; the column `confidence` is then
            dropped, because it was about the old maps. None = both columns stay as they are.
        overwrite: replace a manifest and maps that were written there before; they stay if the new ones cannot be
            written.

    Returns:
        The new manifest. Its root is the nearest folder above both the old root and `target`.

    Raises:
        ManifestError: `change` raised a SalignError; all of them are listed with their rows, and nothing was replaced.
        SalignError: something is in the way, the new maps would lie where old ones do, or the file of shapes that
            belongs to `target` exists and holds the marks behind other maps.
    """
    target = target.resolve()
    folder = target.with_suffix("")
    root = common_folder(manifest.root, target.parent)
    _check_target(manifest, target, folder, overwrite=overwrite)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    files = slugs([manifest.image_id(i) for i in range(len(manifest))])
    names: list[str] = []
    faults: list[Fault] = []
    try:
        partial.mkdir(parents=True)
        for i, file in enumerate(files):
            name = f"{file}.png"
            try:
                values = change(i)
            except SalignError as error:
                row = int(manifest.table["row"].iloc[i])
                faults.append(Fault(row, "saliency", str(error).removeprefix(f"{manifest.where(i)}: ")))
                continue
            names.append("" if values is None else relative_path(folder / name, root))
            if values is not None:
                write_map(partial / name, values)
        if faults:
            raise ManifestError.of(faults, manifest.source)
        table = move_root(manifest, root).drop(columns="row").assign(saliency=names)
        if whose is not None:
            table[PROVENANCE] = [whose(i) for i in range(len(manifest))]
            table = table.drop(columns=CONFIDENCE, errors="ignore")  # it was about the old maps
        with replacing_folder(folder, partial):
            manifest_made = Manifest.of(table, root, target.name, multi_label=manifest.multi_label)
            manifest_made.write(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest_made


def with_rows(manifest: Manifest, newer: Manifest, target: Path) -> Manifest:
    """Write a manifest in which the rows of a newer manifest replace the rows with the same id.

    Args:
        manifest: the older manifest. All its labels and splits stay, and so do its rows and columns that the newer
            manifest lacks.
        newer: the newer manifest, each of whose ids is in the older one, too.
        target: the file to write, which may be the file of the newer manifest.

    Returns:
        The combined manifest, with the columns of both. Its root is the nearest folder above both roots and `target`.

    Raises:
        SalignError: the newer manifest has an id that the older one lacks.
    """
    root = common_folder(manifest.root, newer.root, target.resolve().parent)
    old, new = (move_root(part, root).drop(columns="row").set_index("id") for part in (manifest, newer))
    if strange := [name for name in new.index if name not in old.index]:
        raise SalignError(
            f"{newer.source}: {len(strange)} images are not in {manifest.source}, first {strange[0]!r}; expected the "
            "manifest that they come from"
        )
    whole = old.assign(**{str(name): "" for name in new.columns if name not in old.columns})
    for name in new.columns.difference(["label", "split"], sort=False):
        whole.loc[new.index, name] = new[name]
    result = Manifest.of(whole.reset_index(), root, target.name, multi_label=manifest.multi_label)
    result.write(target)
    return result


def move_root(manifest: Manifest, root: Path) -> pd.DataFrame:
    """Return the table with its paths relative to another root, and with empty texts in place of NA."""
    table = manifest.table.fillna("")
    names = ["path", *map_columns(table)]
    return table.assign(
        **{name: [cell and relative_path(manifest.root / cell, root) for cell in table[name]] for name in names}
    )


def _check_target(manifest: Manifest, target: Path, folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace the manifest's own files in any case, and anything else unless `overwrite` is set."""
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise SalignError(f"{target}: expected a manifest .csv or .parquet to write")
    columns = ["path", *map_columns(manifest.table)]
    own = {(manifest.root / cell).resolve() for name in columns for cell in manifest.table[name].dropna()}
    own_file = manifest.root / manifest.source if manifest.file is None else absolute(manifest.file)
    if target == own_file or any(path.is_relative_to(folder) for path in own):
        raise SalignError(f"{target}: its maps would replace those they are made of; give another name")
    if (shapes := shapes_file(target)).exists():
        raise SalignError(
            f"{shapes} has the marks behind other maps, and would be taken for those of {target.name}; give another "
            "name, or move it away"
        )
    for output in (target, folder):
        if output.exists() and not overwrite:
            raise SalignError(f"{output} is there; give another name, or have it replaced (--overwrite)")
    if folder.exists() and any(path.suffix != ".png" for path in folder.iterdir()):
        raise SalignError(f"{folder} holds something else than maps; give another name")
