"""The export of annotations: a manifest with maps, the shapes, and COCO. It may run while people go on annotating."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from salign.annotate.answers import answer_of
from salign.annotate.catalog import Picture
from salign.annotate.collection import Collection
from salign.annotate.export_files import about_study, answer_rows, comment_rows, shapes_line, summary_sentences
from salign.annotate.export_reading import ImageAnswer, Reading
from salign.annotate.splits import draw_splits
from salign.annotations.annotated import Annotated
from salign.annotations.draw import scaled_to
from salign.annotations.formats.coco import write_coco
from salign.annotations.formats.export import HALF, outlines
from salign.annotations.rle import Runs
from salign.annotations.shape_files import write_entries
from salign.data.manifest import ANSWER, CONFIDENCE, ONE_PERSON, PROVENANCE
from salign.data.manifest.file_names import parts_of_people, slugs
from salign.data.manifest.provenance import provenance_column, provenance_of
from salign.data.manifest.root import ENDING, way_to
from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.errors import SalignError
from salign.files import check_output, common_folder, relative_path, replace_text, replacing_folder
from salign.maps.aggregate import aggregate as one_map
from salign.maps.files import write_map
from salign.maps.granularity import coarsen
from salign.maps.smooth import smooth

DIFFERING = "differing.csv"
"""Name of the file that lists the images whose answer is not their label."""
_FILES = {
    "manifest.csv", f"manifest.csv{ENDING}", DIFFERING, "left_out.csv", "annotations.csv", "shapes.json", "coco.json",
    "comments.csv", "summary.txt", "README.txt",
}  # fmt: skip
"""All files that an export may have beside its maps; `README.txt` is in those that were downloaded."""
_OF_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""Files that a file manager leaves in a folder that somebody looked at."""
_MAPS = ("maps", ".png")
"""The uppermost folder and the ending of the maps of an export."""


@dataclass
class ExportResult:
    """The contents of an export. They are complete when all its files have been written."""

    root: Path
    """Folder that the paths in the manifest are relative to."""
    images: int = 0
    """Number of rows of the manifest."""
    maps: int = 0
    """Number of images that were marked in this study. Other images keep the map of the manifest, if it has one."""
    answers: int = 0
    unlabelled: list[str] = field(default_factory=list)
    """Ids of images that are not in the manifest, because nobody labelled them or the annotators are tied.
    `left_out.csv` lists them."""
    differing: list[str] = field(default_factory=list)
    """Ids of images whose answer is not the label that was known before; the manifest keeps that label. `DIFFERING`
    lists them. The list is empty if no answer is among the labels, since the study asked another question then."""
    unreadable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Files that cannot be read now, or whose shape is no longer the one that was marked: by path, the id of the image
    and the reason. Such an image is left out of the manifest, and such a map out of its row; `left_out.csv` lists both.
    The other files of the export still have all answers."""
    strange: int = 0
    """Number of answers on images that the study no longer has."""
    summary: list[str] = field(default_factory=list)
    """Sentences on whether more annotators are needed, what the maps cost, and which answers were sent back. They are
    also in `summary.txt`."""
    columns: dict[int, str] = field(default_factory=dict)
    """For each annotator, by number, the column of the manifest with this person's maps."""


def export_files(
    collection: Collection, folder: Path, *, below: Path, root: Path, aggregate: str | None = None
) -> Iterator[tuple[str, ExportResult]]:
    """Write an export file by file. Each file is complete when its name is yielded, and may be removed then.

    Args:
        collection: the study. All answers are taken as they are when the generator starts.
        folder: folder in which the files are written.
        below: folder in which the files will lie in the end; the paths in the manifest are made for it.
        root: folder that contains both `below` and the images; the paths in the manifest are relative to it.
        aggregate: method that makes one map of the maps of several people, instead of the one in the study.

    Yields:
        The path of the file relative to `folder`, and what has been exported so far.
    """
    export = _Export(collection, folder, below, root, aggregate)
    for picture in collection.catalog.pictures.values():
        for name in export.picture(picture):
            yield name, export.done
    for name in export.tables():
        yield name, export.done


def write_differing(table: pd.DataFrame, folder: Path) -> list[str]:
    """Write the rows of `differing_rows` to the file `DIFFERING` in a folder.

    If there are no such rows, an existing file is deleted and none is written.

    Returns:
        The ids of these rows.
    """
    differing = differing_rows(table)
    (folder / DIFFERING).unlink(missing_ok=True)
    if len(differing):
        write_table(for_spreadsheets(differing), folder / DIFFERING)
    return [str(name) for name in differing["id"]]


