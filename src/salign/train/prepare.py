"""From the data section of a recipe to datasets: rows chosen, faults found, controls applied."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from salign.class_names import SEPARATOR
from salign.data.checks.check import find_faults
from salign.data.controls import find_control, keep_maps, noisy_labels, subset
from salign.data.groups import subsample
from salign.data.manifest import Fault, Manifest, ManifestError
from salign.data.manifest.derive import free_columns
from salign.data.manifest.path_columns import in_shards
from salign.data.manifest.targets import read_targets
from salign.data.manifest.verdict import MANY, Verdict
from salign.data.reading.cache import PixelCache
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError, one_of
from salign.evaluate.predictions import LOGIT, PROB
from salign.location import is_remote
from salign.machine.drawn import with_drawn_maps
from salign.machine.errors import wrong_answers
from salign.readers import known_digest
from salign.train.recipe import DataRecipe, Recipe

_READ: WeakValueDictionary[tuple[object, ...], Manifest] = WeakValueDictionary()
"""Manifests that are in use in this process, by their content and how they were read."""
_JOINED = f"If labels joined by {SEPARATOR!r} are several labels of one image, set data.multi_label: true."


@dataclass(frozen=True)
class Prepared:
    """What a run trains, selects and reports on."""

    classes: tuple[str, ...]
    """In the order of the logits."""
    positive: str | None
    """The one of two classes that is to be detected; None for more classes, and where images may have several
    labels."""
    train: SaliencyDataset
    val: SaliencyDataset
    tests: dict[str, SaliencyDataset]
    left_out: tuple[Fault, ...]
    """Rows that could not be read and were left out, as the recipe asked."""
    questions: tuple[str, ...] = ()
    """Names that differ by case or spaces alone, of which only the owner knows whether they are one."""
    groups: tuple[str, ...] = ()
    """Columns of the manifest whose values, crossed with the class, make groups of images."""

    @property
    def sets(self) -> dict[str, SaliencyDataset]:
        """What is predicted and reported: `val`, then the test sets."""
        return {"val": self.val, **self.tests}


def prepare(
    data: DataRecipe, *, left_out: Sequence[Fault] | None = None, device: str = "auto", progress: bool = False
) -> Prepared:
    """Read the manifest once, check what will be used, and make the datasets.

    Only the training images are reduced, and only their maps are changed: rows of the splits, then `limit`, then
    `label_noise`, `subsample`, `annotated`, what a machine draws, the control, and `repeat_errors`. Validation and test
    images keep their own maps, whichever column training takes: agreement is measured against people.

    Args:
        data: the section of the recipe.
        left_out: the faults of the rows that a finished run left out; nothing is looked for again then.
        device: where a machine draws maps; `train.device` of the recipe.
        progress: show a bar.

    Raises:
        SalignError: anything missing, unknown, unreadable or empty; every faulty row is named.
    """
    manifest = read_manifest(data)
    tests = data.tests
    classes = tuple(data.classes or manifest.select(data.train).classes)
    positive = None if data.multi_label else _positive(data.positive, classes)
    find_control(data.maps)
    if data.drawn is not None and data.drawn.label is not None:
        one_of(data.drawn.label, classes, "data.drawn.label")
    _check_names(data, manifest)

    measured = sorted({*data.val, *(split for names in tests.values() for split in names)})
    used = manifest.select(sorted({*data.train, *measured}), data.classes)
    trained = used.select(data.train).with_maps(data.map_column)
    if left_out is None:
        parts = [used] if data.map_column == "saliency" else [trained, used.select(measured)]
        left_out = _unreadable(parts, data, progress)
        if left_out and data.faults == "stop":
            raise ManifestError.of(left_out, data.manifest)
    used, trained = without(used, left_out), without(trained, left_out)
    plain, cache = build_transform(data.image_size), _cache_of(data)
    val = used.select(data.val)
    if data.annotated_val is not None:
        val = keep_maps(val, data.annotated_val, data.seed)
    prepared = Prepared(
        classes=classes,
        positive=positive,
        train=_training_set(trained, classes, data, device, progress),
        val=SaliencyDataset(val, classes, plain, cache=cache),
        tests={name: SaliencyDataset(used.select(names), classes, plain, cache=cache) for name, names in tests.items()},
        left_out=tuple(left_out),
        questions=tuple(manifest.questions()),
        groups=tuple(data.groups),
    )
    for role, dataset in (("training", prepared.train), ("validation", prepared.val)):
        counts = class_counts(dataset.labels, len(classes)).tolist()
        if missing := [name for name, count in zip(classes, counts, strict=True) if not count]:
            raise _lacking(data, role, missing)
        always = [name for name, count in zip(classes, counts, strict=True) if count == len(dataset)]
        if data.multi_label and always:
            raise SalignError(
                f"{data.manifest}: the {role} set has no image without {', '.join(always)}; it needs one, or leave "
                "such a class out by data.classes."
            )
    return prepared


def check_classes(recipes: Iterable[Recipe]) -> None:
    """Look before anything of a study is trained whether its classes have images to train and to validate on.

    Rows are counted as the manifest has them; what a recipe leaves of them is looked at by its own run. A recipe whose
    rows cannot be read is passed over, and so is one whose images may have several labels.

    Raises:
        SalignError: training or validation has no image of a class.
    """
    seen = set()
    for data in (recipe.data for recipe in recipes if not recipe.data.multi_label):
        key = (data.manifest, data.root, *map(tuple, (data.train, data.val, data.classes or ())))
        if key in seen:
            continue
        seen.add(key)
        try:
            parts = [read_manifest(data).select(splits, data.classes) for splits in (data.train, data.val)]
        except SalignError:
            continue
        classes = data.classes or parts[0].classes
        for role, part in zip(("training", "validation"), parts, strict=True):
            if missing := [name for name in classes if name not in part.classes]:
                raise _lacking(data, role, missing)


def _lacking(data: DataRecipe, role: str, missing: Sequence[str]) -> SalignError:
    hint = f" {_JOINED}" if any(SEPARATOR in name for name in missing) else ""
    return SalignError(
        f"{data.manifest}: the {role} set has no image of {', '.join(missing)}; it needs one. Move one there (column "
        f"split), merge classes (column label), or leave one out by naming the others: data.classes.{hint}"
    )


def _unreadable(parts: Sequence[Manifest], data: DataRecipe, progress: bool) -> list[Fault]:
    """What cannot be read of parts of a manifest, by row; of `MANY` images that could be read this is noted.

    Images in shards were looked at when these were written, and what lies behind a URL is looked at as it comes.
    """
    decode = data.faults == "leave_out"
    if not decode:
        parts = [] if is_remote(parts[0].root) else list(map(_with_files, parts))
    checks = "images", data.root, data.multi_label, data.map_column, data.train, data.sets, data.classes, decode
    verdict, many = Verdict(Path(data.manifest), *checks), sum(map(len, parts)) >= MANY
    if many and verdict.holds:
        return []
    faults = {fault: None for part in parts for fault in find_faults(part, decode=decode, progress=progress)}
    if many and not faults:
        names = [part.table[column] for part in parts for column in ("path", "saliency")]
        verdict.note(names, parts[0].root)
    return sorted(faults, key=lambda fault: fault.row or 0)


def _with_files(part: Manifest) -> Manifest:
    """The rows whose image or map is a file of its own."""
    maps = part.table["saliency"]
    inside = in_shards(part.table["path"]) & (in_shards(maps) | maps.isna().to_numpy(dtype=bool))
    return part.take(np.flatnonzero(~inside)) if inside.any() else part


def _training_set(
    rows: Manifest, classes: tuple[str, ...], data: DataRecipe, device: str, progress: bool
) -> SaliencyDataset:
    """What is left of the rows after `limit`, with the maps that `annotated` leaves and the control makes of them."""
    (_, control), rows = find_control(data.maps), reduced(rows, data, device=device, progress=progress)
    if control.rows is not None:
        rows = control.rows(rows, data.seed)
    rows = repeated(rows, data, device=device, progress=progress)
    dataset = SaliencyDataset(
        rows,
        classes,
        build_transform(data.image_size, data.augment),
        stretch_maps=control.rows is not None,
        map_change=None if control.pixels is None else functools.partial(control.pixels, data.seed),
        seconds_column=data.seconds_column,
        cache=_cache_of(data),
    )
    if control.images is not None:
        dataset.map_change, dataset.map_everywhere = control.images(dataset, progress=progress), control.everywhere
    if data.targets is not None:
        ids = rows.table["id"].tolist()
        dataset.targets = read_targets(data.targets, ids, dataset.labels.numpy(), classes)
    return dataset


def _cache_of(data: DataRecipe) -> PixelCache | None:
    return None if data.cache is None else PixelCache(data.cache)


def read_manifest(data: DataRecipe) -> Manifest:
    """The manifest of a recipe. Runs on one manifest share it for as long as one of them holds it."""
    key = data.manifest, data.root, data.multi_label, known_digest(data.manifest)
    manifest = _READ.get(key)
    if manifest is None:
        manifest = _READ[key] = Manifest.read(data.manifest, data.root, multi_label=data.multi_label)
    return manifest


def training_rows(data: DataRecipe) -> Manifest:
    """The rows that a recipe trains on, with the maps of its column, before `reduced` and the control.

    Raises:
        SalignError: the manifest cannot be read, or has no such split, class or column.
    """
    return read_manifest(data).select(data.train, data.classes).with_maps(data.map_column)


def reduced(rows: Manifest, data: DataRecipe, *, device: str = "auto", progress: bool = False) -> Manifest:
    """Take the rows that `limit` and `subsample` leave.

    Their labels are as `label_noise` asks, and their maps as `annotated` and `drawn` do.

    Raises:
        SalignError: there are too few rows, or a run that draws is not there.
    """
    if data.annotated is not None and data.annotated_before_limit:
        rows = keep_maps(rows, data.annotated, data.seed)
    if data.limit is not None:
        rows = subset(rows, data.limit, data.seed)
    if data.label_noise:
        rows = noisy_labels(rows, data.label_noise, data.classes or rows.classes, data.seed)
    if data.subsample != "none":
        rows = subsample(rows, data.groups if data.subsample == "groups" else [], data.seed)
    if data.annotated is not None and not data.annotated_before_limit:
        rows = keep_maps(rows, data.annotated, data.seed)
    if data.drawn is not None:
        runs = [data.drawn.by] if isinstance(data.drawn.by, str) else data.drawn.by
        options = data.drawn.model_dump(exclude={"by"}) | {"seed": data.seed, "device": device}
        rows = with_drawn_maps(rows, [Path(run) for run in runs], **options, progress=progress)
    return rows


def repeated(rows: Manifest, data: DataRecipe, *, device: str = "auto", progress: bool = False) -> Manifest:
    """The rows with those of `repeat_errors` several times, one after the other.

    Raises:
        SalignError: the run that answers is not there.
    """
    if data.repeat_errors is None:
        return rows
    wrong = wrong_answers(rows, data.repeat_errors.of, device=device, progress=progress)
    return rows.take(np.repeat(np.arange(len(rows)), np.where(wrong, data.repeat_errors.times, 1)))


def of_machines(dataset: SaliencyDataset) -> str:
    """How many of the maps a machine made, in words that follow a count of maps; nothing where people made them all."""
    _, machines, unknown = dataset.manifest.makers
    parts = [f"{machines} of them made by a machine"] if machines else []
    parts += [f"{unknown} of them of unknown origin"] if unknown else []
    return f" ({', '.join(parts)})" if parts else ""


def without(manifest: Manifest, faults: Sequence[Fault]) -> Manifest:
    """The rows of a manifest that have none of these faults."""
    if not faults:
        return manifest
    faulty = [fault.row for fault in faults]
    return manifest.take(np.flatnonzero(~manifest.table["row"].isin(faulty).to_numpy()))


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """`(N,)` labels -> `(K,)` weights: images / (classes * images of the class): mean 1 over images.

    Of `(N, K)` labels, of which an image may have several: labels / (classes * labels of the class).
    """
    counts = class_counts(labels, classes)
    return counts.sum() / (classes * counts.float())


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """`(N,)` class numbers, or `(N, K)` zeros and ones -> `(K,)` int64: how many images are of each class."""
    return labels.long().sum(0) if labels.dim() == 2 else torch.bincount(labels, minlength=classes)


def _check_names(data: DataRecipe, manifest: Manifest) -> None:
    """What is only needed after training is checked before it."""
    free = free_columns(manifest)
    clashes = [name for name in free if name == "predicted" or name.startswith((LOGIT, PROB))]
    if clashes:
        raise SalignError(f"{data.manifest}: column {clashes[0]!r} would stand twice in the predictions; rename it.")
    single = {"species": data.species, "seconds_column": data.seconds_column}
    named = {"groups": data.groups, **{key: [name] for key, name in single.items() if name}}
    for key, columns in named.items():
        for name in columns:
            if name not in (*free, "label"):
                raise SalignError(f"data.{key}: {data.manifest} has no column {name!r}; there are {', '.join(free)}.")


def _positive(name: str | None, classes: tuple[str, ...]) -> str | None:
    if name is not None and name not in classes:
        raise SalignError(f"data.positive: {name!r} is none of the classes {', '.join(classes)}.")
    return (name or classes[-1]) if len(classes) == 2 else None
