"""The table of predictions, with one row per image: the contract between `train`, `predict` and `evaluate`.

The columns are `id, path, split, label, predicted`, then `logit_<class>` and `prob_<class>` for every class in order,
then any free columns of the manifest (group, domain, attack species). `label` and `split` are empty where they are
unknown. If images may have several labels, `label` and `predicted` hold class names joined by `;`, or are empty for
none of the classes, and every class has a probability of its own, so that a row need not sum to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from salign.class_names import names_in
from salign.errors import SalignError
from salign.files import replacing, write_csv
from salign.readers import read_csv, read_parquet

COLUMNS = ("id", "path", "split", "label", "predicted")
LOGIT, PROB = "logit_", "prob_"
AT_THRESHOLD = "predicted_at_threshold"
"""Free column with the class that an image is called by at the threshold chosen on validation."""
_SHOWN = 20
_TOLERANCE = 1e-3


def columns_for(classes: Sequence[str]) -> list[str]:
    """List the columns with which every table of predictions of these classes starts, in order."""
    return [*COLUMNS, *(LOGIT + name for name in classes), *(PROB + name for name in classes)]


def classes_of(table: pd.DataFrame) -> tuple[str, ...]:
    """List the classes of a table, in the order of its `prob_<class>` columns."""
    return tuple(str(name)[len(PROB) :] for name in table.columns if str(name).startswith(PROB))


def logits_of(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the logits of a table, `(N, K)` float64."""
    return table[[LOGIT + name for name in classes]].to_numpy(dtype=np.float64)


