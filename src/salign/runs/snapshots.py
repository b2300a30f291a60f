"""When a network began to look where people look, and to use what lies there: the snapshots of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from salign.checks import number
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.evaluate.agreement import METRICS, agreement
from salign.evaluate.reliance import GROUP, other, reliance
from salign.files import replace_csv
from salign.losses.labels import has_class, true_class
from salign.models import Model, load
from salign.progress import track
from salign.runs.analyse import draw_images
from salign.runs.run import Run
from salign.train.snapshots import SNAPSHOTS, snapshot, snapshots, step_snapshot, step_snapshots
from salign.types import Batch

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
        classifier: Any = load(snapshot(run.path, epoch))
        if classifier.backbone.cam_kind == "none":
            break
        values = _agreement(classifier, dataset)
        rows.append({"epoch": epoch, "images": len(values), **values.mean().to_dict()})
    table = pd.DataFrame(rows, columns=["epoch", "images", *METRICS])
    if rows:
        replace_csv(run.path / AGREEMENT, table)
    return table


def step_figures(run: Run, *, sets: Sequence[str], images: int, seed: int = 0, progress: bool = False) -> pd.DataFrame:
    """How well a network answers after each optimiser step whose weights were kept, and which side it uses.

    Args:
        run: one of a classifier, whose training is over; `train.snapshots: {steps: N}` of its recipe keeps weights.
        sets: names of sets.
        images: at most this many of each set are drawn.
        seed: decides the draw, which is the same for every step.
        progress: show a bar.

    Returns:
        A row per step and set: `step`, `set`, `accuracy` on all images drawn; `inside` and `outside`, the share of
        the images with a map whose answer changes when that side of it is replaced by another image's surroundings.
        No rows without such snapshots.
    """
    number("images", images, "[1, inf)", whole=True)
    rows = []
    for step in track(step_snapshots(run.path), "measuring snapshots", show=progress):
        classifier = load(step_snapshot(run.path, step))
        rows += [
            {"step": step, "set": name} | _figures(classifier, draw_images(run, name, images, seed), seed)
            for name in sets
        ]
    return pd.DataFrame(rows, columns=["step", "set", "accuracy", "inside", "outside"])


def _figures(classifier: Model, dataset: SaliencyDataset, seed: int) -> dict[str, float]:
    right: list[Tensor] = []
    relied = reliance(
        lambda images: classifier(images).logits.float(),
        _answered(classifier, dataset, right),
        positive=None,
        generator=torch.Generator().manual_seed(seed),
        fills={"other": other},
    )
    flipped = relied[relied["metric"] == "flipped"].set_index("kept")["value"]
    sides = {"inside": flipped.get("outside", np.nan), "outside": flipped.get("inside", np.nan)}
    return {"accuracy": float(torch.cat(right).double().mean()), **sides}


def _answered(classifier: Model, dataset: SaliencyDataset, right: list[Tensor]) -> Iterator[Batch]:
    """The batches of a set; whether each image is answered right is noted on the way."""
    for batch in predict_loader(dataset, GROUP, 0):
        with torch.inference_mode():
            logits = classifier(batch.images).logits
        several = batch.multi_label
        right.append(((logits > 0) == batch.labels.bool()).all(1) if several else logits.argmax(1) == batch.labels)
        yield batch


def _drawn(dataset: SaliencyDataset, images: int, seed: int) -> SaliencyDataset:
    """At most this many of the images that a person annotated."""
    people = SaliencyDataset(dataset.manifest.of_people(), dataset.classes, dataset.transform)
    annotated = np.flatnonzero(people.annotated.numpy())
    return people.take(np.sort(np.random.default_rng(seed).permutation(annotated)[:images]))


def _agreement(classifier: Model, dataset: SaliencyDataset) -> pd.DataFrame:
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
