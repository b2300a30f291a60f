"""Pages about graphs: what deconvolution made of the labels, and what neighbours added to an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from salign.pages.plots import bars
from salign.pages.sheet import Block, Plots, Section, Table, Text, write_sheet

DEGREES = ((0, 0), (1, 1), (2, 3), (4, 7), (8, None))
"""Ranges of the number of neighbours that a picture takes together; None = no upper end."""


def degree_groups(degree: np.ndarray) -> dict[str, np.ndarray]:
    """Group nodes by their `(N,)` numbers of neighbours.

    Returns:
        The name of each range of `DEGREES` that occurs -> positions of its nodes, `(n,)`.
    """
    groups = {}
    for low, high in DEGREES:
        rows = np.flatnonzero((degree >= low) & (degree <= (np.inf if high is None else high)))
        name = f"{low} or more" if high is None else f"{low} to {high}" if high > low else str(low)
        if len(rows):
            groups[name] = rows
    return groups


def own_shares(targets: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Compute, per class, how much of the targets stays with the label of the node.

    Args:
        targets: a column per class, as `salign.graphs.labels.target_table` gives them.
        labels: the class of each row.

    Returns:
        A row per class, with the columns class, nodes, own (the mean share in percent) and unchanged (the number of
        nodes whose target is their label alone).
    """
    own = np.array([targets[label].iloc[i] for i, label in enumerate(labels)])
    table = pd.DataFrame({"class": list(labels), "own": 100 * own, "unchanged": own > 1 - 1e-6})
    grouped = table.groupby("class", sort=True)
    return grouped.agg(nodes=("own", "size"), own=("own", "mean"), unchanged=("unchanged", "sum")).reset_index()


def write_labels_page(path: Path, shares: pd.DataFrame, links: str, settings: str) -> Path:
    """Write the page about what deconvolution did to the labels of each class."""
    picture = bars(
        [str(name) for name in shares["class"]],
        {"own label": [float(value) for value in shares["own"]]},
        "share of the target that stays with the node's own label, in percent",
        title="What the targets hold",
        name="own-shares",
    )
    kept_text = "Where every bar is at 100, neighbours have the node's label, and training with the targets is plain."
    table = shares.assign(own=shares["own"].round(1))
    blocks: list[Block] = [
        Text([links, settings, kept_text]),
        Plots("The rest of a target lies with the classes of training nodes nearby.", [picture]),
        Table("Training nodes of each class.", table.rename(columns={"own": "own label, %"})),
    ]
    return write_sheet(path, "Labels that neighbours carry", [Section("Targets", blocks)])


def write_training_page(path: Path, figures: pd.DataFrame, by_degree: pd.DataFrame, links: str, settings: str) -> Path:
    """Write the page about the accuracy of an encoder alone and with neighbours.

    Args:
        path: file of the page.
        figures: a row per split, with the columns split, nodes, alone and "with neighbours"; accuracies in percent.
        by_degree: test nodes by their number of neighbours, with the columns neighbours, nodes, alone and "with
            neighbours"; accuracies in percent.
        links: the graph in words.
        settings: the training in words.
    """
    names = [f"{row} ({count})" for row, count in zip(by_degree["neighbours"], by_degree["nodes"], strict=True)]
    series = {name: [float(value) for value in by_degree[name]] for name in ("alone", "with neighbours")}
    picture = bars(
        names, series, "right test nodes, in percent", title="By the number of neighbours (nodes)", name="by-degree"
    )
    blocks: list[Block] = [
        Text([links, settings]),
        Table("Right nodes in percent: by the encoder alone, and by the head over its neighbours.", figures),
        Plots("What neighbours add, and to whom; a node without any is answered by itself.", [picture]),
    ]
    return write_sheet(path, "Nodes and their neighbours", [Section("Accuracy", blocks)])
