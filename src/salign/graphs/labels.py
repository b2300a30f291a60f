"""Soft targets of the training nodes, as `data.targets` of a recipe takes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from salign.errors import SalignError
from salign.graphs.deconvolution import deconvolve, spread_labels
from salign.graphs.neighbours import Neighbours
from salign.graphs.tables import Nodes


def target_table(
    nodes: Nodes, rows: np.ndarray, neighbours: Neighbours, *, weights: tuple[float, ...], alpha: float
) -> pd.DataFrame:
    """Deconvolve the labels of the training nodes.

    Args:
        nodes: the table of nodes.
        rows: `(n,)` positions of the training nodes; no other label is used.
        neighbours: the links between the nodes.
        weights: weight of each hop, 0 or more; the weights are divided by their sum.
        alpha: share of the spread labels in a target.

    Returns:
        A row per training node, with the column `id` and a column per class. The classes of a row sum to 1.

    Raises:
        SalignError: a class is called `id`, a weight is negative, or all weights are 0.
    """
    if "id" in nodes.classes:
        raise SalignError(f"{nodes.source}: 'id' is a class, and its column would stand twice; rename the class.")
    shares = torch.tensor(weights)
    if not float(shares.sum()) > 0 or float(shares.min()) < 0:
        raise SalignError(f"--weight: expected numbers of 0 or more, one of them above, got {weights}.")
    own = torch.zeros(len(nodes), len(nodes.classes))
    own[rows, nodes.labels[rows]] = 1
    targets = deconvolve(own, spread_labels(own, neighbours, len(weights)), shares / shares.sum(), alpha)
    table = pd.DataFrame(targets[rows].double().numpy(), columns=list(nodes.classes))
    table.insert(0, "id", nodes.table["id"].iloc[rows].to_numpy(object))
    return table
