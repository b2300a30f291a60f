"""What is written of a search: a table of ranked cells, and a page with predicted against measured values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.pages.plots import Cloud, looks, scatter
from salign.pages.sheet import Block, Plots, Section, Table, Text, write_sheet

SHOWN = 20
LONGEST = 60
"""Letters of a cell in words that the page has room for."""


def write_ranking(folder: Path, ranking: pd.DataFrame) -> Path:
    """Write `ranking.csv`, the best first: columns rank, code, cell, measured, predicted, and those that there are."""
    return write_table(for_spreadsheets(ranking), folder / "ranking.csv")


def write_search_page(
    folder: Path,
    title: str,
    sentences: list[str],
    ranking: pd.DataFrame,
    taus: pd.DataFrame,
    points: dict[str, tuple[np.ndarray, np.ndarray]],
    target: str,
) -> Path:
    """Write `page.html`.

    Args:
        folder: where it goes.
        title: heading.
        sentences: what came out.
        ranking: see `write_ranking`.
        taus: a row per predictor.
        points: name -> predicted scores and measured values, `(m,)` each.
        target: what was measured.
    """
    clouds = [Cloud(name, x, y) for name, (x, y) in points.items()]
    picture = scatter(
        clouds, looks(list(points)), ("predicted rank score", target), title="Predicted and measured", name="predicted"
    )
    top = ranking.head(SHOWN).round(4)
    if top["cell"].str.len().max() > LONGEST:  # its code says the same
        top = top.drop(columns="cell")
    blocks: list[Block] = [
        Text(sentences),
        Plots("Each point is a cell that the predictor had not seen with its value.", [picture]),
        Table("Kendall's tau of each predictor, 1 = the order is right, 0 = a guess.", taus.round(3)),
        Table(f"The {min(SHOWN, len(ranking))} best cells; all are in ranking.csv.", top.astype(object).fillna("")),
    ]
    return write_sheet(folder / "page.html", title, [Section("Ranking", blocks)])
