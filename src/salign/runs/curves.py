"""How a run went, epoch by epoch: the page `curves.html` in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from salign.evaluate.agreement import LABELS
from salign.pages.chart import line_chart
from salign.pages.sheet import Section, Tile, write_sheet
from salign.readers import read_csv
from salign.runs.run import Run
from salign.runs.snapshots import snapshot_agreement
from salign.train.history import HISTORY, correct_answers, learned_and_forgotten, snapshots
from salign.train.recipe import ClassifyRecipe
from salign.train.trainer import METRICS

CURVES = "curves.html"


def write_curves(run: Run, *, progress: bool = False) -> Path:
    """Draw the loss, the metrics of validation, and what was learned and forgotten between each epoch and the last.

    Where weights of some epochs were kept, the agreement of their maps with people's is drawn, too.

    Args:
        run: one whose training is over.
        progress: show a bar.

    Returns:
        The page written.
    """
    folder = run.path
    metrics = read_csv(folder / METRICS)
    charts = {
        "Loss": {"training": metrics["train/loss"].tolist(), "validation": metrics["val/loss"].tolist()},
        "Validation": {
            name: metrics[f"val/{name}"].tolist() for name in ("auroc", "accuracy") if f"val/{name}" in metrics
        },
    }
    table = metrics
    if (folder / HISTORY).exists():
        learned, forgotten = learned_and_forgotten(correct_answers(folder, multi_label=run.multi_label))
        shares = {"learned": learned.tolist(), "forgotten": forgotten.tolist()}
        charts["Validation images answered otherwise at the end"] = shares
        table = table.assign(**shares)
    drawn = {title: lines for title, lines in charts.items() if np.isfinite([*lines.values()]).any()}
    tiles = [Tile([line_chart(lines)], title) for title, lines in drawn.items()]
    if snapshots(folder) and isinstance(run.recipe, ClassifyRecipe):
        agreed = snapshot_agreement(run, progress=progress)
        lines = {LABELS[name]: agreed[name].tolist() for name in ("cc", "energy")}
        if np.isfinite([*lines.values()]).any():
            tiles.append(Tile([line_chart(lines, agreed["epoch"].tolist())], "Agreement with people's maps"))
    text = "Learned: wrong at the epoch and right at the end. Forgotten: right at the epoch and wrong at the end."
    rows = [{str(key): float(f"{value:.4g}") for key, value in row.items()} for row in table.to_dict("records")]
    sections = [Section("Curves", text, tiles, large=True), Section("Every epoch", table=rows)]
    return write_sheet(folder / CURVES, f"Training of {folder.name}", sections)
