"""Tables show the names that people gave as they are."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from salign.cli.show import _class_table, _table
from salign.cli.text_table import text_table

NAMES = ["grade [a]", "x [/a] y", "[bold]x[", "[red]", "z\\[b]"]


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_square_brackets_are_no_markup(name: str) -> None:
    assert shown(text_table(name, ["", "right"], [["a", "b"]])).count(name) == 1
    assert shown(text_table("title", [name, "right"], [["a", name]])).count(name) == 2


def test_classes_and_groups_are_shown_by_their_names() -> None:
    figures = pd.DataFrame(
        [("test", "site [red]", name, "accuracy", 0.5, 0.25, 0.75, 4) for name in NAMES],
        columns=["split", "group_column", "group", "metric", "value", "low", "high", "n"],
    )
    by_group = shown(_table("t", figures, ("accuracy",)))
    assert all(f"test, site [red] {name} (4)" in by_group for name in NAMES)
    assert "0.500 [0.250, 0.750]" in by_group
    of_classes = pd.DataFrame({"metric": [f"recall[{name}]" for name in NAMES], "value": 0.5})
    assert all(name in shown(_class_table("t", of_classes, NAMES)) for name in NAMES)


def test_the_first_column_begins_at_the_left_and_figures_end_at_the_right() -> None:
    lines = shown(text_table("t", ["", "share"], [["a", "0.5"], ["longer", "0.25"]])).splitlines()
    assert [line for line in lines if "0." in line] == ["│ a      │   0.5 │", "│ longer │  0.25 │"]
