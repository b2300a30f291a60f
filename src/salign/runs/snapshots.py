"""When a network began to look where people look: the snapshots of a run against people's maps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from salign.checks import number
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.evaluate.agreement import METRICS, agreement
from salign.files import replace_text
from salign.losses.labels import has_class, true_class
from salign.models import Classifier
from salign.progress import track
from salign.runs.run import Run
from salign.train.history import SNAPSHOTS, snapshot, snapshots

AGREEMENT = f"{SNAPSHOTS}/agreement.csv"
"""The table of `snapshot_agreement` in the folder of a run."""


def snapshot_agreement(run: Run, *, images: int = 200, seed: int = 0, progress: bool = False) -> pd.DataFrame:
    """Compare the map of the true class with people's, after each epoch whose weights were kept.

    The validation images count on which a person marked something. The table is written to `snapshots/agreement.csv`.

    Args:
        run: one of a classifier, whose training is over; `train.snapshots` of its recipe keeps weights.
        images: at most this many are drawn.
        seed: decides the draw, which is the same for every snapshot.
        progress: show a bar.

    Returns:
        A row per snapshot: `epoch` (from 0), `images` (compared), and the mean over images of each metric of
        `salign.evaluate.agreement`. There are no rows without snapshots, where no validation image has a map, and for
        a network without a map of evidence (`model.cam: none`).

    Raises:
        SalignError: fewer than one image is asked for.
    """
    number("images", images, "[1, inf)", whole=True)
    dataset = _drawn(run.data("val"), images, seed)
    epochs = snapshots(run.path) if len(dataset) else []
    rows = []
    for epoch in track(epochs, "comparing snapshots with people", show=progress):
        classifier = Classifier.load(snapshot(run.path, epoch))
        if classifier.backbone.cam_kind == "none":
            break
        values = _agreement(classifier, dataset)
        rows.append({"epoch": epoch, "images": len(values), **values.mean().to_dict()})
    table = pd.DataFrame(rows, columns=["epoch", "images", *METRICS])
    if rows:
        replace_text(run.path / AGREEMENT, table.to_csv(index=False))
    return table


def _drawn(dataset: SaliencyDataset, images: int, seed: int) -> SaliencyDataset:
    """At most this many of the images that a person annotated."""
    people = SaliencyDataset(dataset.manifest.of_people(), dataset.classes, dataset.transform)
    annotated = np.flatnonzero(people.annotated.numpy())
    return people.take(np.sort(np.random.default_rng(seed).permutation(annotated)[:images]))


def _agreement(classifier: Classifier, dataset: SaliencyDataset) -> pd.DataFrame:
    """A row per image that has a label and is marked, a column per metric."""
    parts = []
    for batch in predict_loader(dataset, 32, 0):
        classes = true_class(batch.labels)
        counts = batch.marked & has_class(classes)
        with torch.inference_mode():
            maps = classifier(batch.images).cam(classes)
        figures = agreement(maps[counts], batch.saliency[counts, 0])
        parts.append(pd.DataFrame({name: values.numpy() for name, values in figures.items()}))
    return pd.concat(parts, ignore_index=True)
