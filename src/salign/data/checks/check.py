"""Look at every image and map of a manifest before a training run does, and report everything wrong at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from salign.data.checks.duplicates import Fingerprint, NearPair, exact_groups, fingerprint, near_pairs
from salign.data.checks.map_similarity import MeanCorrelation, standardised
from salign.data.manifest import COLUMNS, Fault, Manifest, ManifestError
from salign.data.manifest.labels import name_sets
from salign.data.manifest.path_columns import different_files
from salign.data.manifest.shard_index import INDEX, shard_of
from salign.data.manifest.split import small_classes
from salign.data.reading.image import ImageError, image_size, read_image, read_saliency, shape_mismatch
from salign.progress import Bar
from salign.readers import file_digest

_CHUNK = 512
_USED = {
    "train": "there is nothing to train on, unless data.train names other splits",
    "val": "the best epoch cannot be chosen, unless data.val names other splits; give it some training images "
    "(salign data split, with --move train)",
    "test": "nothing is left to measure on, for val chooses the epoch; give it images of its own (salign data split, "
    "with --move train)",
}
"""Splits that a recipe uses unless it names others, and what follows if no row has them."""

MapState = Literal["none", "unread", "blank", "constant", "shaped"]


class Examined(NamedTuple):
    """What was found in one row."""

    faults: tuple[Fault, ...]
    saliency: MapState
    """The state of the map. `none`: nobody looked; `blank`: all zeros, which means that somebody looked and marked
    nothing; `constant`: another value everywhere; `shaped`: different values; `unread`: not decoded or broken."""
    marked: float
    """Share of the map's pixels at or above half of its highest value; 0 for a blank map."""
    print: Fingerprint | None
    """The fingerprint of the image; None if it was not decoded."""


@dataclass(frozen=True)
class Report:
    """Everything that `check` found; positions refer to `manifest`."""

    manifest: Manifest
    """The rows that were examined; their cells and paths are sound."""
    faults: tuple[Fault, ...]
    """Everything that is broken, by row: cells, paths, images, maps."""
    examined: tuple[Examined, ...]
    """What was found, one entry per position."""
    same: tuple[tuple[int, ...], ...]
    """Groups of positions with equal pixels."""
    near: tuple[NearPair, ...]
    """Pairs that look alike without being equal, most similar first."""
    shuffled: float
    """Mean correlation of the maps of two images, in [-1, 1], which is how alike an image's own map and a shuffled map
    are. NaN if fewer than two maps with a shape were read."""
    drawn_from: Manifest | None = None
    """All sound rows if only a sample of them was examined, else None."""

    @property
    def sound_rows(self) -> Manifest:
        """All rows whose cells and paths are sound, examined or not."""
        return self.manifest if self.drawn_from is None else self.drawn_from

    def maps(self, state: MapState) -> list[int]:
        """Return the positions whose map is in this state."""
        return [position for position, picture in enumerate(self.examined) if picture.saliency == state]

    def differing(self, column: str) -> list[NearPair]:
        """Return the pairs of positions with the same picture whose cells in `column` differ.

        With `split`, the picture leaks from one split to another; with `label`, the labels contradict each other. Equal
        pictures come first (each paired with the first of its group, at similarity 1), then the most similar.
        """
        values = self.manifest.table[column].tolist()
        equal = (NearPair(group[0], other, 1.0) for group in self.same for other in group[1:])
        return [pair for pairs in (equal, self.near) for pair in pairs if values[pair.first] != values[pair.second]]

    def map_table(self) -> pd.DataFrame:
        """Describe the maps of each class, in the columns `label, images, with_map, blank, constant, marked`.

        `marked` is the median of `Examined.marked` over the shaped maps of the class.
        """
        table = pd.DataFrame(
            {
                "label": self.manifest.table["label"].to_numpy(dtype=object),
                "state": [picture.saliency for picture in self.examined],
                "marked": [picture.marked if picture.saliency == "shaped" else None for picture in self.examined],
            }
        )
        state = table["state"]
        counted = table.assign(with_map=state != "none", blank=state == "blank", constant=state == "constant")
        grouped = counted.groupby("label", sort=True)
        return grouped.agg(
            images=("state", "size"),
            with_map=("with_map", "sum"),
            blank=("blank", "sum"),
            constant=("constant", "sum"),
            marked=("marked", "median"),
        ).reset_index()

    @property
    def lacking(self) -> list[str]:
        """A line for each split that recipes use by default but no row has, with what follows.

        A split `test` is not missed if there is any other split to measure on.
        """
        splits = set(self.sound_rows.splits)
        missing = [split for split in _USED if split not in splits]
        if splits - {"train", "val"} and "test" in missing:
            missing.remove("test")  # any other split can be measured on
        return [f"no row is of the split {split!r}: {_USED[split]}" for split in missing]

    @property
    def small(self) -> list[str]:
        """A line for each split `train`, `val` or `test` that has classes with too few images; see `small_classes`."""
        return small_classes(self.sound_rows, tuple(_USED))

    @property
    def sound(self) -> bool:
        """Whether there is no fault, no picture in two splits, and no pair of equal pictures with different labels."""
        labels = [pair for pair in self.differing("label") if pair.similarity == 1]
        return not (self.faults or self.differing("split") or labels)


