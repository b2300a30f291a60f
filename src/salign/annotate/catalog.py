"""The images of a study, and the units that are handed out: single images, or pairs."""

from __future__ import annotations

import hashlib
import logging
import random
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from salign.annotate.study import Study
from salign.data.manifest import COLUMNS, Manifest, map_columns
from salign.data.manifest.folder_layout import Layout, folder_layout
from salign.data.manifest.image_files import image_files, no_image
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError

log = logging.getLogger("salign.annotate")

MARKERS = ("study.yaml", "shapes.json")
"""A folder with one of these holds annotations, and its pictures are none of the study."""


@dataclass(frozen=True)
class Picture:
    """One image of the study."""

    id: str
    """As in the manifest; without one, the path below the folder."""
    path: str
    """Relative to the root."""
    label: str | None = None
    split: str | None = None
    cells: dict[str, str] = field(default_factory=dict)
    """Further columns of the manifest, those that are not empty; `saliency` among them."""


@dataclass(frozen=True)
class Unit:
    """What one task shows: an image, or a pair of images."""

    id: str
    images: tuple[str, ...]
    """Ids of pictures."""
    gold: str | None = None
    """The answer known to be right; in pair mode the id of the image to choose."""


@dataclass(frozen=True)
class Catalog:
    """All pictures of a study, found once; nothing but these is ever read."""

    root: Path
    """Folder that paths are relative to; resolved."""
    pictures: dict[str, Picture]
    """By id."""
    source: str
    """Name for messages."""
    maps: dict[str, str] = field(default_factory=dict)
    """Columns of the manifest that hold maps, and whose; see `map_columns`."""
    layout: Layout | None = None
    """What the folders say, where no manifest does."""

    @classmethod
    def of_folder(cls, folder: Path | str, folders: str = "auto", without: Path | None = None) -> Catalog:
        """Every image below a folder, as `image_files` finds them; but not in folders with a file of `MARKERS`.

        Nor in the folder `without`, unless that is the folder itself.

        Args:
            folder: where to look.
            folders: what the folders above the images say of splits and classes; see `folder_layout`.
            without: a folder of salign's own, which is not looked into.

        Raises:
            SalignError: no such folder, no image in it, or one that lies in fewer folders than told.
        """
        root = Path(folder).resolve()
        if not root.is_dir():
            raise SalignError(f"no such folder: {folder}")
        names = list(image_files(root, skip=() if without is None else (without,), closed=_is_marked))
        layout = folder_layout(names, folders)
        pictures = {name: Picture(name, name, layout.label_of(name), layout.split_of(name)) for name in names}
        if not pictures:
            raise no_image(folder)
        return cls(root, pictures, str(folder), layout=layout)

    @classmethod
    def of_manifest(cls, path: Path | str, root: Path | str | None = None) -> Catalog:
        """Every row of a manifest; of its columns only `path` must be there, and of the files one image.

        Raises:
            SalignError: no such file, or no column `path`.
            ManifestError: paths that leave the root, every one with its row; or no image is there.
        """
        path = Path(path)
        table, faults = read_table(path)
        if faults:
            raise SalignError(f"{path} row {faults[0][0]}: {faults[0][2]}")
        if "path" not in table:
            raise SalignError(f"{path}: expected a column path; the header has {', '.join(map(str, table.columns))}")
        columns = [column for column in COLUMNS if column in table]
        filled = table.assign(
            **{column: table["path"] if column == "id" else "-" for column in COLUMNS[:4] if column not in table}
        )
        filled = filled if "saliency" in filled else filled.assign(saliency="")
        manifest = Manifest.of(filled, root if root is not None else path.parent, path.name, absent=True)
        free = [str(name) for name in manifest.table.columns if name not in (*COLUMNS[:4], "row")]
        pictures = {}
        for row in manifest.table.to_dict("records"):
            cells = {name: str(row[name]) for name in free if not pd.isna(row[name])}
            picture = Picture(
                str(row["id"]),
                str(row["path"]),
                str(row["label"]) if "label" in columns else None,
                str(row["split"]) if "split" in columns else None,
                cells,
            )
            pictures[picture.id] = picture
        return cls(manifest.root, pictures, path.name, map_columns(manifest.table))

    @property
    def labels(self) -> list[str]:
        """Labels that occur, sorted."""
        return sorted({picture.label for picture in self.pictures.values() if picture.label is not None})

    def file(self, path: str) -> Path:
        """The file of a path of a picture (image or map), looked at afresh: a link may have changed since.

        Raises:
            PermissionError: it leaves the root now.
        """
        real = (self.root / path).resolve()
        if not real.is_relative_to(self.root):
            raise PermissionError(f"{path} leaves {self.root}")
        return real

    def units(self, study: Study) -> list[Unit]:
        """What is handed out, in the order of the images.

        Raises:
            SalignError: gold or pairs name an image that is not there, no pair can be made, or only images
                without a map are asked about and there is none.
        """
        named = [*study.gold, *(name for pair in study.pairs or [] for name in pair)]
        if missing := sorted(set(named) - set(self.pictures)):
            raise SalignError(f"{self.source}: no image is called {', '.join(missing[:10])}; gold and pairs name ids")
        names = [
            name
            for name, picture in self.pictures.items()
            if not study.unmarked or "saliency" not in picture.cells or name in study.gold
        ]
        if not names:
            raise SalignError(
                f"{self.source}: all {len(self.pictures)} images have a map already, and the study asks only "
                "about images without one (unmarked)."
            )
        if study.mode != "pair":
            return [Unit(name, (name,), study.gold.get(name)) for name in names]
        target = target_of(study, self)
        pairs = study.pairs if study.pairs is not None else self._draw_pairs(names, study, target)
        return [_pair(first, second, study.gold, target) for first, second in pairs]

    def _draw_pairs(self, names: list[str], study: Study, target: str | None) -> list[tuple[str, str]]:
        lot = random.Random(f"pairs {study.seed}")
        if len(self.labels) < 2:
            lot.shuffle(names)
            return list(zip(names[::2], names[1::2], strict=False))
        positives = [name for name in names if self.pictures[name].label == target]
        negatives = [name for name in names if self.pictures[name].label != target]
        lot.shuffle(positives)
        lot.shuffle(negatives)
        if not positives or not negatives:
            raise SalignError(f"{self.source}: pairs need images of {target!r} and of another label")
        left = abs(len(positives) - len(negatives))
        if left:
            log.warning("%d images have no partner for a pair and are not shown", left)
        return list(zip(positives, negatives, strict=False))


def target_of(study: Study, catalog: Catalog) -> str | None:
    """The class that pair mode asks for; None without classes."""
    known = study.classes or catalog.labels
    return study.target if study.target is not None else (known[-1] if known else None)


def _pair(first: str, second: str, gold: dict[str, str], target: str | None) -> Unit:
    digest = hashlib.blake2b(f"{first}\0{second}".encode(), digest_size=8).hexdigest()
    known = next((name for name in (first, second) if name in gold), None)
    if known is None:
        return Unit(f"pair-{digest}", (first, second))
    other = second if known == first else first
    return Unit(f"pair-{digest}", (first, second), known if gold[known] == target else other)


def _is_marked(folder: Path) -> bool:
    return any((folder / marker).exists() for marker in MARKERS)
