"""The training curves of a run, epoch by epoch: the page `curves.html` in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from salign.evaluate.agreement import LABELS
from salign.pages.plots import traces
from salign.pages.sheet import Plots, Section, Table, write_sheet
from salign.readers import read_csv
from salign.runs.run import Run
from salign.runs.snapshots import AGREEMENT, snapshot_agreement
from salign.train.history import HISTORY, correct_answers, learned_and_forgotten
from salign.train.recipe import ClassifyRecipe
from salign.train.snapshots import snapshots
from salign.train.trainer import METRICS

CURVES = "curves.html"


def write_curves(run: Run, *, progress: bool = False) -> Path:
    """Draw the loss, the validation metrics, and how many images were learned and forgotten; write `curves.html`.

    An image counts as learned at an epoch if its answer is wrong then and right after the last epoch, and as forgotten
    if it is right then and wrong after the last epoch. If weights of single epochs were kept, the page also shows how
    far their maps agree with people's.

    Args:
        run: a run whose training is over.
        progress: show a progress bar.

    Returns:
        The path of the page.
    """
    return write_sheet(run.path / CURVES, f"Training of {run.path.name}", training_sections(run, progress=progress))


def training_sections(run: Run, *, progress: bool = False) -> list[Section]:
    """Return the curves of `write_curves`, and a table with the figures of every epoch; epochs count from 1."""
    metrics = read_csv(run.path / METRICS)
    table = metrics.assign(epoch=metrics["epoch"] + 1)
    names = {f"val/{name}": name for name in ("auroc", "accuracy") if f"val/{name}" in metrics}
    charts = {
        ("Loss", "loss"): table.rename(columns={"train/loss": "training", "val/loss": "validation"})[
            ["epoch", "training", "validation"]
        ],
        ("Validation", "value"): table.rename(columns=names)[["epoch", *names.values()]],
    }
    if (run.path / HISTORY).exists():
        correct = correct_answers(run.path, multi_label=run.multi_label)
        shares = learned_and_forgotten(correct)
        table = table.assign(**dict(zip(("learned", "forgotten"), (share.numpy() for share in shares), strict=True)))
        right = table.assign(accuracy=correct.double().mean(1).numpy())
        charts["Learned and forgotten", "share of the images"] = right[["epoch", "accuracy", "learned", "forgotten"]]
    if snapshots(run.path) and isinstance(run.recipe, ClassifyRecipe):
        measured = run.path / AGREEMENT
        agreed = read_csv(measured) if measured.exists() else snapshot_agreement(run, progress=progress)
        named = agreed.assign(epoch=agreed["epoch"] + 1).rename(columns=LABELS)
        charts["Agreement with people's maps", "value"] = named[["epoch", LABELS["cc"], LABELS["energy"]]]
    svgs = [
        _drawn(chart, title, axis, f"training-{number}")
        for number, ((title, axis), chart) in enumerate(charts.items())
        if np.isfinite(chart.drop(columns="epoch").to_numpy(dtype=float)).any()
    ]
    caption = (
        "Learned: the share of the validation images that is wrong at the epoch and right at the end. Forgotten: right "
        "at the epoch and wrong at the end. Accuracy at the end is that at any epoch, with what was learned and "
        "without what was forgotten."
    )
    rows = table.map(lambda value: float(f"{value:.4g}")).astype({"epoch": int})
    return [Section("Training", [Plots(caption, svgs)]), Section("Every epoch", [Table("", rows)])]


def _drawn(chart: pd.DataFrame, title: str, axis: str, name: str) -> str:
    epochs = chart["epoch"].to_numpy()
    lines = {line: (epochs, chart[line].to_numpy(dtype=float)) for line in chart.columns if line != "epoch"}
    return traces(lines, ("epoch", axis), title=title, name=name)
