"""Writing annotations as maps and a manifest: what `salign maps import` does after it has read a tool's file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import normpath

import numpy as np
import pandas as pd

from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.annotations.match import Images
from salign.annotations.resolve import MarkedImage, Naming, settle
from salign.annotations.shape_files import entry_line, merge_shapes, shapes_file
from salign.data.manifest import CONFIDENCE, MACHINE, ONE_PERSON, PROVENANCE, UNKNOWN, Fault, Manifest, ManifestError
from salign.data.manifest.derive import move_root
from salign.data.manifest.file_names import output_names, parts_of_people
from salign.data.manifest.folder_layout import folder_layout
from salign.data.manifest.provenance import MASK, PERSON, provenance_column, provenance_of
from salign.errors import SalignError
from salign.files import check_output, common_folder, relative_path
from salign.maps import AGGREGATES
from salign.maps.files import write_map
from salign.maps.shapes import Fixation
from salign.progress import track

COMBINE = (*AGGREGATES, "each")
"""The ways to combine several people's maps of one image; `each` keeps everybody's map in a row of its own."""

Row = dict[str, object]


@dataclass(frozen=True)
class Output:
    """Where an import writes, and how it combines several people's maps.

    Raises:
        SalignError: `combine` is not one of `COMBINE`.
    """

    out: Path | str | None = None
    """The folder in which the folders `maps` and `annotators` are written. None takes the folder above the images, or
    the root of the manifest into which the maps are merged."""
    target: Path | str | None = None
    """The file of the manifest. None takes `manifest.csv` in the nearest common folder of the images and `out`."""
    split: str | None = None
    """The split of all images, if no manifest is merged into. None takes the splits that the folders of the images say,
    or else `train`."""
    combine: str = "union"
    """One of `COMBINE`. In a `union`, the fixations of several people are pooled before they are drawn. `each` writes
    one row per person instead of one combined map."""
    sigma: float | None = None
    """Standard deviation of the Gaussian of fixations, in pixels of the image."""
    leave_out: bool = False
    """Whether to leave out what is faulty instead of refusing the whole import."""
    overwrite: bool = False
    """Whether to replace an existing manifest."""

    def __post_init__(self) -> None:
        if self.combine not in COMBINE:
            raise SalignError(f"people's maps are combined by {', '.join(COMBINE)}; there is no {self.combine!r}")


@dataclass(frozen=True)
class ImportResult:
    """The result of `write_annotated`."""

    path: Path
    """The file of the manifest."""
    manifest: Manifest
    """The manifest that was written."""
    maps: int
    """How many images got a map."""
    blank: int
    """How many of these images got a blank map."""
    left_out: tuple[Fault, ...]
    """The faults whose annotations were left out."""
    resized: tuple[str, ...]
    """Images whose marks were scaled because the tool showed the image at another size with the same aspect ratio."""
    unnamed: tuple[str, ...] = ()
    """Images that are not in the manifest, because no annotation names them and nothing else says their class."""


def write_annotated(
    annotated: Iterable[Annotated],
    images: Path | str | None = None,
    output: Output | None = None,
    *,
    base: Manifest | None = None,
    naming: Naming | None = None,
    annotator: str | None = None,
    by_name: bool = False,
    faults: Sequence[Fault] = (),
    progress: bool = False,
) -> ImportResult:
    """Write `maps/*.png` (16-bit grey), `shapes.json`, and last the manifest, each whole or not at all.

    An image with an annotation that marks nothing gets a blank map; an image that no annotation names gets no map. The
    marks of one person on one image are united. If several people marked images, or if maps of named people are merged
    into a manifest, everybody's own map is written, too, in a column `saliency_<who>`.

    Args:
        annotated: the annotations, as a reader returns them.
        images: the folder of the images; nothing outside it is read. With `base`, only its rows in this folder count.
        output: where to write, and how several people's maps are combined.
        base: a manifest into which the maps are merged: its rows, classes and splits stay. If None, the images that
            annotations name become the rows.
        naming: how labels become classes. None takes the tool's labels as classes. With `base`, its classes count.
        annotator: the annotator of all marks whose annotator the tool does not name.
        by_name: whether to match images by their names alone, whatever folders the tool gives.
        faults: what the reader left out as faulty; these faults are reported together with those found here.
        progress: whether to show a progress bar.

    Raises:
        ManifestError: everything that is wrong with the annotations, at once, unless `output.leave_out`; or nothing is
            left to import.
        SalignError: an argument is missing or contradicts another, the manifest exists already, or something else is
            in the way.
    """
    output, naming = output or Output(), naming or Naming()
    top, folder, root = _places(images, output, base)
    target = Path(output.target).resolve() if output.target is not None else root / "manifest.csv"
    if target.exists() and not output.overwrite:
        raise SalignError(
            f"{target} is there: merge into it (--manifest), have it replaced (--overwrite), or choose another --out"
        )
    check_output(target)
    check_output(folder / "maps", folder=True)
    if base is None:
        listed = Images.below(top, skip=(folder / "maps", folder / "annotators"), by_name=by_name)
    else:
        naming = replace(naming, classes=dict(zip(base.table["path"], base.table["label"].fillna(""), strict=True)))
        within = top if images is None else Path(images).resolve()
        inside = (path for path in base.table["path"] if (top / path).resolve().is_relative_to(within))
        listed = Images(inside, by_name=by_name)
    signed = [mark if mark.annotator or annotator is None else replace(mark, annotator=annotator) for mark in annotated]
    if output.sigma is None and any(_needs_sigma(mark) for mark in signed):
        raise SalignError("fixations become maps by a Gaussian: give its sigma in pixels of the image (--sigma)")
    settled = settle(signed, listed, top, naming)
    wrong = (*faults, *settled.faults)
    if wrong and not output.leave_out:
        raise ManifestError.of(wrong, str(top), "mend them, or take all others and leave these out (--leave-out)")
    if not settled.marked:
        raise ManifestError.of([*wrong, Fault(None, "annotations", "nothing is left to import")], str(top))
    people = {who for image in settled.marked for who in image.people}
    several = len(people) > 1 or (base is not None and people != {None})
    columns = [] if base is None else [str(name) for name in base.table]
    parts = parts_of_people(sorted(people, key=lambda who: who or ""), columns)
    own = parts if several or output.combine == "each" else {}
    writer = _Writer(top, folder, root, output, listed.paths, own, columns)
    images_drawn = track(settled.marked, "drawing maps", show=progress)
    cells = {writer.below_root(image.path): writer.cells(image) for image in images_drawn}
    old = [writer.row(image) for image in settled.marked] if base is None else _rows(base, root)
    table = pd.DataFrame([row for each in old for row in _filled(each, cells)]).fillna("")
    manifest = Manifest.of(table, root, target.name, multi_label=base is not None and base.multi_label)
    marked = {writer.below_root(image.path): image for image in settled.marked}
    lines: dict[str, list[str]] = {}
    for row in old:
        if (image := marked.get(str(row["path"]))) is not None:
            lines |= _lines(str(row["id"]), image, own if output.combine == "each" else None)
    merge_shapes(
        shapes_file(target), lines, earlier=None if base is None or base.file is None else shapes_file(base.file)
    )
    manifest.write(target)
    known = {str(row["path"]) for row in old}
    unnamed = tuple(path for path in listed.paths if writer.below_root(path) not in known)
    return ImportResult(target, manifest, len(cells), writer.blank, wrong, tuple(settled.resized), unnamed)


def _places(images: Path | str | None, output: Output, base: Manifest | None) -> tuple[Path, Path, Path]:
    """Return the folder to which paths of images are relative, the folder of the maps, and the manifest's root."""
    if images is not None and not Path(images).is_dir():
        raise SalignError(f"no such folder: {images}")
    if base is not None:
        top = base.root
    elif images is not None:
        top = Path(images).resolve()
    else:
        raise SalignError("give the folder of the images (--images), or a manifest that lists them (--manifest)")
    folder = Path(output.out).resolve() if output.out is not None else top if base is not None else top.parent
    return top, folder, common_folder(top, folder)


