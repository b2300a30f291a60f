"""The one dataset class, which reads what a manifest names, and the sampler that makes its randomness repeatable."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from salign.data.manifest import Fault, Manifest, ManifestError
from salign.data.manifest.labels import multi_hot
from salign.data.manifest.text_table import TEXT
from salign.data.reading.cache import PixelCache
from salign.data.reading.image import ImageError, image_size, read_image, read_saliency, shape_mismatch
from salign.data.reading.lenders import Lender, Lenders
from salign.data.reading.transforms import JointTransform
from salign.errors import SalignError
from salign.maps.region import region, surroundings
from salign.maps.tensor_ops import resize, varies
from salign.types import DRAWS, Batch

MapChange = Callable[[Tensor, str], Tensor]
"""`(map (H, W) float32 in [0, 1], id of its image) -> map (H, W) float32 in [0, 1]`."""

Transform = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""`(image (3, H, W) uint8 or float32, map (1, H, W) or None) -> (image float32 in [0, 1], map or None)`."""


class SaliencyDataset(Dataset[Batch]):
    """Images with labels and, where somebody looked, saliency maps. Only the manifest is held in memory.

    The label of a sample is a class number, or `(K,)` zeros and ones if the manifest allows several labels.

    `dataset[i]` or `dataset[i, seed]` is one sample (a `Batch` without the leading dimension). With a seed, the random
    draws of the sample depend on that seed alone, whichever worker makes it. Without a seed, they come from torch's
    global generator.

    Args:
        manifest: the rows to read.
        classes: the class names in the order of the label numbers.
        transform: see `Transform`; `build_transform` makes one.
        stretch_maps: whether a map of another shape is stretched to its image instead of refused; control maps need
            this.
        map_change: makes the map to train with from the map that was read; None = the map itself.
        map_everywhere: whether `map_change` also gives a map to an image that has none.
        seconds_column: free column with the seconds that people looked at each image, empty if unknown; None = no time
            is known.
        cache: keeps pictures as `JointTransform` resizes them, and maps unless they may be stretched or changed. The
            samples are the same with and without a cache.

    Attributes:
        targets: `(N, K)` float32, the probability of each class for each image; None = the labels are certain.
        draws: whether a sample has a random number (`Batch.draw`), which is drawn after all draws of the transform.
        partners: the probability that an annotated sample gets another image as its partner (`Batch.partner`).
        lender: which images the partner is drawn from, all equally likely: those of the same class (the same set of
            labels if an image may have several), of another class, or any.
        paint_over: whether the partner must have a map, and the region marked on it is painted over with the colours
            around it.

    Raises:
        ManifestError: a label is not among the classes, or a cell is not a number of seconds; every row is named.
    """

    targets: np.ndarray | None = None
    draws: bool = False
    partners: float = 0.0
    lender: Lender = "same_class"
    paint_over: bool = False
    _lenders: tuple[tuple[Lender, bool], Lenders] | None = None

    def __init__(
        self,
        manifest: Manifest,
        classes: Sequence[str],
        transform: Transform,
        *,
        stretch_maps: bool = False,
        map_change: MapChange | None = None,
        map_everywhere: bool = False,
        seconds_column: str | None = None,
        cache: PixelCache | None = None,
    ) -> None:
        self.manifest = manifest
        self.cache = cache
        self.stretch_maps = stretch_maps
        self.map_change = map_change
        self.map_everywhere = map_everywhere
        self.classes = tuple(classes)
        self.transform = transform
        self.seconds_column = seconds_column
        self._labels = _label_numbers(manifest, self.classes)
        self._seconds = _seconds(manifest, seconds_column)

    def __len__(self) -> int:
        return len(self.manifest)

    def take(self, positions: Sequence[int] | np.ndarray) -> SaliencyDataset:
        """Return a dataset of the samples at these positions, in this order."""
        other = copy.copy(self)
        other.manifest, other._lenders = self.manifest.take(positions), None
        other._labels, other._seconds = self._labels[positions], self._seconds[positions]
        other.targets = None if self.targets is None else self.targets[positions]
        return other

    def with_transform(self, transform: Transform) -> SaliencyDataset:
        """Return a dataset of the same samples with another transform."""
        other = copy.copy(self)
        other.transform = transform
        return other

    @property
    def labels(self) -> Tensor:
        """`(N,)` int64 in [0, K), and -1 without a label, which is only possible in a manifest made by code.

        If an image may have several labels: `(N, K)` float32 zeros and ones.
        """
        return torch.from_numpy(self._labels.astype(np.float32 if self.manifest.multi_label else np.int64))

    @property
    def seconds(self) -> np.ndarray:
        """`(N,)` float32: how many seconds people looked at each image; NaN where unknown."""
        return self._seconds

    @property
    def annotated(self) -> Tensor:
        """`(N,)` bool: whether each image has a map, blank or not."""
        if self.map_everywhere:
            return torch.ones(len(self), dtype=torch.bool)
        return torch.from_numpy(self.manifest.table["saliency"].notna().to_numpy(dtype=bool, copy=True))

    def __getitem__(self, key: int | tuple[int, int]) -> Batch:
        """Read one sample.

        Raises:
            ImageError: the image or its map cannot be read, or their shapes differ.
        """
        if not isinstance(key, tuple):
            return self._sample(key)
        position, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self._sample(position)

    def batch(self, keys: Sequence[int | tuple[int, int]]) -> Batch:
        """Read several samples as a batch with the leading dimension; each key is as for `dataset[key]`."""
        return collate([self[key] for key in keys])

    def _sample(self, i: int) -> Batch:
        image, saliency = self.transform(*self._read(i))
        draw = torch.randint(DRAWS, ()) if self.draws else None
        partner = torch.full_like(image, torch.nan) if self.partners else None
        if self.partners and saliency is not None and float(torch.rand(())) < self.partners:
            lent = self._partner(i)
            partner = partner if lent is None else lent
        return Batch(
            images=image,
            labels=self._label(i),
            saliency=image.new_zeros((1, *image.shape[-2:])) if saliency is None else saliency,
            annotated=torch.tensor(saliency is not None),
            index=torch.tensor(i),
            seconds=torch.tensor(self._seconds[i]),
            targets=None if self.targets is None else torch.from_numpy(self.targets[i]),
            draw=draw,
            partner=partner,
        )

    def _label(self, i: int) -> Tensor:
        if self.manifest.multi_label:
            return torch.from_numpy(self._labels[i].astype(np.float32))
        return torch.tensor(int(self._labels[i]))

    def _partner(self, i: int) -> Tensor | None:
        """Draw another image `(3, H, W)` that may lend its surroundings to the image at `i`; None if there is none."""
        kind = self.lender, self.paint_over
        if self._lenders is None or self._lenders[0] != kind:
            may = self.annotated.numpy() if self.paint_over else np.ones(len(self), dtype=bool)
            self._lenders = kind, Lenders(self.manifest, self._labels, self.lender, may)
        position = self._lenders[1].draw(i)
        if position is None:
            return None
        if not self.paint_over:
            return self.transform(self._image(position)[0], None)[0]
        image, saliency = self.transform(*self._read(position))
        if saliency is None or not bool(varies(saliency)):  # nothing is marked
            return image
        return surroundings(image[None], region(saliency[None]))[0].clamp(0, 1)

    @property
    def _joint(self) -> JointTransform | None:
        return self.transform if isinstance(self.transform, JointTransform) else None

    def _image(self, i: int) -> tuple[Tensor, tuple[int, int]]:
        """Return the image `(3, H, W)`, already resized if there is a cache, and (H, W) of the image as it was read."""
        path, where, joint = self.manifest.image_path(i), self.manifest.where(i), self._joint

        def read() -> Tensor:
            return read_image(path, where=where, at_least=None if joint is None else joint.enough)

        if self.cache is not None and joint is not None:
            return self.cache.image(path, joint.size, read, joint.resize)
        image = read()
        return image, (image.shape[-2], image.shape[-1])

    def _read(self, i: int) -> tuple[Tensor, Tensor | None]:
        """Return the image `(3, H, W)`, and its map `(1, H, W)` or None."""
        map_path, joint = self.manifest.saliency_path(i), self._joint
        image, size = self._image(i)
        if self.map_everywhere and self.map_change is not None:
            return image, self.map_change(torch.zeros(size), self.manifest.image_id(i))[None]
        if map_path is None:
            return image, None
        if self.map_change is not None:
            values = self.map_change(self._map(i, map_path, size), self.manifest.image_id(i))
        elif self.cache is not None and joint is not None and not self.stretch_maps:
            files, target = (map_path, self.manifest.image_path(i)), joint.size
            values = self.cache.saliency(files, target, lambda: resize(self._map(i, map_path, size), target))
        else:
            values = self._map(i, map_path, size)
        return image, values[None]

    def _map(self, i: int, path: Path, size: tuple[int, int]) -> Tensor:
        """Return the map `(H, W)` of the image at `i`, brought to the `size` at which that image was read."""
        where = self.manifest.where(i, "saliency")
        values = read_saliency(path, where=where)
        if tuple(values.shape) == size:
            return values
        wrong = shape_mismatch((values.shape[0], values.shape[1]), image_size(self.manifest.image_path(i)))
        if wrong is not None and not self.stretch_maps:
            raise ImageError(f"{where}: {wrong}")
        return resize(values, size)


