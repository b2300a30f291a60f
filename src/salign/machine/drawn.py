"""Maps that a run draws for the images of another run: drawn once, and kept in the folder of the run that drew them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from salign.class_names import names_in
from salign.data.manifest import CONFIDENCE, PROVENANCE, Manifest
from salign.files import replace_csv
from salign.machine.annotate import draw_maps
from salign.machine.makers import device_of, maker_of_runs
from salign.machine.options import unknown_classes
from salign.readers import known_digest, read_csv

FOLDER = "maps"
"""Folder inside a run's folder with the maps that the run drew."""
_TABLE = "maps.csv"


def with_drawn_maps(
    rows: Manifest,
    runs: Sequence[Path],
    *,
    images: str = "rest",
    label: str | None = None,
    method: str = "cam",
    of: str = "true",
    masks: int = 1000,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> Manifest:
    """Return the rows with maps that a machine drew; maps drawn before for the same images are used again.

    Args:
        rows: the images, with the maps of people that may be kept.
        runs: folders of finished runs of nets that draw maps, or of classifiers; the mean map of several runs is taken.
        images: "rest" draws for rows without a map, and keeps the other maps; "all" draws for every row, and drops all
            maps that the rows had.
        label: draw only for rows of this class; None = all.
        method: how a classifier marks its evidence; see `TeacherMaker`.
        of: the class whose evidence a classifier marks; see `TeacherMaker`.
        masks: number of masks of RISE.
        seed: seed of the masks of RISE.
        device: one of `salign.machine.options.DEVICES`.
        progress: whether to show a progress bar.

    Raises:
        SalignError: a run cannot draw maps, an image cannot be read, or there is no such device.
    """
    drawing = device_of(device)
    table, text = rows.table, rows.table["saliency"].dtype
    missing = table["saliency"].isna() if images == "rest" else pd.Series(True, index=table.index)
    if label is not None:
        missing &= table["label"].map(lambda cell: label in names_in(cell) if rows.multi_label else cell == label)
    positions = np.flatnonzero(missing.to_numpy(dtype=bool))
    people = table["saliency"].isna() | (images == "all")
    bare = table.assign(saliency=table["saliency"].mask(people))
    if PROVENANCE in table:
        bare[PROVENANCE] = table[PROVENANCE].mask(people)
    if not len(positions):
        return replace(rows, table=bare)
    undrawn = replace(rows, table=bare).take(positions)
    options: dict[str, Any] = {"method": method, "of": of, "masks": masks, "seed": seed}
    maps = _drawn(undrawn, [Path(run) for run in runs], options, drawing, progress)
    for column in ("saliency", PROVENANCE):
        cells = bare[column] if column in bare else pd.Series(pd.NA, index=bare.index, dtype=text)
        new = maps[column].astype(text).set_axis(positions).reindex(bare.index)
        bare[column] = cells.where(new.isna(), new)
    return replace(rows, table=bare)


def _drawn(rows: Manifest, runs: list[Path], options: dict[str, Any], device: str, progress: bool) -> pd.DataFrame:
    """Return the maps of these rows, read from the folder that holds them or, if there is none, drawn into it.

    If another process is drawing the same maps, this one waits for it.
    """
    maker = maker_of_runs(runs, **options, device=device)
    unknown_classes(rows, maker.classes, options["of"])
    content = {
        "maker": maker.name,
        **(options if maker.classes else {}),
        "images": rows.table[["row", "path", "label"]].astype(str).to_numpy().tolist(),
        "content": [known_digest(rows.image_path(i)) for i in range(len(rows))],
    }
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    folder = runs[0].resolve() / FOLDER / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{key}.lock")):
        if not (folder / _TABLE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # left by a process that was stopped
            maps = draw_maps(rows, maker, folder, device=device, progress=progress)
            maps["saliency"] = [Path(path).name for path in maps["saliency"]]
            replace_csv(folder / _TABLE, maps)
    maps = read_csv(folder / _TABLE, dtype={"saliency": str, PROVENANCE: str, CONFIDENCE: float})
    return maps.assign(saliency=[str(folder / name) for name in maps["saliency"]])
