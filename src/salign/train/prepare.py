"""Preparation of the datasets of a run from section `data` of its recipe: choose rows, find faults, apply controls."""

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
"""The manifests that are in use in this process, by path, root, `multi_label` and digest."""
_JOINED = f"If labels joined by {SEPARATOR!r} are several labels of one image, set data.multi_label: true."


@dataclass(frozen=True)
class Prepared:
    """The datasets of a run: those to train on, to choose the best epoch on, and to report on."""

    classes: tuple[str, ...]
    """The names of the classes in the order of the logits."""
    positive: str | None
    """The one of two classes that is to be detected; None for more classes, and if images may have several labels."""
    train: SaliencyDataset
    val: SaliencyDataset
    tests: dict[str, SaliencyDataset]
    left_out: tuple[Fault, ...]
    """The faults of the rows that could not be read and were left out, as the recipe asked."""
    questions: tuple[str, ...] = ()
    """Questions to the owner of the data: whether names that differ in case or spaces alone are one and the same."""
    groups: tuple[str, ...] = ()
    """Columns of the manifest whose values, crossed with the class, make groups of images."""

    @property
    def sets(self) -> dict[str, SaliencyDataset]:
        """The sets that are predicted and reported on: `val`, then the test sets."""
        return {"val": self.val, **self.tests}


def prepare(
    data: DataRecipe, *, left_out: Sequence[Fault] | None = None, device: str = "auto", progress: bool = False
) -> Prepared:
    """Read the manifest, check what will be used of it, and make the datasets.

    Only the training set is reduced, and only its maps are changed. From the rows of its splits, these options are
    applied in this order: `limit`, `label_noise`, `subsample`, `annotated`, `drawn`, the control in `maps`, and
    `repeat_errors`. (`annotated` comes first with `annotated_before_limit`.) Validation and test images keep their own
    maps, whichever column the training takes, because agreement is measured against people. `annotated_val` leaves maps
    to a part of the validation images.

    Args:
        data: section `data` of the recipe.
        left_out: the faults of the rows that a finished run left out; if given, no faults are looked for again.
        device: the device on which a machine draws maps; `train.device` of the recipe.
        progress: whether to show a bar.

    Raises:
        SalignError: something is missing, unknown, unreadable or empty; the message names every faulty row.
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
    """Check, before any run of a study is trained, that every class has images to train and to validate on.

    The rows of the splits are checked as the manifest has them; what a recipe leaves of them is checked by its own run.
    Recipes whose rows cannot be read are not checked here, nor are those whose images may have several labels.

    Raises:
        SalignError: the training set or the validation set of a recipe has no image of a class.
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
    """Find the faults of parts of a manifest, in the order of rows.

    If `MANY` images or more have no fault, this is noted, so that they are not checked again. If the recipe does not
    leave out faulty rows, images in shards are not checked, because they were when the shards were written, and nothing
    behind a URL is checked beforehand.
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
    """Return the rows whose image or map is a file of its own, and not a part of a shard."""
    maps = part.table["saliency"]
    inside = in_shards(part.table["path"]) & (in_shards(maps) | maps.isna().to_numpy(dtype=bool))
    return part.take(np.flatnonzero(~inside)) if inside.any() else part


def _training_set(
    rows: Manifest, classes: tuple[str, ...], data: DataRecipe, device: str, progress: bool
) -> SaliencyDataset:
    """Make the training set: reduce the rows, apply the control to their maps, and read the targets."""
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
    """Read the manifest of a recipe; the runs of a process share a manifest for as long as one of them uses it."""
    key = data.manifest, data.root, data.multi_label, known_digest(data.manifest)
    manifest = _READ.get(key)
    if manifest is None:
        manifest = _READ[key] = Manifest.read(data.manifest, data.root, multi_label=data.multi_label)
    return manifest


def training_rows(data: DataRecipe) -> Manifest:
    """Return the rows of a recipe's training splits, with the maps of its column, before any reduction or control.

    Raises:
        SalignError: the manifest cannot be read, or does not have the split, class or column.
    """
    return read_manifest(data).select(data.train, data.classes).with_maps(data.map_column)


def reduced(rows: Manifest, data: DataRecipe, *, device: str = "auto", progress: bool = False) -> Manifest:
    """Return the rows that `limit` and `subsample` leave, with changed labels and maps.

    `label_noise` changes labels, `annotated` takes maps away, and `drawn` adds maps that a machine draws.

    Raises:
        SalignError: there are too few rows, or a run that shall draw maps does not exist.
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
    """Return the rows; each row that the run in `repeat_errors` answers wrong is repeated `times` times in its place.

    Raises:
        SalignError: the run that shall answer does not exist.
    """
    if data.repeat_errors is None:
        return rows
    wrong = wrong_answers(rows, data.repeat_errors.of, device=device, progress=progress)
    return rows.take(np.repeat(np.arange(len(rows)), np.where(wrong, data.repeat_errors.times, 1)))


def of_machines(dataset: SaliencyDataset) -> str:
    """Return, as words behind a count of maps, how many a machine made; empty if people made all of them."""
    _, machines, unknown = dataset.manifest.makers
    parts = [f"{machines} of them made by a machine"] if machines else []
    parts += [f"{unknown} of them of unknown origin"] if unknown else []
    return f" ({', '.join(parts)})" if parts else ""


def without(manifest: Manifest, faults: Sequence[Fault]) -> Manifest:
    """Return the rows of a manifest that have none of these faults."""
    if not faults:
        return manifest
    faulty = [fault.row for fault in faults]
    return manifest.take(np.flatnonzero(~manifest.table["row"].isin(faulty).to_numpy()))


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Return weights of classes `(K,)` so that all classes count alike; their mean over images is 1.

    For `(N,)` class numbers, the weight of a class is images / (classes * images of the class). For `(N, K)` zeros and
    ones, where an image may have several labels, it is labels / (classes * labels of the class).
    """
    counts = class_counts(labels, classes)
    return counts.sum() / (classes * counts.float())


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """Return `(K,)` int64: how many images are of each class, from `(N,)` class numbers or `(N, K)` zeros and ones."""
    return labels.long().sum(0) if labels.dim() == 2 else torch.bincount(labels, minlength=classes)


def _check_names(data: DataRecipe, manifest: Manifest) -> None:
    """Check the names of columns that are needed only after training, so that a mistake does not cost a training."""
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
