"""How figures are shown in a terminal."""

from __future__ import annotations

from pathlib import Path

MAIN = (
    "auroc", "auroc_macro", "ap", "ap_macro", "accuracy", "balanced_accuracy", "eer", "apcer", "bpcer", "acer",
    "bpcer_at_apcer5", "brier", "brier_macro", "ece",
)  # fmt: skip
"""Figures worth a line; the CSV has all."""


def figures_table(evaluation: Path) -> None:
    """Print `evaluation.csv`: a line per main figure, a column per set and group, with intervals."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    figures = pd.read_csv(evaluation, keep_default_na=False, na_values=dict.fromkeys(("value", "low", "high"), ""))
    cells: dict[str, dict[str, str]] = {}
    table = Table(title="value, and bootstrap interval over images")
    table.add_column("figure")
    for (split, column, group), part in figures.groupby(["split", "group_column", "group"], sort=False):
        title = f"{split} {column}={group}" if column else str(split)
        table.add_column(f"{title} ({part['n'].max()})", justify="right")
        for row in part[["metric", "value", "low", "high"]].itertuples(index=False):
            cells.setdefault(str(row[0]), {})[title] = _cell(*row[1:])
    for name in MAIN:
        if name in cells:
            table.add_row(name, *cells[name].values())
    console = Console()
    console.print(table)
    undefined = figures[figures["value"].isna() & figures["metric"].isin(MAIN)]
    threshold = figures[figures["metric"] == "bpcer"].head(1)
    for note in dict.fromkeys([*threshold["note"], *undefined["note"]]):
        console.print(f"  {note}", style="dim")


def _cell(value: float, low: float, high: float) -> str:
    if value != value:
        return "-"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if low == low else f"{value:.3f}"
