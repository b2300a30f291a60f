"""Annotations as a manifest with maps, as shapes and as COCO, at any time while people go on annotating."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from salign.annotate.answers import Answer, answered, answers_of, shapes_at
from salign.annotate.collection import Collection
from salign.annotate.export_files import answer_rows, shape_entries, write_shapes
from salign.annotate.export_reading import Reading
from salign.annotate.splits import drawn_splits
from salign.annotations.annotated import Annotated
from salign.annotations.formats.coco import write_coco
from salign.data.manifest import ANSWER, CONFIDENCE, ONE_PERSON, PROVENANCE
from salign.data.manifest.file_names import parts_of_people, slugs
from salign.data.manifest.provenance import provenance_column, provenance_of
from salign.data.manifest.root import ENDING, way_to
from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.errors import SalignError
from salign.files import check_output, replace_text
from salign.maps.aggregate import aggregate as one_map
from salign.maps.files import write_map
from salign.maps.granularity import coarsen
from salign.maps.smooth import smooth

DIFFERING = "differing.csv"
"""Lists the images that were answered otherwise than labelled."""


@dataclass
class Exported:
    """What an export holds; complete when all its files were written."""

    root: Path
    """Folder that the manifest's paths are relative to."""
    images: int = 0
    """Rows of the manifest."""
    maps: int = 0
    """Images that were marked here; others keep the map that the manifest has."""
    answers: int = 0
    unlabelled: list[str] = field(default_factory=list)
    """Images left out of the manifest: nobody labelled them, or the annotators are tied; listed in `left_out.csv`."""
    differing: list[str] = field(default_factory=list)
    """Images whose answer is not the label that was known before, which stays; listed in `DIFFERING`. None where no
    answer is among the labels: the question was another one then."""
    unreadable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Files that cannot be read now, or are no longer what was marked: the image's id and why, by path. An image is
    left out of the manifest, a map from its row; `left_out.csv` lists both. All answers are in the other files."""
    strange: int = 0
    """Answers on images that the study no longer has."""
    columns: dict[int, str] = field(default_factory=dict)
    """Manifest column with the maps of each annotator."""


def export_files(
    collection: Collection, folder: Path, *, below: Path, root: Path, aggregate: str | None = None
) -> Iterator[tuple[str, Exported]]:
    """Write an export file by file; each is whole when its name is given, and may be taken away then.

    Args:
        collection: the study; everything is as of one moment, that of the first file.
        folder: where the files are written.
        below: where they will lie in the end, for the paths in the manifest.
        root: folder above both `below` and the images.
        aggregate: how maps of several people become one, instead of the study's setting.

    Yields:
        the name of the file below the folder, and what was exported so far.
    """
    snapshot = collection.store.snapshot()
    answers, strange = answers_of(collection, snapshot)
    said = answered(collection, answers)
    reading = Reading(collection)
    done = Exported(root, answers=len(answers), unreadable=reading.unreadable, strange=strange)
    people = sorted({answer.person.id: answer.person for answer in answers}.values(), key=lambda one: one.id)
    parts = parts_of_people(person.name for person in people)
    done.columns = {person.id: f"{ONE_PERSON}{parts[person.name]}" for person in people}
    marking: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        for image in answer.unit.images:
            if answer.marked(image):
                marking[image].append(answer)
    images_at = os.path.relpath(collection.catalog.root, root)
    maps_at = os.path.relpath(below, root)
    method = aggregate or collection.study.export.aggregate
    judged = {image for answer in answers if answer.said.review == "reject" for image in answer.unit.images}
    rows: list[dict[str, str | None]] = []
    annotated: list[Annotated] = []
    maps_there = collection.catalog.maps
    people_there = {name for name in maps_there if name.startswith(ONE_PERSON)}
    replaced = {"saliency"} | people_there | set(map(provenance_column, people_there))
    names = dict(zip(collection.catalog.pictures, slugs(list(collection.catalog.pictures)), strict=True))
    for picture in collection.catalog.pictures.values():
        cells: dict[str, str | None] = {"saliency": None, **dict.fromkeys(done.columns.values())}
        if (size := reading.size(picture, marking[picture.id])) is None:
            continue
        made = [(answer, reading.map(answer, picture, size)) for answer in marking[picture.id]]
        maps = [values for _, values in made if values is not None]
        group = [answer for answer, values in made if values is not None]
        if group:
            stack = coarsen(torch.from_numpy(np.stack(maps)), collection.study.export.grain)
            whole = smooth(one_map(stack, method), collection.study.export.sigma)
            for column, values in [("saliency", whole), *_own(collection, done, group, stack)]:
                place = "all" if column == "saliency" else column.removeprefix(ONE_PERSON)
                name = f"maps/{place}/{names[picture.id]}.png"
                write_map(folder / name, values)
                yield name, done
                cells[column] = _joined(maps_at, name)
            annotated += _annotated(group, picture.id, _joined(images_at, picture.path), size)
            done.maps += 1
        label = picture.label or said[picture.id]
        if label is None:
            done.unlabelled.append(picture.id)
            continue
        free: dict[str, str | None] = {
            name: _joined_map(images_at, reading.cell(picture, name)) if name in maps_there else value
            for name, value in picture.cells.items()
            if name not in replaced
        }
        if group or picture.id in judged:
            whose = provenance_of(answer.person.name for answer in group) if group else None
            free |= {PROVENANCE: whose, CONFIDENCE: None}
        elif "saliency" in picture.cells:  # nobody looked at it here: it keeps the map it came with
            cells["saliency"] = _joined_map(images_at, reading.cell(picture, "saliency"))
        row = {"id": picture.id, "path": _joined(images_at, picture.path), "label": label, "split": picture.split}
        rows.append({**row, **cells, **free, ANSWER: said[picture.id] or picture.cells.get(ANSWER)})
    done.images = len(rows)
    drawn = drawn_splits(rows, collection.study.export.shares, collection.study.seed)
    for row, split in zip(rows, drawn, strict=True):
        row["split"] = row["split"] or split
    if rows:
        table = pd.DataFrame(rows)
        write_table(table, folder / "manifest.csv")
        yield "manifest.csv", done
        if steps := way_to(root.resolve(), below.resolve()):
            replace_text(folder / f"manifest.csv{ENDING}", steps)
            yield f"manifest.csv{ENDING}", done
        done.differing = write_differing(table, folder)
        if done.differing:
            yield DIFFERING, done
    left_out = [
        {"id": name, "path": collection.catalog.pictures[name].path, "why": "no label, and no answer that most gave"}
        for name in done.unlabelled
    ] + [{"id": name, "path": path, "why": why} for path, (name, why) in done.unreadable.items()]
    if left_out:
        write_table(for_spreadsheets(pd.DataFrame(left_out)), folder / "left_out.csv")
        yield "left_out.csv", done
    write_table(for_spreadsheets(pd.DataFrame(answer_rows(collection, answers))), folder / "annotations.csv")
    yield "annotations.csv", done
    write_shapes(folder / "shapes.json", collection, shape_entries(collection, answers))
    yield "shapes.json", done
    write_coco(annotated, folder / "coco.json")
    yield "coco.json", done


def write_differing(table: pd.DataFrame, folder: Path) -> list[str]:
    """List the rows of `differing_rows` in the file `DIFFERING` of a folder, which is not there if there is none.

    Returns:
        The ids of these rows.
    """
    differing = differing_rows(table)
    (folder / DIFFERING).unlink(missing_ok=True)
    if len(differing):
        write_table(for_spreadsheets(differing), folder / DIFFERING)
    return [str(name) for name in differing["id"]]


def differing_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Id, path, label and answer of the rows of a manifest whose answer is another than their label.

    None where no answer at all is among the labels: whoever asks "is it sharp?" of images of cats and dogs asks of
    something else.
    """
    answers = table[ANSWER]
    if not set(answers.dropna()) & set(table["label"]):
        return table.iloc[:0][["id", "path", "label", ANSWER]]
    return table[answers.notna() & (answers != table["label"])][["id", "path", "label", ANSWER]]


