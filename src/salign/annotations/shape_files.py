"""`shapes.json` beside a manifest: the marks behind the maps, as they were drawn, by image and annotator.

`{"annotations": [{"image": id, "annotator": ..., "answer": class, "label": ..., "skipped": null, "size": [H, W],
"shapes": [...]}, ...]}`. Only images whose marks are all shapes are in it; of masks, the map is all there is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import Field, read_json, size_of
from salign.annotations.resolve import Marked
from salign.annotations.rle import Runs, checked_size
from salign.data.manifest import PROVENANCE, Manifest
from salign.data.reading.image import image_size, read_saliency
from salign.files import replace_text
from salign.maps.shapes import shape_from_json, shape_to_json

_HALF = 0.5


def shapes_file(manifest: Path) -> Path:
    """Where the shapes of a manifest are: `shapes.json` beside `manifest.csv`, `NAME-shapes.json` beside `NAME.csv`."""
    return manifest.with_name("shapes.json" if manifest.stem == "manifest" else f"{manifest.stem}-shapes.json")


def write_shapes(path: Path, marked: Mapping[str, Marked], *, keep: bool = False) -> Path | None:
    """Write the shapes of images by id.

    Args:
        path: the file.
        marked: images by id.
        keep: keep what a file that is there says of other images.

    Returns:
        The file; None where there are no shapes to write.
    """
    entries = [entry for name, image in marked.items() for entry in _entries(name, image)]
    if keep and path.is_file():
        old = read_json(path)["annotations"].each()
        entries = [entry.value for entry in old if entry["image"].text() not in marked] + entries
    if not entries and not path.is_file():
        return None
    replace_text(path, json.dumps({"annotations": entries}))
    return path


def _entries(name: str, image: Marked) -> list[dict[str, object]]:
    marks = [(who, one) for who, ones in image.people.items() for one in ones]
    if any(one.mask is not None for _, one in marks):
        return []
    return [
        {
            "image": name,
            "annotator": who,
            "answer": image.label,
            "label": one.label,
            "skipped": None,
            "size": list(image.size),
            "shapes": [shape_to_json(shape) for shape in one.shapes],
        }
        for who, one in marks
    ]


def read_marked(manifest: Manifest, shapes: Path | None = None) -> list[Annotated]:
    """The marks of a manifest, for an export: shapes where the file of shapes has them, else the map as a mask.

    A map counts from one half of its range on. Rows without a map give nothing; a blank map gives an `Annotated`
    without marks. The label is the row's class; of a machine's map the annotator is its provenance, `model:...`.

    Raises:
        SalignError: a file is damaged, or a map cannot be read.
    """
    drawn: dict[str, list[Field]] = {}
    if shapes is not None:
        for entry in read_json(shapes)["annotations"].each():
            skipped = entry.get("skipped")
            if skipped is None:
                drawn.setdefault(entry["image"].text(), []).append(entry)
    found: list[Annotated] = []
    machines = manifest.machine_made
    for i in range(len(manifest)):
        file, path = manifest.saliency_path(i), str(manifest.table["path"].iloc[i])
        if file is None:
            continue
        label = str(manifest.table["label"].iloc[i])
        if entries := drawn.get(manifest.image_id(i)):
            found += [_annotated(entry, path, label, manifest, i) for entry in entries]
            continue
        values = read_saliency(file, where=manifest.where(i, "saliency")).numpy()
        mask = Runs.of(np.asarray(values >= _HALF))
        who = str(manifest.table[PROVENANCE].iat[i]) if machines[i] else None
        found.append(Annotated(path, mask.size, label, mask=mask if mask.pixels else None, annotator=who))
    return found


def _annotated(entry: Field, path: str, label: str, manifest: Manifest, i: int) -> Annotated:
    given, who = entry.get("size"), entry.get("annotator")
    if given is None:
        size = image_size(manifest.image_path(i), where=manifest.where(i))
    else:
        sides = given.each()
        size = size_of(*sides) if len(sides) == 2 else given.fail("[height, width]")
    checked_size(*size)
    shapes = tuple(shape.make(shape_from_json, shape.value) for shape in entry["shapes"].each())
    return Annotated(path, size, label, shapes, annotator=who.name() if who else None)
