"""The files that a search writes: a table of ranked cells, and a page with predicted against measured values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.pages.plots import Cloud, looks, scatter
from salign.pages.sheet import Block, Plots, Section, Table, Text, write_sheet

SHOWN = 20
LONGEST = 60
"""Most letters of a cell in words for which the page has room."""


def write_ranking(folder: Path, ranking: pd.DataFrame) -> Path:
    """Write the ranking of cells, best first, to `ranking.csv`; for its columns see `salign.search.table.Ranked`."""
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
        folder: folder of the page.
        title: heading of the page.
        sentences: the results in words.
        ranking: see `write_ranking`.
        taus: Kendall's tau, a row per predictor.
        points: name of a predictor -> predicted scores and measured values, `(m,)` each.
        target: name of what was measured.
    """
    clouds = [Cloud(name, x, y) for name, (x, y) in points.items()]
    picture = scatter(
        clouds, looks(list(points)), ("predicted rank score", target), title="Predicted and measured", name="predicted"
    )
    top = ranking.head(SHOWN).round(4)
    if top["cell"].str.len().max() > LONGEST:  # the column code says the same
        top = top.drop(columns="cell")
    blocks: list[Block] = [
        Text(sentences),
        Plots("Each point is a cell that the predictor had not seen with its value.", [picture]),
        Table("Kendall's tau of each predictor, 1 = the order is right, 0 = a guess.", taus.round(3)),
        Table(f"The {min(SHOWN, len(ranking))} best cells; all are in ranking.csv.", top.astype(object).fillna("")),
    ]
    return write_sheet(folder / "page.html", title, [Section("Ranking", blocks)])