def export_to(collection: Collection, out: Path, aggregate: str | None = None) -> Exported:
    """Export to a folder: a new one, or one that holds an export already, which is replaced when all is written.

    Raises:
        SalignError: the folder holds something else, or nothing has been annotated.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "shapes.json").is_file())):
        raise SalignError(f"{out}: there is something else than an export; give a new folder")
    root = Path(os.path.commonpath([out, collection.catalog.root]))
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    check_output(partial, folder=True)
    partial.mkdir(parents=True)
    try:
        done = Exported(root)
        for _, done in export_files(collection, partial, below=out, root=root, aggregate=aggregate):  # noqa: B007
            pass
        if not done.answers:
            raise SalignError("nothing has been annotated yet; there is nothing to export")
        earlier = out.with_name(f".{out.name}.{os.getpid()}.old")
        if out.exists():
            out.rename(earlier)
        partial.rename(out)
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def _own(
    collection: Collection, done: Exported, group: Sequence[Answer], maps: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    for answer, values in zip(group, maps, strict=True):
        yield done.columns[answer.person.id], smooth(values, collection.study.export.sigma)


def _annotated(group: Sequence[Answer], image: str, path: str, size: tuple[int, int]) -> Iterator[Annotated]:
    for answer in group:
        if shapes := shapes_at(answer, image, size, size):
            label = answer.said.answer if answer.said.side is None else None
            yield Annotated(path, size, label or "marked", tuple(shapes), annotator=answer.person.name)


def _joined_map(folder: str, name: str | None) -> str | None:
    return None if name is None else _joined(folder, name)


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{Path(folder).as_posix()}/{name}"
