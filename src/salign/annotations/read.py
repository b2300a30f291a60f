"""Reading the marks behind the maps of a manifest, to export them to annotation tools."""

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
    """Return the marks behind the maps of a manifest.

    The marks are shapes if the file of shapes has all marks of an image, else the map as a mask of the pixels with a
    value of at least 0.5. A row without a map gives no `Annotated`, and a blank map gives one without marks. The label
    is the class of the row. For a mask of a machine's map, the annotator is the map's provenance, `model:...`.

    Args:
        manifest: the manifest.
        shapes: the file of shapes of the manifest; None takes all marks from the maps.

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
