"""The images and maps that a run began with: going on with others after it was cut off must not pass unnoticed."""

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
"""Reading waits for the disk, and hashing lets other threads work."""


def note_inputs(run: RunFolder, data: Prepared) -> None:
    """Write what `check_inputs` compares with: size, time of change and digest of every image and map.

    Every file is read once for all runs of a process, which is little beside the epochs that follow. What a run that
    goes on had noted stays.
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
    """Compare the images and maps with those that a run began with, if it goes on from a finished epoch.

    A file of the same size and time of change counts as unchanged and is not read; of another one the content decides,
    so that a copy is no other file. Files count by their names in the manifest: the folder may have moved. Run folders
    of earlier versions hold no notes, and nothing is compared.

    Raises:
        SalignError: a file was changed, is no longer used or is new; the first are named.
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
    """Images and maps of all sets, by the name that the manifest gives them; shards instead of what lies in them."""
    files: dict[str, Path] = {}
    for dataset in (data.train, data.val, *data.tests.values()):
        manifest = dataset.manifest
        for column in ("path", "saliency"):
            names = different_files(manifest.table[column]).to_pylist()
            files |= {_lasting(name): manifest.root / name for name in names}
    return files


def _digest(path: Path) -> str:
    """The digest of a file; of a shard what its index says, and behind a URL its state, which cost no reading."""
    if is_remote(path):
        return str(file_state(path)[1])
    shard = shard_of(path) if path.suffix == ".tar" else None
    return known_digest(path) if shard is None else shard.sha256


def _lasting(name: str) -> str:
    """A name that stays when the folder of the run moves: that of a map which a machine drew for the run is whole."""
    return Path(name).name if Path(name).is_absolute() else name