def differing_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return id, path, label and answer of the rows of a manifest whose answer is not their label.

    No row is returned if no answer in the whole manifest is among the labels: then the study asked another question,
    such as "is it sharp?" about images that are labelled as cats and dogs.
    """
    answers = table[ANSWER]
    if not set(answers.dropna()) & set(table["label"]):
        return table.iloc[:0][["id", "path", "label", ANSWER]]
    return table[answers.notna() & (answers != table["label"])][["id", "path", "label", ANSWER]]


def export_to(collection: Collection, out: Path, aggregate: str | None = None) -> ExportResult:
    """Export to a folder that is new or empty, or holds an earlier export.

    An earlier export is replaced only after the new one has been written completely. A folder counts as an earlier
    export if it has the files `annotations.csv` and `shapes.json`.

    Raises:
        SalignError: the folder holds something else, a file that no export has is among those of an earlier one, or
            nothing has been annotated.
    """
    out = out.resolve()
    _check_replaceable(out)
    root = common_folder(out, collection.catalog.root)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    check_output(partial, folder=True)
    partial.mkdir(parents=True)
    try:
        done = ExportResult(root)
        for _, done in export_files(collection, partial, below=out, root=root, aggregate=aggregate):  # noqa: B007
            pass
        if not done.answers:
            raise SalignError("nothing has been annotated yet; there is nothing to export")
        with replacing_folder(out, partial):
            pass
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def _check_replaceable(out: Path) -> None:
    """Raise a SalignError if something at `out` would be lost that no export has written."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not all((out / name).is_file() for name in ("annotations.csv", "shapes.json")):
        raise SalignError(f"{out}: there is something else than an export; give a new folder")
    files = [
        file.relative_to(out) for file in sorted(out.rglob("*")) if not file.is_dir() and file.name not in _OF_SYSTEMS
    ]
    if strange := [str(file) for file in files if str(file) not in _FILES and (file.parts[0], file.suffix) != _MAPS]:
        raise SalignError(f"{out}: no export has the file {strange[0]}; move it away, or give a new folder")


