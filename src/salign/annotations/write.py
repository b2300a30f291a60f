"""Annotations -> a manifest with maps: what `salign maps import` does once a tool's file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath, normpath
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import torch

from salign.annotations.annotated import Annotated
from salign.annotations.match import Images
from salign.annotations.resolve import Marked, Naming, drawn, settle
from salign.annotations.shape_files import shapes_file, write_shapes
from salign.data.manifest import MACHINE, PROVENANCE, Fault, Manifest, ManifestError
from salign.data.manifest.file_names import output_names, slug
from salign.data.manifest.folder_layout import folder_layout
from salign.errors import SalignError
from salign.files import check_output
from salign.maps.aggregate import AGGREGATES, aggregate
from salign.maps.files import write_map
from salign.maps.shapes import Fixation

COMBINE = (*AGGREGATES, "each")
"""What may become of several people's maps of one image."""

_MOST_TEXT = 200
Row = dict[str, object]
People = Sequence[tuple[str | None, Sequence[Annotated]]]


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
class Brought:
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
) -> Brought:
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

    Raises:
        ManifestError: everything that is wrong with the annotations, at once.
        SalignError: an option that cannot be, or a manifest is in the way.
    """
    output, naming = output or Output(), naming or Naming()
    top, place, root = _places(images, output, base)
    target = Path(output.target).resolve() if output.target is not None else root / "manifest.csv"
    if target.exists() and not output.overwrite:
        raise SalignError(
            f"{target} is there: merge into it (--manifest), have it replaced (--overwrite), or choose another --out"
        )
    check_output(target)
    check_output(place / "maps", folder=True)
    if base is None:
        listed = Images.below(top, skip=(place / "maps", place / "annotators"), by_name=by_name)
    else:
        naming = replace(naming, classes=dict(zip(base.table["path"], map(str, base.table["label"]), strict=True)))
        within = top if images is None else Path(images).resolve()
        inside = (path for path in base.table["path"] if (top / path).resolve().is_relative_to(within))
        listed = Images(inside, by_name=by_name)
    signed = [one if one.annotator or annotator is None else replace(one, annotator=annotator) for one in annotated]
    if output.sigma is None and any(_needs_sigma(one) for one in signed):
        raise SalignError("fixations become maps by a Gaussian: give its sigma in pixels of the image (--sigma)")
    settled = settle(signed, listed, top, naming)
    wrong = (*faults, *settled.faults)
    if wrong and not output.leave_out:
        raise ManifestError.of(wrong, str(top))
    if not settled.marked:
        raise ManifestError.of([*wrong, Fault(None, "annotations", "nothing is left to import")], str(top))
    people = {who for image in settled.marked for who in image.people}
    several = len(people) > 1 or (base is not None and people != {None})
    writer = _Writer(top, place, root, output, listed.paths, several=several)
    cells = {image.path: writer.cells(image) for image in settled.marked}
    rows = [writer.row(image) for image in settled.marked] if base is None else _rows(base, writer.below_root)
    filled = [row for old in rows for row in _filled(old, cells)]
    table = pd.DataFrame([row | {"path": writer.below_root(row["path"])} for row in filled]).fillna("")
    manifest = Manifest.of(table, root, target.name)
    ids = {str(row["path"]): str(row["id"]) for row in rows}
    write_shapes(shapes_file(target), {ids[image.path]: image for image in settled.marked}, keep=base is not None)
    manifest.write(target)
    unnamed = tuple(path for path in listed.paths if path not in ids)
    return Brought(target, manifest, len(cells), writer.blank, wrong, tuple(settled.resized), unnamed)


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
    place = Path(output.out).resolve() if output.out is not None else top if base is not None else top.parent
    return top, place, Path(commonpath([top, place]))


def _needs_sigma(one: Annotated) -> bool:
    return any(isinstance(shape, Fixation) and shape.spread is None for shape in one.shapes)


def _rows(base: Manifest, below_root: Callable[[object], str]) -> list[Row]:
    """The rows of a manifest, with maps relative to the new root; images stay as they are named there."""
    table = base.table.drop(columns="row").fillna("")
    maps = [name for name in table.columns if name == "saliency" or name.startswith("saliency_")]
    moved = table.assign(**{name: [cell and below_root(cell) for cell in table[name]] for name in maps})
    return [{str(key): value for key, value in row.items()} for row in moved.to_dict("records")]


def _filled(row: Row, cells: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A row with its new cells; several rows where everybody gets one."""
    new = cells.get(str(row["path"]))
    if new is None:
        return [row]
    return [row | cell | {"id": f"{row['id']}{cell.get('id', '')}"} for cell in new]


