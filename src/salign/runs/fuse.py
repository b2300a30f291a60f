"""Fuse several epochs of one training into a model whose answer is their weighted mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from salign.data.manifest.labels import multi_hot
from salign.errors import SalignError
from salign.evaluate.fusion import choose_epochs, compare_methods
from salign.evaluate.predictions import PROB
from salign.models import Classifier, Ensemble
from salign.runs.run import Run
from salign.train.history import read_history
from salign.train.recipe import FuseRecipe
from salign.train.snapshots import snapshot, snapshots


def fused_model(run: Run, options: FuseRecipe, say: Callable[[str], None], **_: Any) -> tuple[Ensemble, dict[str, Any]]:
    """Return the ensemble of a run's snapshots; the run's validation images alone choose the epochs and weights.

    Args:
        run: a finished run with snapshots of its weights (`train.snapshots`).
        options: how epochs are chosen and weighted, see `salign.evaluate.fusion.choose_epochs`; only epochs with a
            snapshot are considered.
        say: receives lines about the methods and the chosen epochs.

    Returns:
        The ensemble, on the CPU; and a dictionary whose `epochs` are the chosen epochs, counted from 0, with their
        weights.

    Raises:
        SalignError: the run has no snapshots.
    """
    epochs, values, labels = snapshot_answers(run)
    compared = compare_methods(
        values, labels, np.random.default_rng(run.recipe.seed), count=options.count, window=options.window
    )
    words = ", ".join(f"{name} {share:.3f}" for name, share in compared.items())
    say(f"accuracy of each method on the half of the validation images that did not choose, mean of 6: {words}")
    chosen = choose_epochs(values, labels, options.method, count=options.count, window=options.window)
    weights = {epoch: float(weight) for epoch, weight in zip(epochs, chosen, strict=True) if weight > 0}
    say(f"epochs, counted from 1, and weights: {', '.join(f'{e + 1}: {w:.3f}' for e, w in weights.items())}")
    members = [Classifier.load(snapshot(run.path, epoch)) for epoch in weights]
    return Ensemble(members, list(weights.values())), {"epochs": weights}


def snapshot_answers(run: Run) -> tuple[list[int], NDArray[np.float64], NDArray[np.int64]]:
    """Return the epochs with a snapshot, their probabilities for the validation images, and the labels.

    Returns:
        E epochs, counted from 0; probabilities `(E, N, K)`; and labels, `(N,)` class numbers or, where images may have
        several labels, `(N, K)` zeros and ones.

    Raises:
        SalignError: the run has no snapshots.
    """
    history = read_history(run.path)
    epochs = snapshots(run.path)
    if not epochs:
        raise SalignError(
            f"{run.path} kept no weights of single epochs, of which a fused run is made. Train it again with "
            "--set 'train.snapshots={even: 12}'."
        )
    rows = history[history["epoch"].isin(epochs)]
    flat = rows[[PROB + name for name in run.classes]].to_numpy(np.float64)
    values = flat.reshape(len(epochs), -1, len(run.classes))
    return epochs, values, _labels(rows["label"].iloc[: values.shape[1]], run)


def _labels(labels: pd.Series, run: Run) -> NDArray[np.int64]:
    if not run.multi_label:
        return np.array([run.classes.index(label) for label in labels], dtype=np.int64)
    return multi_hot(labels, run.classes)[0].astype(np.int64)
