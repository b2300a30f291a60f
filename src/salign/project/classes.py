"""The source of the class of each image: folders, tables, annotations or names of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from salign.annotations.annotated import Annotated
from salign.data.manifest import Fault, ManifestError
from salign.errors import SalignError, one_of
from salign.location import quote
from salign.project.choices import CLASSES_FROM, Choices
from salign.project.look import Look
from salign.project.tables import LabelTable, is_called_label


def find_classes(
    look: Look, choices: Choices, marks: Sequence[Annotated], faults: list[Fault]
) -> tuple[str, Mapping[str, str], bool]:
    """Decide where the classes come from, and read the class of each image.

    Args:
        look: what lies in the folder.
        choices: choices of a person; they decide where several sources say a class.
        marks: marks that were read from the folder.
        faults: list to which the faults of marks are added, if the classes come from annotations.

    Returns:
        The source in words; path of an image -> its class; and whether an image may have several classes, joined by
        `;`.

    Raises:
        SalignError: no source tells the classes, or several do and differ; the message names the options.
        ManifestError: the annotations have faults that are not left out.
    """
    chosen = choices.classes_from
    if chosen in (None, "table"):
        _check_columns(look, choices.label_column)
    tables = [table for table in look.tables if table.labels or choices.label_column in table.rows]
    offered = {
        "folders": bool(look.by_folder) and not look.outer,
        "outer-folders": bool(look.outer),
        "inner-folders": bool(look.outer),
        "table": bool(tables),
        "annotations": any(mark.label or mark.image_labels for mark in marks),
        "names": bool(look.by_name),
    }
    if chosen is not None:
        one_of(chosen, CLASSES_FROM, "--classes-from")
        if not offered[chosen]:
            raise SalignError(f"{look.folder}: its {chosen} say no class; there are {_ways(offered)}")
    else:
        ways = [way for way in ("table", "folders", "annotations") if offered[way]]
        if offered["folders"] and offered["table"]:
            source, named, _ = _table_labels(tables, choices, look)
            _check_equal(look, source, named)
            if choices.label_column is None and named.keys() < look.by_folder.keys():
                ways.remove("table")  # both agree, and the folders give the class of more images
        chosen = ways[0] if ways else None
    if chosen is None:
        raise _without_classes(look, offered)
    if chosen == "table":
        return _table_labels(tables, choices, look)
    if chosen == "annotations":
        return "annotations", _annotated_labels(look, choices, marks, faults), False
    if chosen == "outer-folders":
        return "the outer folders", look.outer, False
    if chosen in ("folders", "inner-folders"):
        return chosen.replace("inner-", "the inner "), look.by_folder, False
    return "the beginnings of the names", look.by_name, False


def _check_columns(look: Look, choice: str | None) -> None:
    """Refuse a column that was chosen, or probably meant, but cannot be the class because its rows disagree.

    Raises:
        SalignError: there is such a column, or no column has the chosen name.
    """
    if choice is not None and any(choice in table.rows for table in look.tables):
        return
    for table in look.tables:
        doubts = [name for name in table.doubts if is_called_label(name) or not look.by_folder]
        for name in doubts if choice is None else {choice} & table.unusable.keys():
            raise SalignError(
                f"{look.folder}: {table.unusable[name]}; correct the table, or say where the classes are: in another "
                "column (--label-column NAME), or not in a table (--classes-from folders, annotations or names)"
            )
    if choice is not None:
        raise SalignError(f"{look.folder}: no column {choice!r}; give --label-column NAME")


def _table_labels(tables: Sequence[LabelTable], choices: Choices, look: Look) -> tuple[str, Mapping[str, str], bool]:
    choice = choices.label_column
    sure = [table for table in tables if not table.boxes] or tables  # the labels of a table of boxes may be of marks
    columns = [(table, name) for table in sure for name in table.labels if choice in (None, name)]
    if not columns and choice is not None:
        columns = [(table, choice) for table in tables if choice in table.rows]
    if len(columns) != 1:
        seen = [f"{name} of {table.name} ({values_of(table.label_cells(name)[0])})" for table, name in columns]
        raise SalignError(
            f"{look.folder}: several columns may be the class: {'; '.join(seen)}; give --label-column NAME"
        )
    table, column = columns[0]
    cells, several = table.label_cells(column)
    return f"column {column} of {table.name}", {str(path): str(cell) for path, cell in cells.items()}, several


def _annotated_labels(
    look: Look, choices: Choices, marks: Sequence[Annotated], faults: list[Fault]
) -> Mapping[str, str]:
    from salign.annotations.match import Images
    from salign.annotations.resolve import Naming, settle

    settled = settle(marks, Images(look.images), look.folder, Naming(default=choices.label))
    if settled.faults and not choices.leave_out:
        hint = (
            "say the class of images without a mark by --label NAME, or leave out what is faulty by --leave-out; "
            "classes may also come from folders or a table"
        )
        raise ManifestError.of([*faults, *settled.faults], str(look.folder), hint)
    faults += settled.faults
    return {image.path: image.label for image in settled.marked}


def _without_classes(look: Look, offered: Mapping[str, bool]) -> SalignError:
    if look.outer:
        outer, inner = (values_of(pd.Series(list(names.values()))) for names in (look.outer, look.by_folder))
        return SalignError(
            f"{look.folder}: folders lie in folders, and either may be the classes: {outer}, or within them {inner}. "
            "Give --classes-from outer-folders, or --classes-from inner-folders; if the outer ones are splits, call "
            "them train, val and test"
        )
    names = Counter(look.by_name.values())
    hint = (
        f"The names begin with {', '.join(f'{name} ({count})' for name, count in names.items())}: if these are the "
        "classes, give --classes-from names. "
        if offered["names"]
        else ""
    )
    unused = f". Not used: {'; '.join(look.useless[:3])}" if look.useless else ""
    return SalignError(
        f"{look.folder}: nothing says which class an image has. {hint}Put the images into a folder for each class, or "
        "add a table with the columns image and label; or let people answer: salign annotate "
        f"{quote(look.folder)} --class A --class B. If these are images of one class, give the folder above{unused}"
    )


def _check_equal(look: Look, source: str, labels: Mapping[str, str]) -> None:
    both = [path for path in look.by_folder if path in labels]
    if differ := [path for path in both if look.by_folder[path] != labels[path]]:
        first = differ[0]
        raise SalignError(
            f"{look.folder}: folders and {source} name different classes of {len(differ)} images, first {first}: "
            f"{look.by_folder[first]!r} and {labels[first]!r}; give --classes-from folders, or --classes-from table"
        )


def _ways(offered: Mapping[str, bool]) -> str:
    return ", ".join(way for way, there in offered.items() if there) or "no others"


def values_of(cells: pd.Series) -> str:
    """List the most frequent cells of a column, each with its number of rows."""
    counts = cells.value_counts()
    return ", ".join(f"{name} {count}" for name, count in counts.head(4).items()) + ", ..." * (len(counts) > 4)
