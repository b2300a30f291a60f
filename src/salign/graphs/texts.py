"""Texts in a graph: from a table of nodes to answers for every node, and the files that report them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from salign.data.manifest.text_table import for_spreadsheets, write_table
from salign.graphs.neighbours import Neighbours
from salign.graphs.networks import WordEncoder, weigh_words
from salign.graphs.pages import degree_groups, write_training_page
from salign.graphs.tables import Nodes
from salign.graphs.train import NodeSets, Trained, train_nodes

WIDTH = 64
"""Number of outputs of the encoder of texts."""


def train_texts(nodes: Nodes, neighbours: Neighbours, *, text: str, words: Any = "tfidf", **options: Any) -> Trained:
    """Train on the texts of a column, with the splits `train` and `val` of the table.

    Args:
        nodes: the table of nodes, with the column `split`.
        neighbours: the links between the nodes.
        text: column with the texts; an empty cell is a text without words.
        words: the `kind` of `weigh_words`. The words of all texts are counted, whatever their split, without labels.
        options: the options of `train_nodes`.
    """
    counted = weigh_words(nodes.table[text].fillna("").tolist(), words)
    train, val = (torch.from_numpy(nodes.rows_of(split)) for split in ("train", "val"))
    sets = NodeSets(torch.from_numpy(nodes.labels), len(nodes.classes), train, val)
    return train_nodes(lambda: WordEncoder(counted, WIDTH), WIDTH, neighbours, sets, **options)


def write_trained(
    folder: Path, nodes: Nodes, trained: Trained, degree: np.ndarray, links: str, settings: str
) -> list[str]:
    """Write `predictions.csv`, a row per node, and `page.html`.

    Args:
        folder: folder of both files, which is made.
        nodes: the table of nodes.
        trained: the result of `train_texts`.
        degree: `(N,)` number of neighbours of each node.
        links: the graph in words.
        settings: the training in words.

    Returns:
        The results in words, one line each.
    """
    answers, alone = trained.answers.double().numpy(), trained.alone.double().numpy()
    splits = nodes.table["split"].to_numpy(object)
    table = pd.DataFrame({"id": nodes.table["id"].to_numpy(object), "split": splits})
    table["label"] = [nodes.classes[k] if k >= 0 else None for k in nodes.labels]
    table["predicted"] = [nodes.classes[k] for k in answers.argmax(1)]
    for k, name in enumerate(nodes.classes):
        table[f"prob_{name}"] = answers[:, k]
    write_table(for_spreadsheets(table), folder / "predictions.csv")

    def right(rows: np.ndarray) -> dict[str, float]:
        truth = nodes.labels[rows]
        by = {"alone": alone, "with neighbours": answers}
        return {name: round(100 * float((shares[rows].argmax(1) == truth).mean()), 1) for name, shares in by.items()}

    names = sorted(set(nodes.table["split"].dropna()), key=lambda name: (name != "train", name != "val", name))
    parts = {name: rows for name in names if len(rows := nodes.rows_of(name))}
    figures = pd.DataFrame([{"split": name, "nodes": len(rows), **right(rows)} for name, rows in parts.items()])
    measured_on = [rows for name, rows in parts.items() if name not in ("train", "val")]
    measured = np.concatenate(measured_on or [parts["val"]])
    groups = {name: measured[rows] for name, rows in degree_groups(degree[measured]).items()}
    by_degree = pd.DataFrame([{"neighbours": name, "nodes": len(rows), **right(rows)} for name, rows in groups.items()])
    if len(trained.weights):
        hops = ", ".join(f"{share:.2f}" for share in trained.weights.tolist())
        settings += f"; hops 1, 2, ... count {hops}"
    write_training_page(folder / "page.html", figures, by_degree, links, settings)
    last = figures.iloc[-1]
    return [
        f"{last['split']} ({last['nodes']:,} nodes): {last['alone']:.1f} % right by the encoder alone, "
        f"{last['with neighbours']:.1f} % with neighbours",
        *([settings] if len(trained.weights) else []),
    ]