class _Writer:
    """Draws the maps of one image after the other, and says what the manifest has to say of them."""

    def __init__(
        self, top: Path, place: Path, root: Path, output: Output, paths: Sequence[str], *, several: bool
    ) -> None:
        self.place, self.root, self.output, self.several = place, root, output, several
        self.prefix = PurePosixPath(top.relative_to(root).as_posix())
        self.layout = folder_layout(paths)
        if output.split is not None and self.layout.split is not None:
            known = ", ".join(sorted({str(self.layout.split_of(path)) for path in paths}))
            raise SalignError(f"{top}: its folders say the splits {known}; leave the split {output.split!r} out")
        self.names = dict(output_names(sorted(paths, key=lambda path: path.rpartition("/")[::2]), ""))
        self.blank = 0

    def below_root(self, path: object) -> str:
        return str(self.prefix / str(path))

    def name(self, path: str) -> str:
        """The path without its suffix, where no other image has the same."""
        return normpath(self.names[path])

    def row(self, image: Marked) -> Row:
        split = self.layout.split_of(image.path) or self.output.split or "train"
        return {
            "id": self.name(image.path),
            "path": image.path,
            "label": image.label,
            "split": split,
            "saliency": "",
        }

    def cells(self, image: Marked) -> list[Row]:
        """Write the maps of an image; what its row gets (its rows, for `each`)."""
        people = list(image.people.items())
        size, sigma, name = image.size, self.output.sigma, self.name(image.path)
        each = self.output.combine == "each"
        own = [drawn(marks, size, sigma) for _, marks in people] if each or self.several else []
        files = [
            self._write(f"annotators/{slug(who)}/{name}.png", one)
            for (who, _), one in zip(people, own, strict=len(own) > 0)
        ]
        if each:
            self.blank += not any(one.any() for one in own)
            return [
                {"saliency": file, PROVENANCE: provenance([one]), "annotator": one[0] or "", "id": f"@{slug(one[0])}"}
                for file, one in zip(files, people, strict=True)
            ]
        if own and self.output.combine != "union":
            values = aggregate(torch.from_numpy(np.stack(own)), self.output.combine).numpy()
        else:
            values = drawn([one for _, marks in people for one in marks], size, sigma)
        self.blank += not values.any()
        row: Row = {"saliency": self._write(f"maps/{name}.png", values), PROVENANCE: provenance(people)}
        return [row | {f"saliency_{slug(who)}": file for (who, _), file in zip(people, files, strict=len(files) > 0)}]

    def _write(self, name: str, values: np.ndarray) -> str:
        return write_map(self.place / name, values).relative_to(self.root).as_posix()


def provenance(people: People) -> str:
    """`human:<who>` of those who marked, `mask` if the tool does not say; `model:<which>` if a machine had a part."""
    machines = [who.removeprefix(MACHINE) for who, _ in people if who and who.startswith(MACHINE)]
    if machines:
        others = [(who, marks) for who, marks in people if not (who and who.startswith(MACHINE))]
        return f"{MACHINE}{', '.join(machines)}" + (f" with {provenance(others)}" if others else "")
    names = [who for who, _ in people if who]
    if not names:
        looked = any(isinstance(shape, Fixation) for _, marks in people for one in marks for shape in one.shapes)
        return "human:unknown" if looked else "mask"
    text = f"human:{', '.join(names)}"
    return text if len(text) <= _MOST_TEXT else f"human:{len(names)} annotators"
