"""The table `runs.csv`: a row per finished run of a study, with all that is needed to check or to use its figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from salign.errors import SalignError
from salign.experiment.store import PLACE
from salign.files import replace_csv
from salign.readers import read_json, read_text
from salign.runs.folder import ENVIRONMENT, RunFolder

FILE = "runs.csv"
"""Name of the file in the folder of a study."""
PROVENANCE = ("salign", "torch", "commit", "processor", "platform", "threads", "begun")
"""Columns that say what a run ran on, and when it began; empty where an earlier version of salign did not note it."""
_MOST_BYTES = 1_000_000


def run_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Gather what each run ran on, and its figures with a column for each, as the results files of timm do.

    Args:
        runs: a row per finished cell: dataset, network, arm, images, annotated, seed, path, hash, seconds.

    Returns:
        Columns dataset, network, arm, images (-1 = all), annotated, seed; run (name of its folder), hash (of its
        recipe), seconds; `PROVENANCE`; then `SET/METRIC` for whole sets, `SET/COLUMN=GROUP/METRIC` for their groups,
        and `SET/COLUMN/worst_group_accuracy`, the lowest accuracy of a group. NaN where a run has no such figure.
    """
    rows: list[dict[str, Any]] = []
    for row in runs.to_dict("records"):
        run = RunFolder(Path(row["path"]))
        what = {name: row[name] for name in PLACE} | {"run": run.path.name, "hash": row["hash"]}
        rows.append(what | {"seconds": row["seconds"]} | _provenance(run) | dict(_figures(run)))
    first = [*PLACE, "run", "hash", "seconds", *PROVENANCE]
    table = pd.DataFrame(rows, columns=None if rows else first)
    figures = sorted(str(name) for name in table if name not in first)
    return table[[*first, *figures]].sort_values(list(PLACE), ignore_index=True)


def write_run_table(runs: pd.DataFrame, folder: Path) -> Path:
    """Write `runs.csv` into the folder of a study; see `run_table`.

    Names are written unchanged, because programs read the file: a name like a formula gets no apostrophe before it.
    """
    path = folder / FILE
    replace_csv(path, run_table(runs))
    return path


def _provenance(run: RunFolder) -> dict[str, Any]:
    path = run.path / ENVIRONMENT
    try:
        noted = read_json(path, limit=_MOST_BYTES) if path.exists() else {}
    except SalignError:  # the figures of the run are valid without it
        noted = {}
    known = {**noted.get("libraries", {}), **noted} if isinstance(noted, dict) else {}
    return {name: known.get(name) for name in PROVENANCE}


def _figures(run: RunFolder) -> Iterator[tuple[str, float]]:
    if not run.evaluation.exists():
        return
    worst: dict[str, float] = {}
    for line in csv.DictReader(io.StringIO(read_text(run.evaluation))):  # pandas takes ten times as long for each file
        column, value = line["group_column"], float(line["value"] or "nan")
        part = f"{column}={line['group']}/" if column else ""
        yield f"{line['split']}/{part}{line['metric']}", value
        if column and line["metric"] == "accuracy":
            name = f"{line['split']}/{column}/worst_group_accuracy"
            worst[name] = min(worst.get(name, value), value)
    yield from worst.items()
