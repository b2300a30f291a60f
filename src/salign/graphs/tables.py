"""Tables of nodes and of links, read once: every fault is named with its row, and left-out links are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from salign.data.manifest import Fault, ManifestError
from salign.data.manifest.faults import missing_columns
from salign.data.manifest.targets import wrong_ids
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError

SOURCE, TARGET = "source", "target"
"""Columns of a table of links: the ids of two nodes, whose order means nothing."""
MOST_LINKS = 10**8
"""More links than this are refused: they would need more than 4 GB."""
_SHOWN = 10


@dataclass(frozen=True)
class Nodes:
    """A table of nodes."""

    table: pd.DataFrame
    """All columns as text, and `row`, the row of each record in the file."""
    classes: tuple[str, ...]
    """The labels that occur, sorted."""
    labels: np.ndarray
    """`(N,)` int64: the class number of each node; -1 where the cell is empty."""
    source: Path

    def __len__(self) -> int:
        return len(self.table)

    def rows_of(self, split: str) -> np.ndarray:
        """Return the positions of the nodes of a split that have a label, `(n,)` int64."""
        inside = (self.table["split"] == split).fillna(False).to_numpy(dtype=bool)
        return np.flatnonzero(inside & (self.labels >= 0))


@dataclass(frozen=True)
class Links:
    """Undirected links, and what was left out of the table they came from."""

    pairs: np.ndarray
    """`(2, E)` int64: positions of two different nodes; each pair comes once, the lower position first."""
    loops: int = 0
    """Number of links of a node with itself, which say nothing about neighbours."""
    repeated: int = 0
    """Number of links that came before, in either direction."""

    def describe(self, nodes: int) -> str:
        """Say how many nodes and links there are, which links were left out, and how many nodes have no link."""
        left_out = [f"{self.loops:,} of a node with itself"] * bool(self.loops)
        left_out += [f"{self.repeated:,} that came twice"] * bool(self.repeated)
        isolated = nodes - len(np.unique(self.pairs))
        return (
            f"{nodes:,} nodes, {self.pairs.shape[1]:,} links"
            + (f"; left out: {' and '.join(left_out)}" if left_out else "")
            + f"; {isolated:,} nodes have no link" * bool(isolated)
        )


def read_nodes(path: Path, columns: Sequence[str] = (), *, label: str = "label") -> Nodes:
    """Read a table of nodes, `.csv` or `.parquet`: a manifest, or any table with a column `id`.

    Args:
        path: the table.
        columns: further columns that must be there, such as `split`.
        label: column with the class; a cell may be empty.

    Raises:
        SalignError: a column is missing, an id is empty or comes twice (the message names every such row), or the
            labels are of fewer than two classes.
    """
    table, wrong = read_table(path)
    faults = [Fault(*fault) for fault in (*wrong, *missing_columns(table, ["id", label, *columns]))]
    if not faults:
        faults = wrong_ids(table, "a node")
    if faults:
        lacking = any(fault.column == "split" for fault in faults)
        hint = "`salign data split` divides a manifest, and --shares 0.6/0.2/0.2 of `salign graph train` any table"
        raise ManifestError.of(faults, str(path), hint * lacking)
    cells = table[label]
    classes = tuple(sorted(cells.dropna().unique()))
    if len(classes) < 2:
        raise SalignError(f"{path}: expected two classes or more in the column {label!r}, got {', '.join(classes)}.")
    labels = pd.Index(classes, dtype=object).get_indexer(pd.Index(cells.astype(object)))
    return Nodes(table, classes, labels.astype(np.int64), path)


def labelled_rows(nodes: Nodes, split: str) -> np.ndarray:
    """Return the positions of the labelled nodes of a split, at least one.

    Raises:
        SalignError: no labelled node has this split.
    """
    rows = nodes.rows_of(split)
    if not len(rows):
        known = ", ".join(sorted(nodes.table["split"].dropna().unique())) or "none"
        raise SalignError(f"{nodes.source}: no labelled node has split {split!r}; the splits are {known}.")
    return rows


def training_rows(nodes: Nodes, split: str) -> np.ndarray:
    """Return the positions of the labelled training nodes, of which every class needs at least one.

    Raises:
        SalignError: no labelled node has this split, or a class has no training node.
    """
    rows = labelled_rows(nodes, split)
    missing = sorted(set(nodes.classes) - {nodes.classes[k] for k in np.unique(nodes.labels[rows])})
    if missing:
        raise SalignError(f"{nodes.source}: the split {split!r} has no node of class {', '.join(missing)}; add some.")
    return rows


def read_links(path: Path, nodes: Nodes, *, by_row: bool = False) -> Links:
    """Read a table of links, `.csv` or `.parquet`, with ids of nodes in the columns `source` and `target`.

    Args:
        path: the table.
        nodes: the nodes that are linked.
        by_row: whether the cells hold not ids but numbers of rows in the table of nodes, the first being 0.

    Raises:
        SalignError: a column is missing, a cell is empty or names no node (the rows are named), there are more than
            `MOST_LINKS`, or no link is left.
    """
    table, wrong = read_table(path)
    faults = [Fault(*fault) for fault in (*wrong, *missing_columns(table, [SOURCE, TARGET]))]
    if faults:
        raise ManifestError.of(faults, str(path))
    if len(table) > MOST_LINKS:
        raise SalignError(f"{path}: {len(table):,} links; expected at most {MOST_LINKS:,}. Sample some of each node.")
    names = pd.Series(np.arange(len(nodes)), dtype=str) if by_row else nodes.table["id"]
    ids = pa.array(names, type=pa.string())
    ends, faults_of_ends = [], []
    for column in (SOURCE, TARGET):
        cells = pa.array(table[column], type=pa.string())
        positions = pc.index_in(cells, value_set=ids)  # in Arrow, without a Python object per link
        unknown = np.flatnonzero(positions.is_null().to_numpy(zero_copy_only=False))
        if len(unknown):
            first = table.iloc[unknown[:_SHOWN]]
            listed = [
                f"row {row}: {'the cell is empty' if pd.isna(cell) else repr(cell)}"
                for row, cell in zip(first["row"], first[column], strict=True)
            ]
            more = f"; and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
            what = "rows" if by_row else "column id"
            faults_of_ends.append(
                f"{path}, {column}: {len(unknown):,} links name no node of {nodes.source}, whose {what} has such as "
                f"{names.iloc[0]!r}:\n  " + "\n  ".join(listed) + more
            )
            continue
        ends.append(positions.to_numpy(zero_copy_only=False).astype(np.int64))
    if faults_of_ends:
        hint = "" if by_row else "\nif they are numbers of rows, the first being 0, give --by-row"
        raise SalignError("\n".join(faults_of_ends) + hint)
    links = unique_links(np.stack(ends), len(nodes))
    if not links.pairs.size:
        raise SalignError(f"{path}: no link joins two different nodes; there is nothing that neighbours could say.")
    return links


def unique_links(ends: np.ndarray, nodes: int) -> Links:
    """Keep each pair of different nodes once.

    Args:
        ends: `(2, E)` int64 positions below `nodes`.
        nodes: how many nodes there are.
    """
    apart = ends[0] != ends[1]
    low, high = ends.min(0)[apart], ends.max(0)[apart]
    codes = np.unique(low * nodes + high)
    return Links(np.stack([codes // nodes, codes % nodes]), int((~apart).sum()), len(low) - len(codes))


def group_numbers(nodes: Nodes, column: str) -> np.ndarray:
    """Number the groups that a column names, such as patients, tiles or devices: `(N,)` int64; -1 = no group.

    Raises:
        SalignError: no two nodes share a group.
    """
    numbers = pd.factorize(nodes.table[column], use_na_sentinel=True)[0].astype(np.int64)
    if not len(numbers[numbers >= 0]) or np.bincount(numbers[numbers >= 0]).max() < 2:
        raise SalignError(f"{nodes.source}: no two nodes have the same {column!r}, so that nobody has a neighbour.")
    return numbers


def draw_splits(texts: pd.Series, shares: dict[str, float], seed: int) -> np.ndarray:
    """Draw a split for every node; nodes with the same text get the same split.

    Args:
        texts: `N` texts.
        shares: split -> its share of the nodes; the shares add up to 1.
        seed: decides the random order of the texts, which is then cut into splits.

    Returns:
        `(N,)` names of splits. A split may miss its share by the number of nodes that have one and the same text.
    """
    groups = same_texts(texts)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    ends = np.cumsum(sizes[order]) / len(groups)
    bounds = np.cumsum(list(shares.values()))[:-1]
    split_of = np.empty(len(sizes), dtype=object)
    split_of[order] = np.array(list(shares), dtype=object)[np.searchsorted(bounds, ends - 1e-9)]
    return split_of[groups]


def check_texts(nodes: Nodes, column: str) -> None:
    """Check that no text stands in two splits, because a text that is measured would then have been learned.

    Raises:
        SalignError: some texts do; the message names some of their rows.
    """
    table = pd.DataFrame({"text": same_texts(nodes.table[column]), "split": nodes.table["split"].to_numpy(object)})
    table = table.assign(row=nodes.table["row"].to_numpy()).dropna()
    torn = table[table.groupby("text")["split"].transform("nunique") > 1]
    if len(torn):
        listed = [
            "rows " + ", ".join(f"{row} ({split})" for row, split in zip(part["row"], part["split"], strict=True))
            for _, part in list(torn.groupby("text", sort=False))[:_SHOWN]
        ]
        raise SalignError(
            f"{nodes.source}, {column}: {torn['text'].nunique()} texts stand in more than one split, so that what is "
            "measured was learned:\n  " + "\n  ".join(listed) + "\n--shares 0.6/0.2/0.2 draws new splits and keeps "
            "equal texts together"
        )


def same_texts(texts: pd.Series) -> np.ndarray:
    """Number the texts, `(N,)` int64, so that texts that differ only by case and spaces have equal numbers.

    An empty text equals no other text.
    """
    plain = texts.str.casefold().str.split().str.join(" ")
    empty = plain.isna() | (plain == "")
    plain = plain.astype(object).where(~empty, pd.Series(np.arange(len(texts)), texts.index).astype(object))
    return pd.factorize(plain)[0].astype(np.int64)
