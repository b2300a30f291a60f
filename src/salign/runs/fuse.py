"""Epochs of one training fused into a run of its own, that answers as their weighted mean."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from salign.data.manifest.labels import multi_hot
from salign.errors import SalignError
from salign.evaluate.fusion import Method, choose_epochs
from salign.evaluate.predictions import PROB
from salign.files import check_output, replace_text
from salign.models import Classifier, Ensemble
from salign.runs.evaluate import evaluate_run, predict_sets
from salign.runs.run import Run
from salign.train.history import read_history, snapshot, snapshots
from salign.train.recipe import MapsRecipe
from salign.train.trainer import choose_device

FUSED = "fused.json"
"""The file of a fused run that says where it came from."""


def fuse_run(
    source: Path | str,
    out: Path | str | None = None,
    *,
    method: Method = "fusion",
    count: int | None = None,
    window: int = 1,
    device: str = "auto",
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Run:
    """Fuse the snapshots of a finished run; the epochs and their weights are chosen by its validation images alone.

    The new run is predicted, evaluated and explained as any other, and can be the teacher of one.

    Args:
        source: a finished run with snapshots of its weights (`train.snapshots`).
        out: the folder that the new run folder goes into; None = that of the source.
        method: how epochs are weighed, see `salign.evaluate.fusion.choose_epochs`; only those with a snapshot count.
        count: for the methods "last" and "jumps".
        window: for the method "fusion".
        device: where it computes.
        progress: show bars.
        say: receives lines for the user.

    Returns:
        The new run. One that is there already is not made again.

    Raises:
        SalignError: the source is no finished run of a classifier, or has no snapshots.
    """
    run = Run.open(source)
    folder = Path(out or run.path.parent)
    check_output(folder, folder=True)
    epochs, values, labels = _kept(run)
    chosen = choose_epochs(values, labels, method, count=count, window=window)
    weights = {epoch: float(weight) for epoch, weight in zip(epochs, chosen, strict=True) if weight > 0}
    content = {"source": str(run.path.resolve()), "method": method, "count": count, "window": window, "epochs": weights}
    text = json.dumps(content, indent=2)
    name = f"{run.recipe.name}-{method}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    fused = Run(folder / name)
    if fused.done:
        say(f"{fused.path} is already done; nothing to fuse.")
        return fused
    fused.start(run.recipe)
    replace_text(fused.path / FUSED, text)
    if (run.path / "left_out.csv").exists():
        shutil.copy(run.path / "left_out.csv", fused.path)
    members = [Classifier.load(snapshot(run.path, epoch)) for epoch in weights]
    model = Ensemble(members, list(weights.values()))
    model.save(fused.path)
    say(f"epochs, counted from 1, and weights: {', '.join(f'{e + 1}: {w:.3f}' for e, w in weights.items())}")
    rows = predict_sets(fused, model.to(choose_device(device)), progress=progress)
    evaluate_run(fused, seed=run.recipe.seed, progress=progress)
    fused.finish(rows)
    return fused


def _kept(run: Run) -> tuple[list[int], NDArray[np.float64], NDArray[np.int64]]:
    """The epochs with a snapshot, the probabilities `(E, N, K)` of the validation images then, and their labels."""
    if isinstance(run.recipe, MapsRecipe):
        raise SalignError(f"{run.path} is a net that draws maps; expected a classifier, whose answers can be fused.")
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
