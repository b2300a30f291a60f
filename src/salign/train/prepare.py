"""From the data section of a recipe to datasets: rows chosen, faults found, controls applied."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from salign.class_names import SEPARATOR
from salign.data.checks.check import find_faults
from salign.data.controls import find_control, keep_maps, subset
from salign.data.manifest import Fault, Manifest, ManifestError
from salign.data.manifest.derive import free_columns
from salign.data.manifest.targets import read_targets
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.predictions import LOGIT, PROB
from salign.train.recipe import DataRecipe

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


def prepare(data: DataRecipe, *, progress: bool = False) -> Prepared:
    """Read the manifest once, check what will be used, and make the datasets.

    Only the training images are reduced, and only their maps are changed: rows of the splits, then `limit`, then
    `annotated`, then the control. Validation and test images keep their own maps, whichever column training takes:
    agreement is measured against people.

    Raises:
        SalignError: anything missing, unknown, unreadable or empty; every faulty row is named.
    """
    manifest = Manifest.read(data.manifest, data.root, multi_label=data.multi_label)
    tests = data.test if isinstance(data.test, dict) else {name: [name] for name in data.test}
    classes = tuple(data.classes or manifest.select(data.train).classes)
    positive = None if data.multi_label else _positive(data.positive, classes)
    find_control(data.maps)
    _check_names(data, manifest, list(tests))

    others = sorted({*data.val, *(split for names in tests.values() for split in names)})
    used = manifest.select(sorted({*data.train, *others}), data.classes)
    trained = used.select(data.train).with_maps(data.map_column)
    parts = [used] if data.map_column == "saliency" else [trained, used.select(others)]
    decode = data.faults == "leave_out"
    found = {fault: None for part in parts for fault in find_faults(part, decode=decode, progress=progress)}
    faults = sorted(found, key=lambda fault: fault.row or 0)
    if faults and data.faults == "stop":
        raise ManifestError.of(faults, data.manifest)
    used, trained = _without(used, faults), _without(trained, faults)
    plain = build_transform(data.image_size)
    prepared = Prepared(
        classes=classes,
        positive=positive,
        train=_training_set(trained, classes, data),
        val=SaliencyDataset(used.select(data.val), classes, plain),
        tests={name: SaliencyDataset(used.select(names), classes, plain) for name, names in tests.items()},
        left_out=tuple(faults),
        questions=tuple(manifest.questions()),
    )
    for role, dataset in (("training", prepared.train), ("validation", prepared.val)):
        counts = class_counts(dataset.labels, len(classes)).tolist()
        missing = [name for name, count in zip(classes, counts, strict=True) if not count]
        if missing:
            hint = f" {_JOINED}" if any(SEPARATOR in name for name in missing) else ""
            raise SalignError(
                f"{data.manifest}: the {role} set has no image of {', '.join(missing)}; it needs one.{hint}"
            )
        always = [name for name, count in zip(classes, counts, strict=True) if count == len(dataset)]
        if data.multi_label and always:
            raise SalignError(
                f"{data.manifest}: the {role} set has no image without {', '.join(always)}; it needs one, or leave "
                "such a class out by data.classes."
            )
    return prepared


def _training_set(rows: Manifest, classes: tuple[str, ...], data: DataRecipe) -> SaliencyDataset:
    """What is left of the rows after `limit`, with the maps that `annotated` leaves and the control makes of them."""
    (_, control), rows = find_control(data.maps), reduced(rows, data)
    if control.rows is not None:
        rows = control.rows(rows, data.seed)
    dataset = SaliencyDataset(
        rows,
        classes,
        build_transform(data.image_size, data.augment, data.blur_outside),
        stretch_maps=control.rows is not None,
        map_change=None if control.pixels is None else functools.partial(control.pixels, data.seed),
        swap_outside=data.swap_outside,
        seconds_column=data.seconds_column,
    )
    if data.targets is not None:
        ids = rows.table["id"].tolist()
        dataset.targets = read_targets(data.targets, ids, dataset.labels.numpy(), classes)
    return dataset


def training_rows(data: DataRecipe) -> Manifest:
    """The rows that a recipe trains on, with the maps of its column, before `reduced` and the control.

    Raises:
        SalignError: the manifest cannot be read, or has no such split, class or column.
    """
    manifest = Manifest.read(data.manifest, data.root, multi_label=data.multi_label)
    return manifest.select(data.train, data.classes).with_maps(data.map_column)


def reduced(rows: Manifest, data: DataRecipe) -> Manifest:
    """Take the training rows that `limit` leaves, with the maps that `annotated` leaves."""
    if data.limit is not None:
        rows = subset(rows, data.limit, data.seed)
    if data.annotated is not None:
        rows = keep_maps(rows, data.annotated, data.seed)
    return rows


def of_machines(dataset: SaliencyDataset) -> str:
    """How many of the maps a machine made, in words that follow a count of maps; nothing where people made them all."""
    _, machines, unknown = dataset.manifest.makers
    said = [f"{machines} of them made by a machine"] if machines else []
    said += [f"{unknown} of them of unknown origin"] if unknown else []
    return f" ({', '.join(said)})" if said else ""


def _without(manifest: Manifest, faults: list[Fault]) -> Manifest:
    faulty = {fault.row for fault in faults}
    return manifest.take([i for i, row in enumerate(manifest.table["row"]) if row not in faulty])


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """`(N,)` labels -> `(K,)` weights: images / (classes * images of the class): mean 1 over images.

    Of `(N, K)` labels, of which an image may have several: labels / (classes * labels of the class).
    """
    counts = class_counts(labels, classes)
    return counts.sum() / (classes * counts.float())


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """`(N,)` class numbers, or `(N, K)` zeros and ones -> `(K,)` int64: how many images are of each class."""
    return labels.long().sum(0) if labels.dim() == 2 else torch.bincount(labels, minlength=classes)


def _check_names(data: DataRecipe, manifest: Manifest, tests: list[str]) -> None:
    """What is only needed after training is checked before it."""
    free = free_columns(manifest)
    taken = [name for name in free if name == "predicted" or name.startswith((LOGIT, PROB))]
    if taken:
        raise SalignError(f"{data.manifest}: column {taken[0]!r} would stand twice in the predictions; rename it.")
    single = {"species": data.species, "seconds_column": data.seconds_column}
    named = {"groups": data.groups, **{key: [name] for key, name in single.items() if name}}
    for key, columns in named.items():
        for name in columns:
            if name not in (*free, "label"):
                raise SalignError(f"data.{key}: {data.manifest} has no column {name!r}; there are {', '.join(free)}.")
    for name in tests:
        if name == "val" or name.startswith(".") or set(name) & set("/\\"):
            raise SalignError(
                f"data.test: {name!r} cannot name a test set, whose predictions go into a file of that name beside "
                "val.csv. Write another name in front: test: {far: [" + name + "]}"
            )


def _positive(asked: str | None, classes: tuple[str, ...]) -> str | None:
    if asked is not None and asked not in classes:
        raise SalignError(f"data.positive: {asked!r} is none of the classes {', '.join(classes)}.")
    return (asked or classes[-1]) if len(classes) == 2 else None