def probabilities_of(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the probabilities of a table, `(N, K)` float64."""
    return table[[PROB + name for name in classes]].to_numpy(dtype=np.float64)


def text_of(table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as text, which is empty where a value is missing."""
    values = table[column]
    return values.astype(str).mask(values.isna(), "")


def named_in(table: pd.DataFrame, column: str, classes: Sequence[str]) -> np.ndarray:
    """Return which classes each cell of a column names, `(N, K)` bool; a cell joins several names by `;`."""
    cells = [set(names_in(cell)) for cell in text_of(table, column)]
    return np.array([[name in cell for name in classes] for cell in cells], dtype=bool).reshape(-1, len(classes))


def validate(
    table: pd.DataFrame,
    classes: Sequence[str],
    *,
    source: str = "predictions",
    labelled: bool = False,
    multi_label: bool = False,
) -> None:
    """Check a table once, where it enters, and report all its faults together.

    Args:
        table: the predictions. The message counts rows as lines of the file, so that the first record is row 2.
        classes: the expected class names, at least two.
        source: name of the file, for the message.
        labelled: whether every row must have a label; with `multi_label` an empty label is always allowed.
        multi_label: whether images may have several labels, or none.

    Raises:
        SalignError: columns are missing, an id is empty or comes twice, a number is not finite or not a probability,
            the probabilities of a row do not sum to one, `predicted` is not the class of the highest probability, or a
            label is unknown, or missing although `labelled`. With `multi_label` the probabilities need not sum to one,
            and `predicted` must name the classes above one half.
    """
    names = list(classes)
    if len(set(names)) < max(2, len(names)):
        raise SalignError(f"expected two or more different class names; got {names}")
    absent = [name for name in columns_for(classes) if name not in table.columns]
    if absent:
        listed = ", ".join(classes_of(table)) or "none"
        raise SalignError(f"{source}: column(s) {', '.join(absent)} missing; the classes in this table are: {listed}")
    ids, predicted, labels = (text_of(table, name) for name in ("id", "predicted", "label"))
    faults: list[tuple[int, str]] = []

    def flag(wrong: Any, message: Callable[[int], str]) -> None:
        faults.extend((int(i), message(int(i))) for i in np.flatnonzero(wrong))

    flag(ids == "", lambda i: "id: empty")
    flag(ids.duplicated() & (ids != ""), lambda i: "id: comes twice")
    numbers = columns_for(classes)[len(COLUMNS) :]
    values = table[numbers].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    for i, j in np.argwhere(~np.isfinite(values)):
        faults.append((int(i), f"{numbers[j]}: {table[numbers[j]].iloc[i]!r} is not a finite number"))
    probabilities, sound = values[:, len(classes) :], np.isfinite(values).all(1)
    if multi_label:
        off = (np.abs(probabilities - 0.5) > 0.5 + _TOLERANCE).any(1)
        flag(sound & off, lambda i: f"prob: {probabilities[i].tolist()} are no probabilities")
        flag(_strange(predicted, names), lambda i: f"predicted: {predicted.iloc[i]!r} names what is no class")
        flag(_strange(labels, names), lambda i: f"label: {labels.iloc[i]!r} names what is no class")
        lead = np.where(named_in(table, "predicted", names), probabilities - 0.5, 0.5 - probabilities).min(1)
        flag(
            sound & ~off & (lead < -_TOLERANCE),
            lambda i: f"predicted: {predicted.iloc[i]!r} are not the classes with a prob above one half",
        )
    else:
        off = np.abs(probabilities.sum(1) - 1) + np.maximum(-probabilities.min(1, initial=0), 0) > _TOLERANCE
        flag(sound & off, lambda i: f"prob: {probabilities[i].tolist()} are no probabilities that sum to 1")
        answers = np.array([names.index(name) if name in names else -1 for name in predicted], dtype=np.int64)
        flag(answers < 0, lambda i: f"predicted: {predicted.iloc[i]!r} is none of the classes")
        beaten = probabilities[np.arange(len(table)), answers] < probabilities.max(1, initial=0) - _TOLERANCE
        flag(
            sound & ~off & (answers >= 0) & beaten,
            lambda i: f"predicted: {predicted.iloc[i]!r} has not the highest prob",
        )
        flag(~labels.isin([*names, ""]), lambda i: f"label: {labels.iloc[i]!r} is none of the classes")
        if labelled:
            flag(labels == "", lambda i: "label: empty; only labelled images can be evaluated")
    if faults:
        faults.sort(key=lambda fault: fault[0])
        lines = [f"  row {position + 2} ({ids.iloc[position]}), {message}" for position, message in faults[:_SHOWN]]
        more = [f"  and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        listed = ", ".join(classes)
        raise SalignError("\n".join([f"{source}: {len(faults)} fault(s) (classes: {listed}):", *lines, *more]))


def _strange(cells: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Return which cells name something that is not a class, `(N,)` bool."""
    return np.array([not set(names_in(cell)) <= set(classes) for cell in cells], dtype=bool)


def _pandas(table: pa.Table, path: Path) -> pd.DataFrame:
    try:
        return table.to_pandas()
    except (ValueError, OverflowError, pa.ArrowException) as error:  # such as a date that no calendar has
        raise SalignError(f"{path}: cannot be read: {str(error)[:200]}") from error


def read_predictions(
    path: str | Path, classes: Sequence[str] | None = None, *, multi_label: bool = False
) -> pd.DataFrame:
    """Read and validate a table of predictions, written by `train`, by `predict` or by another program.

    Args:
        path: the file, Parquet if its suffix is `.parquet`, otherwise CSV.
        classes: the expected classes; None takes the classes of the `prob_<class>` columns.
        multi_label: whether images may have several labels, or none.

    Returns:
        The table, with text columns as text (an empty cell is an empty text), and logits and probabilities as float64.

    Raises:
        SalignError: the file is missing, unreadable or not valid.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            table = _pandas(read_parquet(path), path)
        else:
            table = read_csv(path, dtype=str, keep_default_na=False)
    except SalignError as error:
        raise SalignError(f"{error}; expected a predictions table (CSV or Parquet)") from error
    names = tuple(classes) if classes is not None else classes_of(table)
    validate(table, names, source=str(path), multi_label=multi_label)
    numbers = columns_for(names)[len(COLUMNS) :]
    return table.assign(
        **{name: text_of(table, name) for name in COLUMNS},
        **{name: pd.to_numeric(table[name]).astype(np.float64) for name in numbers},
    )


class PredictionsWriter:
    """Writes a table of predictions piece by piece, in constant memory, and puts it in place only when it is complete.

    It is a context manager. If its block raises, the file that was there before stays as it was.
    """

    def __init__(self, path: str | Path, classes: Sequence[str], free: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.columns = [*columns_for(classes), *free]
        self._numbers = set(columns_for(classes)[len(COLUMNS) :])
        self._parquet: pq.ParquetWriter | None = None
        self.rows = 0

    def __enter__(self) -> PredictionsWriter:
        try:
            with ExitStack() as stack:
                self._partial = stack.enter_context(replacing(self.path))
                if self.path.suffix.lower() == ".parquet":
                    fields = [(name, pa.float64() if name in self._numbers else pa.string()) for name in self.columns]
                    self._parquet = stack.enter_context(pq.ParquetWriter(self._partial, pa.schema(fields)))
                else:
                    write_csv(pd.DataFrame(columns=self.columns), self._partial)
                self._stack = stack.pop_all()
        except OSError as error:
            raise SalignError(f"{self.path}: cannot be written: {error}") from error
        return self

    def write(self, rows: pd.DataFrame) -> None:
        """Append rows, which must have exactly the announced columns, in any order.

        Raises:
            SalignError: the columns differ, or the rows cannot be written to disk.
        """
        if set(rows.columns) != set(self.columns):
            differ = sorted(set(self.columns) ^ {str(name) for name in rows.columns})
            raise SalignError(f"{self.path}: these columns are not both announced and given: {', '.join(differ)}")
        ordered = rows[self.columns].assign(
            **{name: text_of(rows, name) for name in self.columns if name not in self._numbers}
        )
        try:
            if self._parquet is not None:
                self._parquet.write_table(pa.Table.from_pandas(ordered, self._parquet.schema, preserve_index=False))
            else:
                write_csv(ordered, self._partial, mode="a", header=False)
        except OSError as error:
            raise SalignError(f"{self.path}: writing row {self.rows + 2} failed: {error}") from error
        self.rows += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise SalignError(f"{self.path}: cannot be written: {failure}") from failure
