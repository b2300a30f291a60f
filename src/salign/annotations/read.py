"""A manifest with maps -> the marks behind them, for an export to other tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.rle import Runs
from salign.annotations.shape_files import Entry, read_shapes
from salign.data.manifest import PROVENANCE, Manifest
from salign.data.reading.image import image_size, read_saliency

_HALF = 0.5


def read_marked(manifest: Manifest, shapes: Path | None = None) -> list[Annotated]:
    """The marks of a manifest: shapes where the file of shapes has all of them, else the map as a mask.

    A map counts from one half of its range on. Rows without a map give nothing; a blank map gives an `Annotated`
    without marks. The label is the row's class; of a machine's map the annotator is its provenance, `model:...`.

    Raises:
        SalignError: a file is damaged, or a map cannot be read.
    """
    entries_of: dict[str, list[Entry]] = {}
    for entry in read_shapes(shapes) if shapes is not None else ():
        if entry.locates or entry.in_map:
            entries_of.setdefault(entry.image, []).append(entry)
    annotated: list[Annotated] = []
    machines = manifest.machine_made
    for i in range(len(manifest)):
        file, path = manifest.saliency_path(i), str(manifest.table["path"].iloc[i])
        if file is None:
            continue
        label, entries = str(manifest.table["label"].iloc[i]), entries_of.get(manifest.image_id(i), [])
        if entries and not any(entry.in_map for entry in entries):
            size = None
            if any(entry.marks.size is None for entry in entries):
                size = image_size(manifest.image_path(i), where=manifest.where(i))
            annotated += [
                replace(entry.marks, image=path, size=entry.marks.size or size, label=label) for entry in entries
            ]
            continue
        values = read_saliency(file, where=manifest.where(i, "saliency")).numpy()
        mask = Runs.of(np.asarray(values >= _HALF))
        who = str(manifest.table[PROVENANCE].iat[i]) if machines[i] else None
        annotated.append(Annotated(path, mask.size, label, mask=mask if mask.pixels else None, annotator=who))
    return annotated