def collate(samples: Sequence[Batch]) -> Batch:
    """Stack samples into a batch; a field that is None in all samples stays None."""
    fields: Any = (None if field[0] is None else default_collate(list(field)) for field in zip(*samples, strict=True))
    return Batch(*fields)


class SeededSampler(Sampler[tuple[int, int]]):
    """A sampler that yields `(position, seed of the sample)`, both of which depend on (seed, epoch) alone.

    Therefore neither the number of workers, nor resuming, nor anything drawn elsewhere changes the samples of an epoch.
    Several processes each take a part of every batch. The parts of all processes, one after the other, are the batch
    that a single process would have: no draw is repeated or lost, and the parts differ in size by one draw at most.

    Args:
        n: number of samples.
        seed: seed of the run, non-negative.
        shuffle: whether the order is random; otherwise it is 0..n-1.
        weights: `(n,)` non-negative weights, in proportion to which n positions are drawn with replacement; None = each
            position comes once.
        rank: number of this process, from 0.
        world: number of processes.
        batch: number of draws that are divided among the processes at a time; None = all.

    Raises:
        SalignError: there is nothing to sample, or `weights` has another length than n.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        *,
        shuffle: bool,
        weights: Tensor | None = None,
        rank: int = 0,
        world: int = 1,
        batch: int | None = None,
    ) -> None:
        if n < 1:
            raise SalignError("there is no image to sample from")
        if weights is not None and weights.shape != (n,):
            raise SalignError(f"weights are ({n},), one per sample; got {tuple(weights.shape)}")
        self.n, self.seed, self.shuffle, self.weights = n, seed, shuffle, weights
        self.rank, self.world, self.batch, self.epoch = rank, world, batch or n, 0
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose samples the next iteration yields."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next iteration, because a resumed training has seen them already."""
        self._skipped = batches

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self._parts())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        state = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(state)
        if self.weights is not None:
            order = torch.multinomial(self.weights.double(), self.n, replacement=True, generator=generator)
        elif self.shuffle:
            order = torch.randperm(self.n, generator=generator)
        else:
            order = torch.arange(self.n)
        seeds = torch.randint(2**63 - 1, (self.n,), generator=generator)
        skipped, self._skipped = self._skipped, 0
        for part in islice(self._parts(), skipped, None):
            yield from zip(order[part].tolist(), seeds[part].tolist(), strict=True)

    def _parts(self) -> Iterator[slice]:
        """Yield, for each batch, the range of draws that this process takes."""
        for first in range(0, self.n, self.batch):
            size = min(self.batch, self.n - first)
            yield slice(first + self.rank * size // self.world, first + (self.rank + 1) * size // self.world)


def _label_numbers(manifest: Manifest, classes: tuple[str, ...]) -> np.ndarray:
    """Return `(N,)` int16, the place of each label in `classes` (-1 = no label), or `(N, K)` bool of several labels."""
    if len(set(classes)) < len(classes) or not classes:
        raise SalignError(f"classes are different names, at least one; got {', '.join(classes) or 'none'}")
    labels = manifest.table["label"]
    if manifest.multi_label:
        hot, strange = multi_hot(labels, classes)
        if strange:
            raise _unknown(manifest, strange, classes)
        return hot
    numbers = pd.Index(classes, dtype=TEXT).get_indexer(pd.Index(labels.astype(TEXT))).astype(np.int16)
    unknown = (numbers < 0) & labels.notna().to_numpy(dtype=bool)
    if unknown.any():
        raise _unknown(manifest, [(int(i), labels.iloc[i]) for i in np.flatnonzero(unknown)], classes)
    return numbers


def _unknown(manifest: Manifest, strange: list[tuple[int, str]], classes: tuple[str, ...]) -> ManifestError:
    rows = manifest.table["row"]
    faults = [
        Fault(int(rows.iloc[i]), "label", f"unknown class {label!r}; expected one of {', '.join(classes)}")
        for i, label in strange
    ]
    return ManifestError.of(faults, manifest.source)


def _seconds(manifest: Manifest, column: str | None) -> np.ndarray:
    """Return a column as `(N,)` float32; NaN where a cell is empty, and everywhere if `column` is None."""
    if column is None:
        return np.full(len(manifest), np.nan, dtype=np.float32)
    cells = manifest.table[column]
    seconds = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    wrong = cells.notna().to_numpy(dtype=bool) & ~(np.isfinite(seconds) & (seconds >= 0))
    if wrong.any():
        faults = [
            Fault(int(row), column, f"{cell!r} is no time; expected seconds, 0 or more, or an empty cell")
            for row, cell in zip(manifest.table["row"][wrong], cells[wrong], strict=True)
        ]
        raise ManifestError.of(faults, manifest.source)
    return seconds
