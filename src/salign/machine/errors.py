"""Which images a finished run answers wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from salign.data.manifest import Manifest
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.machine.makers import device_of
from salign.models import load
from salign.progress import track

_BATCH = 50


def wrong_answers(
    rows: Manifest, run: Path | str, *, device: str = "auto", progress: bool = False
) -> NDArray[np.bool_]:
    """Return which images a finished run answers wrong.

    Args:
        rows: the images, with labels that are classes of the run.
        run: the folder of a finished run of a classifier.
        device: one of `salign.machine.options.DEVICES`.
        progress: whether to show a progress bar.

    Returns:
        `(N,)` bool: whether the most probable class is not the label. If images may have several labels: whether the
        answer about any class is wrong.

    Raises:
        SalignError: the folder holds no classifier, a label is none of its classes, an image cannot be read, or there
            is no such device.
    """
    model = load(run).to(device_of(device))
    dataset = SaliencyDataset(rows, model.classes, build_transform(model.image_size))
    computed_on = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for batch in track(predict_loader(dataset, _BATCH, 0), "looking for wrong answers", show=progress):
            logits = model(batch.images.to(computed_on)).logits.cpu()
            wrong = (
                (logits > 0) != (batch.labels > 0) if rows.multi_label else (logits.argmax(1) != batch.labels)[:, None]
            )
            parts.append(wrong.any(1).numpy())
    return np.concatenate(parts)
