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
"""A folder with one of these files holds annotations, so its pictures do not belong to the study."""


@dataclass(frozen=True)
class Picture:
    """One image of the study."""

    id: str
    """The id in the manifest; without a manifest, the path relative to the folder."""
    path: str
    """Path relative to the root."""
    label: str | None = None
    split: str | None = None
    cells: dict[str, str] = field(default_factory=dict)
    """The image's cells in the other columns of the manifest, `saliency` among them. Empty cells are left out."""


@dataclass(frozen=True)
class Unit:
    """The contents of one task: an image, or a pair of images."""

    id: str
    images: tuple[str, ...]
    """Ids of the images."""
    gold: str | None = None
    """The answer that is known to be right; in pair mode the id of the image to choose. None if it is not known."""


@dataclass(frozen=True)
class Catalog:
    """All pictures of a study, which are found once. The server reads no other images."""

    root: Path
    """Folder that paths are relative to, resolved."""
    pictures: dict[str, Picture]
    """The pictures, by id."""
    source: str
    """Name of the folder or manifest, for messages."""
    maps: dict[str, str] = field(default_factory=dict)
    """The columns of the manifest that hold maps, and whose maps they are; see `map_columns`."""
    layout: Layout | None = None
    """The meaning of the folders above the images; None if there is a manifest."""

    @classmethod
    def of_folder(cls, folder: Path | str, folders: str = "auto", without: Path | None = None) -> Catalog:
        """Find every image below a folder with `image_files`, except in folders that have a file of `MARKERS`.

        Args:
            folder: the folder to search.
            folders: how the folders above the images name splits and classes; see `folder_layout`.
            without: a folder of salign's own, which is not searched unless it is `folder` itself.

        Raises:
            SalignError: there is no such folder, it has no image, or an image lies in fewer folders than `folders`
                says.
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
        """Read every row of a manifest. Only the column `path` is required, and only one of the images must exist.

        Args:
            path: the manifest.
            root: folder that its paths are relative to; the folder of the manifest when None.

        Raises:
            SalignError: there is no such file, it is damaged, or it has no column `path`.
            ManifestError: paths leave the root, and each is named with its row; or none of the images exists.
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
        """The labels of the pictures, sorted."""
        return sorted({picture.label for picture in self.pictures.values() if picture.label is not None})

    def file(self, path: str) -> Path:
        """Return the file at the path of an image or map.

        Links are followed anew each time, since a link may have changed since the study was opened.

        Raises:
            PermissionError: the file lies outside the root.
        """
        real = (self.root / path).resolve()
        if not real.is_relative_to(self.root):
            raise PermissionError(f"{path} leaves {self.root}")
        return real

    def units(self, study: Study) -> list[Unit]:
        """Return the units that are handed out, in the order of the images or of the pairs.

        Raises:
            SalignError: `gold` or `pairs` name an image that does not exist, no pair can be made, or the study asks
                only about images without a map and there are none.
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
        pairs = (
            self._draw_pairs(names, study, target)
            if study.pairs is None
            else [pair for pair in study.pairs if set(pair) <= set(names)]
        )
        return [_pair(first, second, study.gold, target) for first, second in pairs]

    def _draw_pairs(self, names: list[str], study: Study, target: str | None) -> list[tuple[str, str]]:
        lot = random.Random(f"pairs {study.seed}")
        if len(self.labels) < 2:
            lot.shuffle(names)
            positives, negatives = names[::2], names[1::2]
        else:
            positives = [name for name in names if self.pictures[name].label == target]
            negatives = [name for name in names if self.pictures[name].label != target]
            lot.shuffle(positives)
            lot.shuffle(negatives)
            if not positives or not negatives:
                raise SalignError(f"{self.source}: pairs need images of {target!r} and of another label")
        left = abs(len(positives) - len(negatives))
        if left:
            log.warning("images without a partner for a pair, which are not shown: %d", left)
        return list(zip(positives, negatives, strict=False))


def target_of(study: Study, catalog: Catalog) -> str | None:
    """Return the class that pair mode asks for; None without classes."""
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
