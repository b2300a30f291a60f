"""The features of a frozen network, computed once and kept on disk, so that an epoch costs no more than the head."""

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
"""The most bytes of features that a folder holds; a single file may have more."""
_BATCH = 32
"""Images per forward pass; the number affects the speed, not the result."""
_DAY = 24 * 60 * 60
"""Seconds of a day."""


class HeadOnly(nn.Module):
    """A classifier that is given the features of images instead of the images: `head(features) -> Output`.

    The module has the weights of the head alone, so that a checkpoint of a training holds no others. `save` writes the
    whole classifier. The classifier must be on the device of the features.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.parts = nn.ModuleList(head_parts(classifier.backbone.net))
        self._classifier = (classifier,)  # torch does not register a module in a tuple as a part of this one

    @property
    def classifier(self) -> Classifier:
        """The whole classifier."""
        return self._classifier[0]

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of this module and of the classifier, whose head may have dropout."""
        super().train(mode)
        self.classifier.train(mode)
        return self

    def forward(self, features: Tensor) -> Output:
        """Return the output for features `(B, C, h, w)`."""
        return self.classifier.backbone.from_features(features)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities `(B, K)` of logits `(B, K)`."""
        return self.classifier.probabilities(logits)

    def save(self, folder: Path | str) -> Path:
        """Write the whole classifier."""
        return self.classifier.save(folder)


class FeatureDataset(SaliencyDataset):
    """The samples of a dataset with features `(C, h, w)` in place of the images, read from a memory-mapped file.

    Args:
        dataset: the dataset whose images the features were computed from.
        features: `(N, C, h, w)` float32.
        saliency: `(N, 1, H, W)` float32; None if no map is looked at.
    """

    def __init__(self, dataset: SaliencyDataset, features: np.ndarray, saliency: np.ndarray | None) -> None:
        self.__dict__.update(vars(dataset))
        self.features, self.saliency = features, saliency
        self._known = dataset.labels, dataset.annotated

    def batch(self, keys: Sequence[Any]) -> Batch:
        """Return the samples at these positions as a batch; all are read at once."""
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
    """Return the dataset with features instead of images, which are read from `folder` or computed into it.

    The name of a file of features is a digest of what decides them: the weights of the body, the size of the images,
    and the bytes of every image. A file may be deleted at any time. No more than a batch is held in memory. The folder
    holds at most `MOST_CACHED` bytes: if a new file would make it more, the files that were used longest ago are
    deleted first.

    Args:
        classifier: a classifier whose body does not learn; the features are computed in evaluation mode, in float32.
        dataset: a dataset whose images do not change from epoch to epoch.
        folder: where the files of features are kept.
        maps: whether the human maps are looked at; if so, they are read once, too.
        device: "cpu", "cuda" or "mps".
        workers: number of processes that read images, or `auto`.
    """
    path = folder / f"{_content(classifier, dataset)}.npy"
    saliency: np.ndarray | None = None
    if maps:
        file = tempfile.TemporaryFile(dir=_made(folder))  # noqa: SIM115 - it lives as long as the array
        saliency = np.memmap(file, np.float32, "w+", shape=(len(dataset), 1, *classifier.image_size))
    if path.exists():
        os.utime(path)  # marks the file as used now
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
    """Delete the files that were used longest ago, until `needed` more bytes make at most `MOST_CACHED` in all.

    A process that has a deleted file open can still read it. Half-written files of killed processes are deleted after a
    day.
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
        with suppress(OSError):  # Windows does not delete a file that another process has open
            file.unlink()


def _content(classifier: Classifier, dataset: SaliencyDataset) -> str:
    """Return 16 hex digits of a digest of all that decides the features."""
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