def _lines(name: str, image: MarkedImage, parts: Mapping[str | None, str] | None) -> dict[str, list[str]]:
    """Return the entries of an image in the file of shapes, by the id of the row to whose map they belong.

    A row with a mask among its marks has no entries, because shapes alone would not give its whole map.

    Args:
        name: the id of the image's row before the import.
        image: the image with everybody's marks.
        parts: the part of names for each person, if everybody gets a row; None if all people share one row.
    """
    if parts is None:
        rows = {name: [mark for ones in image.people.values() for mark in ones]}
    else:
        rows = {name: []} | {f"{name}@{parts[who]}": marks for who, marks in image.people.items()}
    return {
        row: [
            entry_line(
                row,
                replace(mark, image=image.path, size=image.size),
                answer=image.label or None,
                label=mark.label,
                blank=not mark.shapes,
                skipped=None,
            )
            for mark in marks
            if all(each.mask is None for each in marks)
        ]
        for row, marks in rows.items()
    }


def _needs_sigma(mark: Annotated) -> bool:
    return any(isinstance(shape, Fixation) and shape.spread is None for shape in mark.shapes)


def _rows(base: Manifest, root: Path) -> list[Row]:
    """Return the rows of a manifest with their paths relative to the new root."""
    records = move_root(base, root).drop(columns="row").to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]


