"""Annotations -> a manifest with maps: what `salign maps import` does once a tool's file is read."""

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
"""What may become of several people's maps of one image."""

Row = dict[str, object]


@dataclass(frozen=True)
class Output:
    """Where an import writes, and what becomes of several people's maps."""

    out: Path | str | None = None
    """Folder of the maps; the folder above the images when None, or that of the manifest that is merged into."""
    target: Path | str | None = None
    """File of the manifest; `manifest.csv` in the nearest folder above images and maps when None."""
    split: str | None = None
    """Name of the only split, where nothing is merged into; when None what the folders say, else `train`."""
    combine: str = "union"
    """One of `COMBINE`. In a `union`, fixations of several people are put together before they are drawn. `each` gives
    a row for every person instead of one combined map."""
    sigma: float | None = None
    """Standard deviation of the Gaussian of fixations, in pixels of the image."""
    leave_out: bool = False
    """Leave out what is faulty instead of refusing everything."""
    overwrite: bool = False
    """Replace a manifest that is there."""

    def __post_init__(self) -> None:
        if self.combine not in COMBINE:
            raise SalignError(f"people's maps are combined by {', '.join(COMBINE)}; there is no {self.combine!r}")


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote."""

    path: Path
    """The manifest."""
    manifest: Manifest
    maps: int
    """How many images got a map."""
    blank: int
    """How many of these are blank."""
    left_out: tuple[Fault, ...]
    """Faults that were passed over, with what they concern."""
    resized: tuple[str, ...]
    """Images whose marks were scaled, since the tool had them at another size of the same shape."""
    unnamed: tuple[str, ...] = ()
    """Images that are not in the manifest: no annotation names them, and nothing else says their class."""


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

    An image with an annotation that marks nothing gets a blank map; one that no annotation names gets none. Marks of
    one person on one image are united. Where several people marked (or may have, as maps are merged), everybody's own
    map is written too, in a column `saliency_<who>`.

    Args:
        annotated: what a reader gave.
        images: folder of the images; nothing outside of it is read. With `base`, only its rows in this folder count.
        output: where to, and how several people's maps are combined.
        base: a manifest into which the maps are merged: its rows, classes and splits stay. Without one, the images that
            annotations name make the rows.
        naming: how labels become classes; as the tool says them when None. With `base`, its classes count.
        annotator: who, where the tool does not say.
        by_name: match images by their names alone, whatever the tool says of folders.
        faults: what the reader left out as faulty; it is told with what is wrong with the rest.
        progress: show a bar.

    Raises:
        ManifestError: everything that is wrong with the annotations, at once.
        SalignError: an option that cannot be, or a manifest is in the way.
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
    """Where names of images begin, where maps go, and the root of the manifest."""
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
    """The entries of an image in the file of shapes, by the id of the row whose map they are.

    There are none where a mask is among the marks of a row: the map is all there is.

    Args:
        name: the id of the image's row before the import.
        image: what people marked.
        parts: the part of names for each person, where everybody gets a row; None where all share one.
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
    """The rows of a manifest, with paths below the new root."""
    records = move_root(base, root).drop(columns="row").to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]


def _filled(row: Row, cells: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A row with its new cells; several rows where everybody gets one. How sure a machine was of the old map goes."""
    new = cells.get(str(row["path"]))
    if new is None:
        return [row]
    unsaid = {CONFIDENCE: ""} if CONFIDENCE in row else {}
    return [row | unsaid | cell | {"id": f"{row['id']}{cell.get('id', '')}"} for cell in new]


class _Writer:
    """Draws the maps of one image after the other, and says what the manifest has to say of them."""

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
        """Take where things are, the paths of the images, and the part of names for each person who gets own maps.

        `columns` are those that the manifest has already.
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
        """The path of an image below the root of the manifest."""
        return relative_path(self.top / path, self.root)

    def name(self, path: str) -> str:
        """The path without its suffix, where no other image has the same."""
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
        """Write the maps of an image; what its row gets (its rows, for `each`)."""
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
            import torch  # what is wrong with the annotations was said before

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
    """Whose a map of these people is; of nameless ones, gaze is a person's, and areas may be of anybody."""
    makers = list(people)
    looked = any(isinstance(shape, Fixation) for who in makers for mark in image.people[who] for shape in mark.shapes)
    return provenance_of(makers, f"{PERSON}{UNKNOWN}" if looked else MASK)
