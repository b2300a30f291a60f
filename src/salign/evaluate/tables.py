"""Reader of the tables of figures that runs write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from salign.readers import read_csv


def read_figures(path: Path | str, text: Iterable[str]) -> pd.DataFrame:
    """Read a CSV table as it was computed, whatever names its images, sets and groups have.

    Args:
        path: the file.
        text: names of the text columns, in which "NA", "001" and an empty cell are kept as they are. All other columns
            hold numbers, and an empty cell is a missing number.

    Raises:
        SalignError: the file cannot be read as a table.
    """
    names = set(text)
    numbers = [name for name in read_csv(path, nrows=0).columns if name not in names]
    return read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=dict.fromkeys(numbers, ""))
