"""Reading back the tables of figures that runs write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from salign.readers import read_csv


def read_figures(path: Path | str, text: Iterable[str]) -> pd.DataFrame:
    """Read a CSV table as it was computed, whatever an image, a set or a group is called.

    Args:
        path: the file.
        text: columns of text, in which "NA", "001" and an empty cell are what they are. All others hold numbers, of
            which an empty cell is a missing one.

    Raises:
        SalignError: it cannot be read as a table.
    """
    names = set(text)
    numbers = [name for name in read_csv(path, nrows=0).columns if name not in names]
    return read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=dict.fromkeys(numbers, ""))
