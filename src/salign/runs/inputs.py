"""The images and maps that a run began with, so that an interrupted run is not resumed with others unnoticed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from salign.data.manifest.path_columns import different_files
from salign.data.manifest.shard_index import shard_of
from salign.errors import SalignError
from salign.files import replace_csv
from salign.location import is_remote
from salign.readers import file_digest, file_state, known_digest, read_csv
from salign.runs.folder import RunFolder
from salign.train.prepare import Prepared

_SHOWN = 5
_THREADS = 8
"""Threads help, because reading waits for the disk, and hashing releases Python's global lock."""


def note_inputs(run: RunFolder, data: Prepared) -> None:
    """Record what `check_inputs` compares with: size, time of change and digest of every image and map.

    A process reads every file once for all its runs, which takes little time compared with the epochs that follow. If a
    run is resumed, its earlier record is kept.
    """
    if run.resume.exists() and run.inputs.exists():
        return
    files = _files(data)
    states = [file_state(path)[:2] for path in files.values()]
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = list(threads.map(_digest, files.values()))
    table = pd.DataFrame(states, columns=["size", "modified"]).assign(file=list(files), digest=digests)
    replace_csv(run.inputs, table[["file", "size", "modified", "digest"]])


def check_inputs(run: RunFolder, data: Prepared) -> None:
    """Compare the images and maps with those that a run began with, if the run is resumed after a finished epoch.

    A file with the same size and time of change counts as unchanged and is not read. If only the time differs, the
    content decides, so that a copy counts as the same file; a file behind a URL counts as changed. Files are identified
    by their names in the manifest, so that the folder may have moved. Run folders of earlier versions have no such
    record, and nothing is compared.

    Raises:
        SalignError: a file was changed, is no longer used or is new; the message names the first of them.
    """
    if not (run.resume.exists() and run.inputs.exists()):
        return
    table = read_csv(run.inputs, dtype={"file": str, "digest": str}, keep_default_na=False)
    known = {file: (size, modified, digest) for file, size, modified, digest in table.itertuples(index=False)}
    files = _files(data)
    changes = [f"{file} is gone" for file in known.keys() - files.keys()]
    changes += [f"{file} is new" for file in files.keys() - known.keys()]
    for file in files.keys() & known.keys():
        size, modified, digest = known[file]
        here = file_state(files[file])
        if here[0] != size or (here[1] != modified and (is_remote(files[file]) or file_digest(files[file]) != digest)):
            changes.append(f"{file} was changed")
    if changes:
        more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise SalignError(
            f"{run.path}: {len(changes)} images or maps are not those that this run began with: "
            f"{', '.join(sorted(changes)[:_SHOWN])}{more}. Bring them back to go on, or delete the folder to start "
            "again."
        )


def _files(data: Prepared) -> dict[str, Path]:
    """Return the images and maps of all sets by their names in the manifest; a shard stands for the files inside it."""
    files: dict[str, Path] = {}
    for dataset in (data.train, data.val, *data.tests.values()):
        manifest = dataset.manifest
        for column in ("path", "saliency"):
            names = different_files(manifest.table[column]).to_pylist()
            files |= {_lasting(name): manifest.root / name for name in names}
    return files


def _digest(path: Path) -> str:
    """Return the digest of a file.

    For a shard it comes from the shard's index, and for a URL it is the file's state; both avoid reading the content.
    """
    if is_remote(path):
        return str(file_state(path)[1])
    shard = shard_of(path) if path.suffix == ".tar" else None
    return known_digest(path) if shard is None else shard.sha256


def _lasting(name: str) -> str:
    """Return a name that stays the same if the run's folder moves.

    Maps that a machine drew for the run have absolute paths; of these only the file name is kept.
    """
    return Path(name).name if Path(name).is_absolute() else name
