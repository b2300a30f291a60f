"""How figures are shown in a terminal."""

from __future__ import annotations

from pathlib import Path

MAIN = (
    "auroc", "auroc_macro", "accuracy", "balanced_accuracy", "eer", "ap", "acer", "bpcer_at_apcer5", "brier",
    "brier_macro", "ece",
)  # fmt: skip
"""Figures worth a column; the CSV has all."""


def figures_table(evaluation: Path) -> None:
    """Print `evaluation.csv`: a line per set and group, a column per main figure, with intervals."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    figures = pd.read_csv(evaluation, keep_default_na=False, na_values={"value": "", "low": "", "high": ""})
    columns = [name for name in MAIN if name in set(figures["metric"])]
    table = Table(title="figure [95 % bootstrap interval over images]")
    for name in ("set", "images", *columns):
        table.add_column(name, justify="left" if name == "set" else "right")
    for (split, column, group), part in figures.groupby(["split", "group_column", "group"], sort=False):
        by_name = part.set_index("metric")
        cells = [_cell(by_name.loc[name]) if name in by_name.index else "" for name in columns]
        title = f"{split} ({column}={group})" if column else str(split)
        table.add_row(title, str(by_name["n"].max()), *cells)
    console = Console()
    console.print(table) if console.width >= 80 or not console.is_terminal else console.print(figures.to_string())
    for note in dict.fromkeys(note for note in figures["note"] if note):
        console.print(f"  note: {note}", style="dim")


def _cell(row: object) -> str:
    value, low, high = row["value"], row["low"], row["high"]  # type: ignore[index]
    if value != value:
        return "—"
    return f"{value:.3f}\n[{low:.3f}, {high:.3f}]" if low == low else f"{value:.3f}"
