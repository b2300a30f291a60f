"""Evaluate the snapshots of a run: when it began to look where people look, and to use what lies there."""

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
"""Path of the table of `snapshot_agreement`, relative to the run folder."""


def snapshot_agreement(run: Run, *, images: int = 200, seed: int = 0, progress: bool = False) -> pd.DataFrame:
    """Compare the map of the true class with people's, for each epoch whose weights were kept.

    The images are validation images on which a person marked something. If there are rows, the table is written to
    `snapshots/agreement.csv`.

    Args:
        run: a run of a classifier whose training is over; `train.snapshots` of its recipe decides which weights are
            kept.
        images: the largest number of images; they are drawn at random.
        seed: decides which images are drawn; they are the same for every snapshot.
        progress: show a progress bar.

    Returns:
        A row per snapshot: `epoch` (from 0), `images` (how many were compared), and the mean of each metric of
        `salign.evaluate.agreement` over the images. There are no rows if there are no snapshots, if no validation image
        has a map, or if the network has no class activation map (`model.cam: none`).

    Raises:
        SalignError: `images` is less than 1.
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
    """Measure accuracy and the use of both sides of human regions, for each optimiser step whose weights were kept.

    Args:
        run: a run of a classifier whose training is over; `train.snapshots: {steps: N}` of its recipe keeps the
            weights.
        sets: names of sets.
        images: the largest number of images of each set; they are drawn at random.
        seed: decides which images are drawn; they are the same for every step.
        progress: show a progress bar.

    Returns:
        A row per step and set: `step`, `set`, `accuracy` (on all drawn images), and `inside` and `outside`: the share
        of the images with a map whose answer changes if that side of the map is replaced by the surroundings of another
        image. There are no rows without such snapshots.

    Raises:
        SalignError: `images` is less than 1.
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
    """Yield the batches of a set, and append to `right` whether each image is answered correctly."""
    for batch in predict_loader(dataset, GROUP, 0):
        with torch.inference_mode():
            logits = classifier(batch.images).logits
        several = batch.multi_label
        right.append(((logits > 0) == batch.labels.bool()).all(1) if several else logits.argmax(1) == batch.labels)
        yield batch


def _drawn(dataset: SaliencyDataset, images: int, seed: int) -> SaliencyDataset:
    """Draw at most `images` of the images that a person marked."""
    people = SaliencyDataset(dataset.manifest.of_people(), dataset.classes, dataset.transform)
    annotated = np.flatnonzero(people.annotated.numpy())
    return people.take(np.sort(np.random.default_rng(seed).permutation(annotated)[:images]))


def _agreement(classifier: Model, dataset: SaliencyDataset) -> pd.DataFrame:
    """Return the metrics of each image that has a label and a marked map: a row per image, a column per metric."""
    parts = []
    for batch in predict_loader(dataset, 32, 0):
        classes = true_class(batch.labels)
        counts = batch.marked & has_class(classes)
        with torch.inference_mode():
            maps = classifier(batch.images).cam(classes)
        figures = agreement(maps[counts], batch.saliency[counts, 0])
        parts.append(pd.DataFrame({name: values.numpy() for name, values in figures.items()}))
    return pd.concat(parts, ignore_index=True)