def _filled(row: Row, cells: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return a row with its new cells, as several rows if every person gets one.

    The confidence of a machine in the old map is removed from the row.

    Args:
        row: the row.
        cells: the new cells by the image's path, a list of one or several rows per image.
    """
    new = cells.get(str(row["path"]))
    if new is None:
        return [row]
    unsaid = {CONFIDENCE: ""} if CONFIDENCE in row else {}
    return [row | unsaid | cell | {"id": f"{row['id']}{cell.get('id', '')}"} for cell in new]


class _Writer:
    """Draws the maps of one image after another, and gives the cells of the manifest that describe them."""

    def __init__(
        self,
        top: Path,
        folder: Path,
        root: Path,
        output: Output,
        paths: Sequence[str],
        parts: Mapping[str | None, str],
        columns: Collection[str],
    ) -> None:
        """Take the places to write to and what the manifest has already.

        Args:
            top: the folder to which the paths of images are relative.
            folder: the folder in which `maps` and `annotators` are written.
            root: the root of the manifest.
            output: the options of the import.
            paths: the paths of all images.
            parts: the part of names for each person whose own maps are written.
            columns: the columns that the manifest has already.

        Raises:
            SalignError: a split is given, and the folders of the images say splits, too.
        """
        self.folder, self.root, self.output, self.parts, self.columns = folder, root, output, parts, columns
        self.top = top
        self.layout = folder_layout(paths)
        if output.split is not None and self.layout.split is not None:
            known = ", ".join(sorted({str(self.layout.split_of(path)) for path in paths}))
            raise SalignError(f"{top}: its folders say the splits {known}; leave the split {output.split!r} out")
        self.names = dict(output_names(sorted(paths, key=lambda path: path.rpartition("/")[::2]), ""))
        self.blank = 0

    def below_root(self, path: str) -> str:
        """Return the path of an image relative to the root of the manifest."""
        return relative_path(self.top / path, self.root)

    def name(self, path: str) -> str:
        """Return the path of an image without its suffix, or with it if another image has the same path without it."""
        return normpath(self.names[path])

    def row(self, image: MarkedImage) -> Row:
        split = self.layout.split_of(image.path) or self.output.split or "train"
        return {
            "id": self.name(image.path),
            "path": self.below_root(image.path),
            "label": image.label,
            "split": split,
            "saliency": "",
        }

    def cells(self, image: MarkedImage) -> list[Row]:
        """Write the maps of an image, and return the new cells of its row (of its rows, for `each`)."""
        size, sigma, name = image.size, self.output.sigma, self.name(image.path)
        own = {who: draw_marks(marks, size, sigma) for who, marks in image.people.items() if who in self.parts}
        files = {who: self._write(f"annotators/{self.parts[who]}/{name}.png", values) for who, values in own.items()}
        if self.output.combine == "each":
            self.blank += not any(values.any() for values in own.values())
            return [
                {
                    "saliency": file,
                    PROVENANCE: _provenance(image, [who]),
                    "annotator": who or "",
                    "id": f"@{self.parts[who]}",
                }
                for who, file in files.items()
            ]
        if own and self.output.combine != "union":
            import torch  # late, so that errors in the annotations do not wait for the import

            whole = AGGREGATES[self.output.combine](torch.from_numpy(np.stack(list(own.values())))).numpy()
        else:
            whole = draw_marks([values for marks in image.people.values() for values in marks], size, sigma)
        self.blank += not whole.any()
        row: Row = {"saliency": self._write(f"maps/{name}.png", whole), PROVENANCE: _provenance(image, image.people)}
        for who, file in files.items():
            column = f"{ONE_PERSON}{self.parts[who]}"
            row[column] = file
            if provenance_column(column) in self.columns or (who and who.startswith(MACHINE)):
                row[provenance_column(column)] = _provenance(image, [who])
        return [row]

    def _write(self, name: str, values: np.ndarray) -> str:
        return write_map(self.folder / name, values).relative_to(self.root).as_posix()


def _provenance(image: MarkedImage, people: Iterable[str | None]) -> str:
    """Return the provenance of a map that these people made together.

    For people without a name, fixations are taken for those of a person; areas may be made by a machine, too.
    """
    makers = list(people)
    looked = any(isinstance(shape, Fixation) for who in makers for mark in image.people[who] for shape in mark.shapes)
    return provenance_of(makers, f"{PERSON}{UNKNOWN}" if looked else MASK)
