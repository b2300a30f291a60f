"""Spaces of architectures: slots, the operations that may stand in them, and the links between slots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salign.data.manifest import Fault, ManifestError
from salign.data.manifest.faults import missing_columns
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError, one_of
from salign.readers import read_yaml

CODE = "code"
"""Column of a table that holds the cells, with one digit per slot."""
MOST_CANDIDATES = 100_000
FEWEST = 10
"""Fewest measured cells of a search; fewer cells than this say nothing about a predictor."""


@dataclass(frozen=True)
class Space:
    """A space of cells. A cell is a row of numbers, which say which of its operations stands in each slot."""

    name: str
    slots: tuple[tuple[str, ...], ...]
    """The operations of each slot."""
    links: tuple[tuple[int, int], ...]
    """Pairs (a, b) of slots, of which a feeds b.

    A slot that no slot feeds is fed by the input, and a slot that feeds no slot feeds the output.
    """
    keys: tuple[str, ...] = ()
    """The recipe key that each slot sets, in a user's own space; empty in a known space."""

    @property
    def size(self) -> int:
        """The number of cells."""
        return math.prod(len(operations) for operations in self.slots)

    def adjacency(self) -> np.ndarray:
        """Return the symmetric adjacency matrix of the slots, `(S + 2, S + 2)` float32; input and output stand last."""
        count = len(self.slots)
        sources, sinks = {a for a, _ in self.links}, {b for _, b in self.links}
        ends = [(count, slot) for slot in range(count) if slot not in sinks]
        ends += [(slot, count + 1) for slot in range(count) if slot not in sources]
        matrix = np.zeros((count + 2, count + 2), np.float32)
        for a, b in (*self.links, *ends):
            matrix[a, b] = matrix[b, a] = 1
        return matrix

    def cells(self) -> np.ndarray:
        """Return every cell of the space, `(M, S)` int64.

        Raises:
            SalignError: there are more than `MOST_CANDIDATES` cells.
        """
        if self.size > MOST_CANDIDATES:
            raise SalignError(f"space {self.name}: {self.size:,} candidates; expected at most {MOST_CANDIDATES:,}.")
        return np.array(list(itertools.product(*(range(len(operations)) for operations in self.slots))), np.int64)

    def describe(self, cell: Sequence[int]) -> str:
        """Return the operations of a cell in words."""
        words = [operations[k] for operations, k in zip(self.slots, cell, strict=True)]
        if not self.keys:
            return " ".join(words)
        return ", ".join(f"{key}={word}" for key, word in zip(self.keys, words, strict=True))


def _cell_of_201() -> tuple[tuple[int, int], ...]:
    """Return the links between the edges of NAS-Bench-201, in the order of its codes.

    An edge feeds the edges that begin at the node where it ends.
    """
    edges = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    return tuple((a, b) for a, first in enumerate(edges) for b, second in enumerate(edges) if first[1] == second[0])


SPACES = {
    "nasbench201": Space(
        "nasbench201",
        (("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),) * 6,
        _cell_of_201(),
    ),
    "nasbench_macro": Space(
        "nasbench_macro",
        (("identity", "mbconv_k3_e3", "mbconv_k5_e6"),) * 8,
        tuple((layer, layer + 1) for layer in range(7)),
    ),
}
"""Known spaces: NAS-Bench-201 (Dong and Yang, ICLR 2020) and NAS-Bench-Macro (Su et al., CVPR 2021)."""


def read_space(name: str) -> Space:
    """Return a known space, or read a user's own from a YAML file with recipe keys and lists of values.

    Raises:
        SalignError: there is no such space or file, or the values of a key are not a list of two or more different
            values.
    """
    if name in SPACES:
        return SPACES[name]
    if Path(name).suffix not in (".yaml", ".yml"):
        one_of(name, [*SPACES, "a .yaml file"], "--space")
    content = read_yaml(name)
    example = "such as model.backbone: [resnet18, resnet34]"
    if not isinstance(content, dict) or not content:
        raise SalignError(f"{name}: expected recipe keys with lists of values, {example}.")
    for key, values in content.items():
        if not isinstance(values, list) or len({str(value) for value in values}) < max(2, len(values)):
            raise SalignError(f"{name}, {key}: expected a list of two or more different values, {example}.")
    slots = tuple(tuple(str(value) for value in values) for values in content.values())
    chain = tuple((slot, slot + 1) for slot in range(len(slots) - 1))
    return Space(Path(name).stem, slots, chain, tuple(map(str, content)))


def values_of(path: str, cell: Sequence[int]) -> dict[str, Any]:
    """Return the nested recipe values that a cell of a YAML space sets."""
    values: dict[str, Any] = {}
    for (key, choices), k in zip(read_yaml(path).items(), cell, strict=True):
        *above, last = str(key).split(".")
        section = values
        for name in above:
            section = section.setdefault(name, {})
        section[last] = choices[k]
    return values


def read_cells(path: Path, space: Space, target: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Read a table of cells, with the column `code` and the column that `target` names.

    A target may be empty, for a cell that is not trained yet.

    Returns:
        The table as text; `(N, S)` int64 cells; `(N,)` float64 targets, NaN where empty.

    Raises:
        SalignError: a column is missing, a code has another length, holds an unknown operation or comes twice, or a
            target is not a finite number. The message names every such row.
    """
    table, wrong = read_table(path)
    faults = [Fault(*fault) for fault in (*wrong, *missing_columns(table, [CODE, target]))]
    if faults:
        raise ManifestError.of(faults, str(path))
    codes, rows = table[CODE].fillna("").tolist(), table["row"].tolist()
    for row, code in zip(rows, codes, strict=True):
        if message := _code_fault(code, space):
            faults.append(Fault(row, CODE, message))
    faults += [Fault(int(row), CODE, "this cell comes twice") for row in table["row"][table[CODE].duplicated()]]
    values = pd.to_numeric(table[target], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    strange = table[target].notna().to_numpy(bool) & ~np.isfinite(values)
    faults += [
        Fault(int(row), target, f"expected a finite number, got {cell!r}")
        for row, cell in zip(table["row"][strange], table[target][strange], strict=True)
    ]
    if faults:
        raise ManifestError.of(faults, str(path))
    return table, np.array([[int(digit) for digit in code] for code in codes], np.int64), values


def _code_fault(code: str, space: Space) -> str:
    if len(code) != len(space.slots) or not (code.isascii() and code.isdigit()):
        return f"expected {len(space.slots)} digits, one per slot of {space.name}, got {code!r}"
    for slot, (digit, operations) in enumerate(zip(code, space.slots, strict=True)):
        if int(digit) >= len(operations):
            known = ", ".join(f"{k} {name}" for k, name in enumerate(operations))
            return f"{code!r} has the unknown operation {digit} in slot {slot + 1}; there are {known}"
    return ""
