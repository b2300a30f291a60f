"""A data set as shards: tar files of many images each, with their maps and rows, in the layout of WebDataset.

The parts of a row are consecutive, and are named by the number of the row and different endings: `00000007.jpg` is the
image, `00000007.saliency.png` the map of a column, and `00000007.json` holds the cells of the row. The manifest beside
the shards names images and maps by the bytes that they take up, so that each can be read without those before it. An
image with several rows, such as one for each annotator, is written once, with the first row, and all rows name it.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from io import BytesIO
from pathlib import Path

import pandas as pd

from salign.checks import number
from salign.data.checks.check import find_faults
from salign.data.manifest import Manifest, ManifestError, map_columns
from salign.data.manifest.file_names import slugs
from salign.data.manifest.shard_index import INDEX, Shard, ShardIndex
from salign.data.manifest.text_table import TEXT
from salign.errors import SalignError
from salign.files import check_output, replace_text, replacing
from salign.location import TAR_BLOCK
from salign.progress import Bar
from salign.readers import file_digest, file_state, read_bytes

MANIFEST = "manifest.parquet"
MOST_BYTES = 8 * 2**30 - 1
"""The most bytes that an image or map may have, because the header of a tar file has no room for a larger number."""


def write_shards(manifest: Manifest, folder: Path | str, size: int = 1000, *, progress: bool = False) -> Path:
    """Write a data set as shards, with a manifest and an index of them; the rows of the manifest keep their order.

    A shard is named after the split of its rows, such as `train-000000.tar`, with `_` in place of characters other than
    ASCII letters and digits; splits that get the same name in this way, or names that differ by case alone, share
    shards. The index is written last, so that a folder with an index is complete.

    Args:
        manifest: the data set.
        folder: the folder for the shards.
        size: number of rows in a shard; the last shard of a split may have fewer.
        progress: show bars.

    Returns:
        The path of the manifest of the shards, `manifest.parquet` in the folder; `salign train` reads it as any other.

    Raises:
        ManifestError: the header of an image or map cannot be read; every row is named.
        SalignError: the folder has an index of shards already, or there is no room for the shards.
    """
    number("size", size, "[1, inf)", whole=True)
    folder = Path(folder)
    check_output(folder, folder=True)
    if (folder / INDEX).exists():
        raise SalignError(f"{folder} holds shards already; give another folder, or delete that one.")
    columns = ["path", *map_columns(manifest.table)]
    if faults := find_faults(manifest, progress=progress):
        raise ManifestError.of(faults, manifest.source)
    _check_room(manifest, columns, folder)
    names = {column: [None if pd.isna(cell) else str(cell) for cell in manifest.table[column]] for column in columns}
    shards: dict[str, Shard] = {}
    images: dict[str, str] = {}
    with Bar("writing shards", len(manifest), show=progress) as bar:
        for split, positions in _by_split(manifest):
            for k, start in enumerate(range(0, len(positions), size)):
                rows, file = positions[start : start + size], f"{split}-{k:06}.tar"
                with replacing(folder / file) as partial:
                    _write_shard(partial, manifest, rows, names, images, file, bar)
                state = file_state(folder / file)
                shards[file] = Shard(rows=len(rows), bytes=state[0], sha256=file_digest(folder / file))
    table = manifest.table.assign(**{column: pd.Series(names[column], dtype=TEXT) for column in columns})
    written = Manifest(table, folder.resolve(), MANIFEST, manifest.multi_label).write(folder / MANIFEST)
    replace_text(folder / INDEX, ShardIndex(rows=len(manifest), shards=shards).model_dump_json(indent=1) + "\n")
    return written


def _by_split(manifest: Manifest) -> list[tuple[str, list[int]]]:
    """Return the positions of each split, together with the split's name in the names of shards."""
    groups: dict[str, list[int]] = {}
    names: dict[str, str] = {}  # by the name in lower case, since file systems may take both for the same
    for position, split in enumerate(manifest.table["split"].tolist()):
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", split)
        groups.setdefault(names.setdefault(plain.lower(), plain), []).append(position)
    return sorted(groups.items())


def _write_shard(
    partial: Path,
    manifest: Manifest,
    rows: list[int],
    names: dict[str, list[str | None]],
    images: dict[str, str],
    file: str,
    bar: Bar,
) -> None:
    """Write a shard with the images, maps and cells of some rows, and put into `names` where each image and map is.

    Args:
        partial: the file to write.
        manifest: the data set.
        rows: positions of the rows.
        names: column of paths -> path at each position; the paths of these rows are replaced by those in the shard.
        images: path of each image that has been written -> its path in a shard; the images of these rows are added.
        file: the name that the shard will have.
        bar: is advanced by each row.
    """
    cells = manifest.table.drop(columns="row").iloc[rows].astype(object)
    endings = dict(zip(names, slugs(list(map(_plain, names))), strict=True))
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, record in zip(rows, cells.where(cells.notna(), None).to_dict("records"), strict=True):
            for column, paths in names.items():
                if (name := paths[row]) is None:
                    continue
                if column == "path" and name in images:
                    paths[row] = images[name]
                    continue
                path = manifest.root / name
                ending = path.suffix.lower() or ".bin"
                part = f"{row:08}{'' if column == 'path' else '.' + endings[column]}{ending}"
                offset, count = _add(tar, part, read_bytes(path, limit=MOST_BYTES))
                paths[row] = member = f"{file}@{offset}+{count}/{part}"
                if column == "path":
                    images[name] = member
            _add(tar, f"{row:08}.json", json.dumps(record, ensure_ascii=False).encode())
            bar.advance()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> tuple[int, int]:
    """Add a part whose header holds no times or owners, and return where its bytes begin and how many there are."""
    about = tarfile.TarInfo(name)
    about.size = len(content)
    offset = tar.offset + TAR_BLOCK  # the header of the part comes first
    tar.addfile(about, BytesIO(content))
    return offset, len(content)


def _plain(column: str) -> str:
    """Return a column's name without characters that would split it, because WebDataset splits names at their dots."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", column)[:60]


def _check_room(manifest: Manifest, columns: list[str], folder: Path) -> None:
    cells = [manifest.table["path"].drop_duplicates(), *(manifest.table[column].dropna() for column in columns[1:])]
    needed = sum(file_state(manifest.root / str(name))[0] for names in cells for name in names)
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if needed > (free := shutil.disk_usage(there).free):
        raise SalignError(
            f"{folder}: the images and maps have {needed:,} bytes, and there is room for {free:,}. "
            "Give another folder, or make room there."
        )