class _Export:
    """Exports the images one by one, and collects their rows for the tables, which are written at the end."""

    def __init__(self, collection: Collection, folder: Path, below: Path, root: Path, aggregate: str | None) -> None:
        """Look up which answers there are. No image is read yet."""
        self.collection, self.folder, self.below = collection, folder, below
        self.reading, self.settings = Reading(collection), collection.study.export
        self.method = aggregate or self.settings.aggregate
        reading = self.reading
        self.done = ExportResult(
            root, answers=len(reading.tasks), unreadable=reading.unreadable, strange=reading.strange
        )
        parts = parts_of_people(person.name for person in reading.people)
        self.done.columns = {person.id: f"{ONE_PERSON}{parts[person.name]}" for person in reading.people}
        self.images_at = relative_path(collection.catalog.root, root)
        self.maps_at = relative_path(below, root)
        pictures = collection.catalog.pictures
        self.names = dict(zip(pictures, slugs(list(pictures)), strict=True))
        self.rows: list[dict[str, str | None]] = []
        self.lines: dict[tuple[int, int], str] = {}
        """Entries of `shapes.json`, by the number of the answer and the index of the image in its task."""
        self.annotated: list[Annotated] = []
        people = {name for name in collection.catalog.maps if name.startswith(ONE_PERSON)}
        self.replaced = {"saliency"} | people | set(map(provenance_column, people))

    def picture(self, picture: Picture) -> Iterator[str]:
        """Write the maps of an image and yield their names.

        Its row of the manifest and its entries in `shapes.json` and COCO are kept until `tables` writes them.
        """
        answers, size = self.reading.answers_on(picture.id), self.reading.size(picture)
        for entry in answers:
            key = entry.number, entry.answer.task.images.index(picture.id)
            self.lines[key] = shapes_line(entry, picture.id, size)
        marking = [entry for entry in answers if entry.answer.marked(picture.id)]
        if size is None or not self.reading.is_as_marked(picture, size, [entry.marks for entry in marking]):
            return
        maps = [(entry, self.reading.map(picture, entry.marks, size)) for entry in marking]
        readable = [(entry, values) for entry, values in maps if values is not None]
        cells: dict[str, str | None] = {"saliency": None, **dict.fromkeys(self.done.columns.values())}
        if readable:
            for column, name, values in self._maps(picture, readable):
                write_map(self.folder / name, values)
                yield name
                cells[column] = _joined(self.maps_at, name)
            self.done.maps += 1
            path = _joined(self.images_at, picture.path)
            self.annotated += [
                _for_coco(entry, path, size, values)
                for entry, values in readable
                if entry.marks.shapes or entry.marks.mask is not None
            ]
        answer = answer_of(self.collection, picture.id, [entry.answer for entry in answers])
        label = picture.label or answer
        if label is None:
            self.done.unlabelled.append(picture.id)
            return
        free = self._free_cells(picture)
        rejected = any(entry.answer.annotation.review == "reject" for entry in answers)
        if readable or rejected or self._is_of_an_export(picture):
            whose = provenance_of(entry.answer.person.name for entry, _ in readable) if readable else None
            free |= {PROVENANCE: whose, CONFIDENCE: None}
        elif "saliency" in picture.cells:  # nobody marked it in this study: it keeps its map
            cells["saliency"] = self._cell(picture, "saliency")
        row = {"id": picture.id, "path": _joined(self.images_at, picture.path), "label": label, "split": picture.split}
        self.rows.append({**row, **cells, **free, ANSWER: answer or picture.cells.get(ANSWER)})

    def tables(self) -> Iterator[str]:
        """Write the files that cover all images, such as the manifest, and yield their names."""
        collection, done, rows, folder = self.collection, self.done, self.rows, self.folder
        done.images = len(rows)
        for row, split in zip(rows, draw_splits(rows, self.settings.shares, collection.study.seed), strict=True):
            row["split"] = row["split"] or split
        if rows:
            table = pd.DataFrame(rows)
            write_table(table, folder / "manifest.csv")
            yield "manifest.csv"
            if steps := way_to(done.root.resolve(), self.below.resolve()):
                replace_text(folder / f"manifest.csv{ENDING}", steps)
                yield f"manifest.csv{ENDING}"
            done.differing = write_differing(table, folder)
            if done.differing:
                yield DIFFERING
        nobody = "no label, and no answer that most gave"
        paths = {name: collection.catalog.pictures[name].path for name in done.unlabelled}
        left_out = [{"id": name, "path": path, "why": nobody} for name, path in paths.items()]
        left_out += [{"id": name, "path": path, "why": why} for path, (name, why) in done.unreadable.items()]
        if left_out:
            write_table(for_spreadsheets(pd.DataFrame(left_out)), folder / "left_out.csv")
            yield "left_out.csv"
        answers = pd.DataFrame(answer_rows(collection, self.reading))
        write_table(for_spreadsheets(answers), folder / "annotations.csv")
        yield "annotations.csv"
        lines = (line for _, line in sorted(self.lines.items()))
        write_entries(folder / "shapes.json", lines, about={"study": about_study(collection)})
        yield "shapes.json"
        write_coco(self.annotated, folder / "coco.json")
        yield "coco.json"
        if comments := comment_rows(self.reading):
            write_table(for_spreadsheets(pd.DataFrame(comments)), folder / "comments.csv")
            yield "comments.csv"
        done.summary = summary_sentences(collection, self.reading)
        if done.summary:
            replace_text(folder / "summary.txt", "".join(f"{sentence}\n" for sentence in done.summary))
            yield "summary.txt"

    def _maps(
        self, picture: Picture, readable: list[tuple[ImageAnswer, np.ndarray]]
    ) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Yield column, file name and `(H, W)` map: first for everybody together, then for each annotator."""
        stack = coarsen(torch.from_numpy(np.stack([values for _, values in readable])), self.settings.grain)
        columns = [self.done.columns[entry.answer.person.id] for entry, _ in readable]
        for column, values in zip(["saliency", *columns], [one_map(stack, self.method), *stack], strict=True):
            folder = "all" if column == "saliency" else column.removeprefix(ONE_PERSON)
            yield column, f"maps/{folder}/{self.names[picture.id]}.png", smooth(values, self.settings.sigma)

    def _free_cells(self, picture: Picture) -> dict[str, str | None]:
        """Return the cells of an image that the export keeps.

        These are all cells except the image's map, the maps of single people and the provenance of the latter.
        """
        maps = self.collection.catalog.maps
        cells = {name: value for name, value in picture.cells.items() if name not in self.replaced}
        return {name: self._cell(picture, name) if name in maps else value for name, value in cells.items()}

    def _is_of_an_export(self, picture: Picture) -> bool:
        """Return whether the map of an image lies in the export that this export replaces.

        If nobody marks the image now, that map comes from marks that were withdrawn, and must not be kept.
        """
        path = picture.cells.get("saliency")
        return path is not None and (self.collection.catalog.root / path).resolve().is_relative_to(self.below)

    def _cell(self, picture: Picture, column: str) -> str | None:
        """Return the path, relative to the new root, of a map in the study's manifest; None if it cannot be read."""
        path = self.reading.cell(picture, column)
        return None if path is None else _joined(self.images_at, path)


def _for_coco(entry: ImageAnswer, path: str, size: tuple[int, int], values: np.ndarray) -> Annotated:
    """Return the marks in a form that COCO has: outlines if nothing else was drawn, else the drawn map as a mask."""
    label = entry.answer.annotation.answer if entry.answer.annotation.side is None else None
    marks = replace(scaled_to(entry.marks, size), image=path, size=size, label=label or "marked")
    if marks.mask is not None:  # a picture, which may be grey and of another size
        return replace(marks, mask=Runs.of(values >= HALF))
    return marks if outlines(marks) is not None else replace(marks, shapes=(), mask=Runs.of(values > 0))


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{Path(folder).as_posix()}/{name}"
