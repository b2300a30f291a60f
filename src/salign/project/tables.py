"""Read tables of the class of each image, from a column of names or from columns of 1 and 0, and perhaps its split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from salign.annotations.formats.box_table import is_box_table
from salign.annotations.match import Images
from salign.data.manifest.labels import from_cells, from_columns
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError
from salign.files import relative_path

_IMAGE = re.compile(r"(image|img|file|picture|photo|path|patient|dicom|scan|slice)\w*|id|name", re.I)
_LABEL = re.compile(
    r"(labels?|class(es)?(name)?|category|target|diagnosis|dx|findings?(labels?)?|pathology|gt|y)", re.I
)
_SPLIT = re.compile(r"(split|set|subset|partition|usage|datasettype)", re.I)
_MAP = re.compile(r"(saliency|mask|map|heatmap|segmentation)(path|file)?", re.I)
_GROUP = re.compile(
    r"(patient|subject|case|person|identity|participant|group|tile|video|slide|study|series)(id|number)?", re.I
)
_PLACE = re.compile(r"(bbox\w*|x|y|w|h|width|height|x\d|y\d|[xy]m(in|ax))", re.I)
_NO_LABEL = re.compile(r"no[ _-]?(finding|label)s?|none", re.I)
"""Matches the cell of an image without a label, in a table where images may have several labels."""
_JOINING = "|;"
"""The signs that join several labels in a cell."""
_SAMPLE = 40
_CLASSES = 50
"""A column with more different names than this is not the class, unless it has two or more rows per name."""
_GUESSED = range(2, 11)
"""Numbers of different cells that a column can have to be guessed as the class, if no column is called so."""
_FEW = 0.2
"""If more than this share of the images have different cells in a column, it is not meant to say one thing of each."""


@dataclass(frozen=True)
class LabelTable:
    """A table of images, such as one with the class of each image."""

    name: str
    """Name of the file, or of all files whose rows were joined."""
    rows: pd.DataFrame
    """One row for each image, with `IMAGE` and the columns of the file that have one value for each image."""
    labels: tuple[str, ...]
    """Columns that may be the class."""
    split: str | None
    """Column with the split."""
    maps: Mapping[str, str]
    """Path of a map -> path of its image, both below the folder; empty where no column names maps."""
    groups: tuple[str, ...]
    """Columns that tell which images belong together, such as `patient`."""
    strange: tuple[str, ...]
    """Names in the table that no image of the folder has, or that several images have."""
    unusable: Mapping[str, str]
    """Column -> a sentence why it cannot be the class: an image has two values, or there are too many labels."""
    doubts: tuple[str, ...]
    """The columns in `unusable` that were probably meant to be the class."""
    ignored: tuple[str, ...] = ()
    """Sentences about columns of splits or groups that have two values for an image, and are ignored."""
    boxes: bool = False
    """Whether the table also has the numbers of boxes; its labels may then be those of marks, not of images."""

    def label_cells(self, column: str) -> tuple[pd.Series, bool]:
        """Return the class of each image by its path, and whether images may have several classes or none.

        If they may, several classes in a cell are joined by `;`, and the cell of an image without a class is empty.

        Raises:
            SalignError: a cell names a class and also says that there is none.
        """
        cells = self.rows.set_index(IMAGE)[column]
        sign = next((sign for sign in _JOINING if cells.str.contains(sign, regex=False).any()), None)
        if column == HOT:
            return cells, bool((cells == "").any()) or sign is not None
        if sign is None:
            return cells.dropna(), False
        none = next((cell for cell in cells.dropna().unique() if _NO_LABEL.fullmatch(cell)), None)
        joined, faults = from_cells(cells, sign, none)
        if faults:
            raise SalignError(f"{self.name}: {joined.index[faults[0][0]]}: {faults[0][2]}")
        return joined.fillna(""), True


IMAGE = "(image)"
"""Name of the added column with the path of the image below the folder."""
HOT = "(columns of 1 and 0)"
"""Name of the label column that is made of one column of 1 and 0 for each class."""


def read_label_table(folder: Path, file: str, images: Images, *, guess: bool = True) -> LabelTable | None:
    """Read a CSV file that names images of the folder; return None where it does not name any.

    Args:
        folder: folder of the images.
        file: path of the table below the folder.
        images: the images of the folder.
        guess: whether a column that is not called like a class may be the class. It is false for a table of an
            annotation tool, because such a table has other columns.

    Raises:
        SalignError: the file cannot be read as a table.
    """
    frame, _ = read_table(folder / file)
    names = [str(name) for name in frame.columns if name != "row"]
    column = _image_column(frame, names, images)
    if column is None:
        return None
    cells = {cell: _found(cell, images) for cell in frame[column].dropna().unique()}
    strange = tuple(cell for cell, path in cells.items() if path is None)
    rows = frame.assign(**{IMAGE: frame[column].map(cells)}).dropna(subset=IMAGE)
    columns = [name for name in names if name != column and not _PLACE.fullmatch(_plain(name))]
    torn = {name: which for name in columns if len(which := _contradicted(rows, name))}
    unusable = {name: f"{file}: {_contradiction(rows, name, which, column)}" for name, which in torn.items()}
    steady = [name for name in columns if name not in torn]
    few = [name for name, which in torn.items() if len(which) <= _FEW * rows[IMAGE].nunique()]
    sets = [name for name in torn if _SPLIT.fullmatch(_plain(name))]
    sets += [name for name in few if _GROUP.fullmatch(_plain(name))]
    guessed = [name for name in columns if rows[name].nunique() in _GUESSED]
    rows = rows.drop_duplicates(IMAGE).reset_index(drop=True)
    maps = next(
        (name for name in steady if _MAP.fullmatch(_plain(name)) and _are_files(folder, file, rows[name])), None
    )
    hot = [name for name in steady if set(rows[name].dropna().unique()) <= {"0", "1", "0.0", "1.0"}]
    called = [name for name in columns if is_called_label(name)]
    for name in set(called).intersection(steady):
        if (count := _names(rows[name])) > max(_CLASSES, len(rows) / 2):
            unusable[name] = f"{file}: column {name} has {count} different labels for {len(rows)} images"
    labels = [name for name in called if name not in unusable and rows[name].notna().any()]
    doubts = [name for name in called if name in unusable]
    if guess and not called:
        doubts = [name for name in guessed if name in few and name not in sets]
    if guess and len(hot) >= 2 and not labels:
        joined, _ = from_columns(rows, hot)
        rows = rows.drop(columns=hot).assign(**{HOT: joined})
        labels = [HOT]
    elif guess and not called:
        labels = [name for name in guessed if name in steady and name != maps]
    boxes = is_box_table(names)
    return LabelTable(
        name=file,
        rows=rows.drop(columns=[name for name in names if name not in steady]),
        labels=tuple(labels),
        split=next((name for name in steady if _SPLIT.fullmatch(_plain(name))), None),
        maps={} if maps is None else _files(folder, file, rows, maps),
        groups=tuple(name for name in steady if _GROUP.fullmatch(_plain(name)) and _groups(rows[name])),
        strange=strange,
        unusable=unusable,
        doubts=() if boxes else tuple(doubts),  # the label in a row of a box is that of the mark
        ignored=tuple(unusable[name] for name in sets),
        boxes=boxes,
    )


def is_called_label(column: str) -> bool:
    """Whether the name of a column says that it is the class."""
    return _LABEL.fullmatch(_plain(column)) is not None


def put_together(tables: Sequence[LabelTable]) -> list[LabelTable]:
    """Join the tables that have the same columns. If none has a column of splits, the file names are the splits."""
    alike: dict[tuple[object, ...], list[LabelTable]] = {}
    for table in tables:
        alike.setdefault((tuple(table.rows.columns), table.labels, table.split, table.boxes), []).append(table)
    return [_joined(group) if len(group) > 1 else group[0] for group in alike.values()]


def _joined(tables: Sequence[LabelTable]) -> LabelTable:
    split = tables[0].split
    rows = [table.rows if split else table.rows.assign(split=Path(table.name).stem) for table in tables]
    whole = pd.concat(rows, ignore_index=True)
    twice = whole[IMAGE][whole[IMAGE].duplicated()]
    names = ", ".join(table.name for table in tables)
    if len(twice):
        raise SalignError(f"{names}: {len(twice)} images stand in two of these tables, first {twice.iloc[0]}; keep one")
    return LabelTable(
        name=names,
        rows=whole,
        labels=tables[0].labels,
        split=split or "split",
        maps={path: image for table in tables for path, image in table.maps.items()},
        groups=tables[0].groups,
        strange=tuple(name for table in tables for name in table.strange),
        unusable={name: sentence for table in tables for name, sentence in table.unusable.items()},
        doubts=tuple(dict.fromkeys(name for table in tables for name in table.doubts)),
        boxes=tables[0].boxes,
    )


def _contradicted(rows: pd.DataFrame, column: str) -> pd.Index:
    """Return the images whose rows have different cells in a column; an empty cell counts as a value."""
    counts = rows.groupby(IMAGE, sort=False)[column].nunique(dropna=False)
    return counts.index[counts > 1]


def _contradiction(rows: pd.DataFrame, column: str, images: pd.Index, names: str) -> str:
    """Describe how the rows of images disagree in a column, with the cells of the first image as an example.

    Args:
        rows: all rows of the table.
        column: the column.
        images: the images whose rows disagree.
        names: the column with the names of images.
    """
    first = rows[rows[IMAGE] == images[0]].drop_duplicates(column)
    listed = ", ".join(
        f"{cell} in row {row}" for cell, row in zip(first[column].fillna("nothing"), first["row"], strict=True)
    )
    count = "1 image has" if len(images) == 1 else f"{len(images)} images have"
    several = "labels" if is_called_label(column) else "cells"
    where = f"{first[names].iat[0]}: {listed}"
    return f"{count} two {several} in column {column} ({'first ' * (len(images) > 1)}{where})"


def _names(cells: pd.Series) -> int:
    """Count the different names in the cells of a column; a cell may join several names."""
    return len({name for cell in cells.dropna().unique() for name in re.split(f"[{_JOINING}]", cell)})


def _image_column(frame: pd.DataFrame, names: Sequence[str], images: Images) -> str | None:
    """Return the column with the largest share of cells that name images; None where it is below one half.

    Of equal shares, a column that is called like an image column comes first.
    """
    best, column = 0.0, None
    for name in sorted(names, key=lambda name: _IMAGE.fullmatch(_plain(name)) is None):
        cells = frame[name].dropna().unique()
        sample = cells[:: max(1, len(cells) // _SAMPLE)]
        share = sum(_found(cell, images) is not None for cell in sample) / len(sample) if len(sample) else 0
        if share > best:
            best, column = share, name
    return column if best >= 0.5 else None


def _found(cell: str, images: Images) -> str | None:
    try:
        return images.find(cell)
    except SalignError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name)


def _are_files(folder: Path, file: str, cells: pd.Series) -> bool:
    known = cells.dropna().unique()[:_SAMPLE]
    return len(known) > 0 and all(((folder / file).parent / cell).is_file() for cell in known)


def _files(folder: Path, file: str, rows: pd.DataFrame, column: str) -> dict[str, str]:
    named = rows.dropna(subset=column)
    return {
        relative_path((folder / file).parent / cell, folder): path
        for cell, path in zip(named[column], named[IMAGE], strict=True)
    }


def _groups(cells: pd.Series) -> bool:
    """Whether a column divides the images into groups: some have several images, and none more than a fifth of all."""
    counts = cells.value_counts()
    return len(counts) > 1 and counts.max() > 1 and counts.max() <= 0.2 * len(cells)
