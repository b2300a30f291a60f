"""The part of a set that fares worst."""

from __future__ import annotations

import pandas as pd
import pytest

from salign.errors import SalignError
from salign.evaluate.worst import Worst, worst_part

TABLE = pd.DataFrame(
    {
        "label": ["cat", "cat", "cat", "cat", "dog", "dog", "dog", "dog", "dog", "dog"],
        "predicted": ["cat", "dog", "cat", "cat", "dog", "cat", "dog", "dog", "cat", "dog"],
        "site": ["A", "B", "B", None, "A", "A", "B", "B", "B", "A"],
    }
)


def test_the_worst_class() -> None:
    assert worst_part(TABLE) == Worst("dog", pytest.approx(4 / 6), 6)


def test_the_worst_class_within_a_group_an_empty_cell_is_a_group_of_its_own() -> None:
    assert worst_part(TABLE, ["site"]) == Worst("cat, B", 0.5, 2)
    wrong = TABLE.assign(predicted=["dog" if k == 3 else label for k, label in enumerate(TABLE["label"])])
    assert worst_part(wrong, ["site"]) == Worst("cat, (empty)", 0.0, 1)


def test_of_several_columns_the_worst_part_of_any() -> None:
    table = TABLE.assign(device=["z" if k in (5, 8) else "x" for k in range(10)])
    assert worst_part(table, ["site", "device"]) == Worst("dog, z", 0.0, 2)


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(SalignError, match="no column sex in the predictions"):
        worst_part(TABLE, ["sex"])
