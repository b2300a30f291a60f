"""The features of a frozen network, computed once and kept on disk: then an epoch costs no more than the head."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.files import LEFTOVERS, replacing
from salign.models import Classifier
from salign.models.heads import head_parts
from salign.readers import known_digest
from salign.types import Batch, Output

MOST_CACHED = 20 * 10**9
"""Bytes of features that a folder holds; a single file may have more."""
_BATCH = 32
"""Images per forward pass; it decides the speed, not the result."""
_DAY = 24 * 60 * 60
"""Seconds."""


class HeadOnly(nn.Module):
    """A classifier that is given the features of images instead of the images: `head(features) -> Output`.

    Its weights are those of the head alone, so that a checkpoint of a training holds no more; it is saved as the whole
    classifier, which must be on the device of the features.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.parts = nn.ModuleList(head_parts(classifier.backbone.net))
        self._classifier = (classifier,)  # in a tuple it is no part of this module

    @property
    def classifier(self) -> Classifier:
        """The whole classifier."""
        return self._classifier[0]

    def train(self, mode: bool = True) -> Self:
        """As for every module; the classifier follows, whose head may have dropout."""
        super().train(mode)
        self.classifier.train(mode)
        return self

    def forward(self, features: Tensor) -> Output:
        """`(B, C, h, w)` -> Output."""
        return self.classifier.backbone.from_features(features)

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(B, K)` logits -> `(B, K)`."""
        return self.classifier.probabilities(logits)

    def save(self, folder: Path | str) -> Path:
        """Write the whole classifier."""
        return self.classifier.save(folder)


class FeatureDataset(SaliencyDataset):
    """The samples of a dataset with features `(C, h, w)` in the place of their images, read from a memory-mapped file.

    Args:
        dataset: what the features are computed of.
        features: `(N, C, h, w)` float32.
        saliency: `(N, 1, H, W)` float32; None where no map is looked at.
    """

    def __init__(self, dataset: SaliencyDataset, features: np.ndarray, saliency: np.ndarray | None) -> None:
        self.__dict__.update(vars(dataset))
        self.features, self.saliency = features, saliency
        self._known = dataset.labels, dataset.annotated

    def batch(self, keys: Sequence[Any]) -> Batch:
        """The samples at these positions, all read at once."""
        labels, annotated = self._known
        rows = [key[0] if isinstance(key, tuple) else key for key in keys]
        maps = np.zeros((len(rows), 1, 1, 1), np.float32) if self.saliency is None else self.saliency[rows]
        return Batch(
            images=torch.from_numpy(self.features[rows]),
            labels=labels[rows],
            saliency=torch.from_numpy(maps),
            annotated=annotated[rows],
            index=torch.tensor(rows),
            seconds=torch.from_numpy(self.seconds[rows]),
            targets=None if self.targets is None else torch.from_numpy(self.targets[rows]),
        )


def cached(
    classifier: Classifier, dataset: SaliencyDataset, folder: Path, *, maps: bool, device: str, workers: int | str
) -> FeatureDataset:
    """The dataset with features instead of images, taken from `folder` or computed into it.

    A file of features is found by its content: the weights of the body, the size of the images, and the bytes of every
    image. It may be deleted at any time. No more than a batch is held in memory. The folder holds `MOST_CACHED` bytes:
    where a new file would make it more, those that were used longest ago are deleted first.

    Args:
        classifier: its body does not learn; the features are those of evaluation mode, in float32.
        dataset: whose images do not change from epoch to epoch.
        folder: where the files of features are kept.
        maps: whether the human maps are looked at, which are then read once, too.
        device: "cpu", "cuda" or "mps".
        workers: processes that read images, or `auto`.
    """
    path = folder / f"{_content(classifier, dataset)}.npy"
    saliency: np.ndarray | None = None
    if maps:
        file = tempfile.TemporaryFile(dir=_made(folder))  # noqa: SIM115 - it lives as long as the array
        saliency = np.memmap(file, np.float32, "w+", shape=(len(dataset), 1, *classifier.image_size))
    if path.exists():
        os.utime(path)  # it is used now
        if saliency is not None:
            for batch in predict_loader(dataset, _BATCH, workers):
                saliency[batch.index.numpy()] = batch.saliency.numpy()
    else:
        backbone = classifier.backbone
        _make_room(folder, 4 * len(dataset) * backbone.channels * math.prod(backbone.grid))
        with replacing(path) as partial:
            _compute(classifier, dataset, partial, saliency, device, workers)
    return FeatureDataset(dataset, np.load(path, mmap_mode="r"), saliency)


def _compute(
    classifier: Classifier,
    dataset: SaliencyDataset,
    path: Path,
    saliency: np.ndarray | None,
    device: str,
    workers: int | str,
) -> None:
    training, body = classifier.training, classifier.to(device).eval()
    shape = (len(dataset), body.backbone.channels, *body.backbone.grid)
    features = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    with torch.no_grad():
        for batch in predict_loader(dataset, _BATCH, workers):
            rows = batch.index.numpy()
            features[rows] = body(batch.images.to(device)).features.float().cpu().numpy()
            if saliency is not None:
                saliency[rows] = batch.saliency.numpy()
    features.flush()
    classifier.train(training)


def _make_room(folder: Path, needed: int) -> None:
    """Delete the files that were used longest ago until `needed` bytes more are at most `MOST_CACHED`.

    A process that has one of them open goes on reading it. What a killed process left half-written goes after a day.
    """
    for partial in folder.glob(LEFTOVERS):
        if time.time() - partial.stat().st_mtime > _DAY:
            partial.unlink(missing_ok=True)
    files = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    room = MOST_CACHED - needed - sum(file.stat().st_size for file in files)
    for file in files:
        if room >= 0:
            return
        room += file.stat().st_size
        with suppress(OSError):  # Windows keeps what another process has open
            file.unlink()


def _content(classifier: Classifier, dataset: SaliencyDataset) -> str:
    """16 hex digits of what decides the features."""
    head = {id(weight) for part in head_parts(classifier.backbone.net) for weight in part.parameters()}
    whole = hashlib.sha256(json.dumps({**classifier.config, "classes": None}, sort_keys=True).encode())
    for name, value in classifier.state_dict(keep_vars=True).items():
        if id(value) not in head:
            whole.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    for i in range(len(dataset)):
        whole.update(known_digest(dataset.manifest.image_path(i)).encode())
    return whole.hexdigest()[:16]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