def check_file(
    path: str | Path,
    root: str | Path | None = None,
    *,
    multi_label: bool = False,
    decode: bool = True,
    sample: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Check a manifest file as `check` does, but go on past rows with unsound cells or paths.

    Args:
        path: the manifest.
        root: as for `Manifest.read`.
        multi_label: whether images may have several labels; each set of labels then counts as a class of its own.
        decode: as for `check`.
        sample: the number of rows whose images and maps are read; None = all. Cells and paths are checked in all rows.
        seed: draws the sample.
        progress: show bars.

    Raises:
        ManifestError: columns are missing, or no row is left to look at.
        SalignError: the file cannot be read as a table.
    """
    manifest, faults = Manifest.unchecked(path, root, multi_label=multi_label)
    faults += manifest.faults()
    table = manifest.table
    if multi_label and "label" in table:
        manifest = replace(manifest, table=table.assign(label=name_sets(table["label"])), multi_label=False)
    if not set(COLUMNS) <= set(table.columns) or len(table) == 0:
        raise ManifestError.of(faults, str(path))
    sound = np.flatnonzero(~table["row"].isin([fault.row for fault in faults]).to_numpy(dtype=bool))
    if not len(sound):
        raise ManifestError.of(faults, str(path))
    rows = manifest.take(sound)
    if decode and sample is None:
        faults += _changed_shards(rows, progress)
    if sample is None or sample >= len(rows):
        return check(rows, decode=decode, progress=progress, known=tuple(faults))
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), sample, replace=False))
    report = check(rows.take(chosen), decode=decode, progress=progress, known=tuple(faults))
    return replace(report, drawn_from=rows)


def _changed_shards(rows: Manifest, progress: bool) -> list[Fault]:
    """Find shards whose SHA-256 differs from the one in their index, since a damaged picture may still be readable."""
    names = [name for name in different_files(rows.table["path"]).to_pylist() if name.endswith(".tar")]
    faults = []
    with Bar("comparing shards with their index", len(names), show=progress and bool(names)) as bar:
        for name in names:
            shard = shard_of(rows.root / name)
            if shard is not None and file_digest(rows.root / name) != shard.sha256:
                faults.append(
                    Fault(None, "path", f"the shard {name} was changed since {INDEX} was written; copy it again")
                )
            bar.advance()
    return faults


def check(manifest: Manifest, *, decode: bool = True, progress: bool = True, known: tuple[Fault, ...] = ()) -> Report:
    """Examine the image and the map of every row.

    Args:
        manifest: The rows to look at.
        decode: Decode every pixel. Otherwise only headers are read: sizes are checked, but damage behind the header,
            blank maps and duplicates are not found.
        progress: Show a bar.
        known: Faults that were found before, which become part of the report.
    """
    examined: list[Examined] = []
    correlation = MeanCorrelation()
    for picture, values in _examine_all(manifest, decode, progress):
        examined.append(picture)
        correlation.add(values)
    faults = [*known, *(fault for picture in examined for fault in picture.faults)]
    prints = [picture.print for picture in examined]
    return Report(
        manifest,
        tuple(sorted(faults, key=lambda fault: fault.row or 0)),
        tuple(examined),
        tuple(exact_groups(prints)),
        tuple(near_pairs(prints)),
        correlation.mean,
    )


def find_faults(manifest: Manifest, *, decode: bool = False, progress: bool = False) -> list[Fault]:
    """Find images and maps that are missing, damaged, too small or large, not finite, or do not fit each other.

    Args:
        manifest: The rows to look at.
        decode: Decode every pixel; otherwise only headers are read.
        progress: Show a bar.
    """
    return [fault for picture, _ in _examine_all(manifest, decode, progress) for fault in picture.faults]


def _examine_all(manifest: Manifest, decode: bool, progress: bool) -> Iterator[tuple[Examined, np.ndarray | None]]:
    """Examine the rows in order and yield, for each, what was found, and its map as `standardised` gives it.

    Threads examine several rows at a time, because decoders release Python's lock.
    """
    with (
        Bar("reading images and maps", len(manifest), show=progress) as bar,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        for start in range(0, len(manifest), _CHUNK):
            positions = range(start, min(start + _CHUNK, len(manifest)))
            for picture in pool.map(lambda position: _examine(manifest, position, decode), positions):
                yield picture
                bar.advance()


def _examine(manifest: Manifest, position: int, decode: bool) -> tuple[Examined, np.ndarray | None]:
    """Read one row; an image and a map that are both broken give two faults."""
    row = int(str(manifest.table["row"].iat[position]))
    path, map_path = manifest.image_path(position), manifest.saliency_path(position)
    name, map_name = (str(manifest.table[column].iat[position]) for column in ("path", "saliency"))
    faults: list[Fault] = []
    size: tuple[int, int] | None = None
    print: Fingerprint | None = None
    try:
        if decode:
            image = read_image(path, where=name)
            size, print = (image.shape[1], image.shape[2]), fingerprint(image)
        else:
            size = image_size(path, where=name)
    except ImageError as error:
        faults.append(Fault(row, "path", str(error)))
    if map_path is None:
        return Examined(tuple(faults), "none", 0.0, print), None
    state: MapState = "unread"
    marked, shape = 0.0, None
    try:
        if decode:
            values = read_saliency(map_path, where=map_name)
            map_size = (values.shape[0], values.shape[1])
            low, high = (float(bound) for bound in values.aminmax())
            state = "shaped" if high > low else "constant" if high > 0 else "blank"
            marked = float((values >= high / 2).float().mean()) if high > 0 else 0.0
            shape = standardised(values)
        else:
            map_size = image_size(map_path, where=map_name)
        if size is not None and (wrong := shape_mismatch(map_size, size)) is not None:
            faults.append(Fault(row, "saliency", f"{map_name}: {wrong}"))
    except ImageError as error:
        faults.append(Fault(row, "saliency", str(error)))
    return Examined(tuple(faults), state, marked, print), shape
