"""How figures are shown in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

MAIN = (
    "auroc", "auroc_macro", "ap", "ap_macro", "accuracy", "balanced_accuracy", "eer", "apcer", "bpcer", "acer",
    "bpcer_at_apcer5", "brier", "brier_macro", "ece",
)  # fmt: skip
"""Figures worth a line; the CSV has all."""


GROUPED = ("auroc", "auroc_macro", "accuracy", "apcer", "bpcer")
"""Figures shown by group."""


def figures_table(evaluation: Path) -> None:
    """Print `evaluation.csv`: a column per set and a line per main figure, then groups with fewer figures."""
    import pandas as pd
    from rich.console import Console

    figures = pd.read_csv(evaluation, keep_default_na=False, na_values=dict.fromkeys(("value", "low", "high"), ""))
    console = Console()
    whole = figures[figures["group_column"] == ""]
    for title, part, wanted in (
        ("value, and bootstrap interval over images", whole, MAIN),
        ("by group", figures.drop(whole.index), GROUPED),
    ):
        if len(part):
            console.print(_table(title, part, wanted))
    undefined = whole[whole["value"].isna() & whole["metric"].isin(MAIN)]
    threshold = whole[whole["metric"] == "bpcer"].head(1)
    for note in dict.fromkeys([*threshold["note"], *undefined["note"]]):
        console.print(f"  {note}", style="dim")


def _table(title: str, figures: pd.DataFrame, wanted: tuple[str, ...]) -> Table:
    """One with the sets as columns; or, for groups, which may be many, as lines."""
    from rich.table import Table

    cells: dict[str, dict[str, str]] = {}
    for key, part in figures.groupby(["split", "group_column", "group"], sort=False):
        split, column, group = key
        name = f"{split}, {column} {group} ({part['n'].max()})" if column else f"{split} ({part['n'].max()})"
        for metric, *numbers in part[["metric", "value", "low", "high"]].itertuples(index=False):
            if metric in wanted:
                cells.setdefault(name, {})[metric] = _cell(*numbers)
    metrics = [metric for metric in wanted if any(metric in row for row in cells.values())]
    by_group = bool((figures["group_column"] != "").any())
    table = Table(title=title)
    for heading in ("", *(metrics if by_group else cells)):
        table.add_column(heading, justify="right" if heading else "left")
    if by_group:
        for name, row in cells.items():
            table.add_row(name, *(row.get(metric, "") for metric in metrics))
    else:
        for metric in metrics:
            table.add_row(metric, *(row.get(metric, "") for row in cells.values()))
    return table


def _cell(value: float, low: float, high: float) -> str:
    if value != value:
        return "-"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if low == low else f"{value:.3f}"
