"""The rows and maps that a run trains with: subsets, and control maps that are wrong or worse than people's own.

A control replaces the maps of annotated images only, so that as many images are annotated as before. What it does to
rows is a function of (manifest, seed), and what it does to pixels is a function of (seed, map, id). A map that is blank
or all-equal has no shape and counts in no loss; it is never given a shape, so that as many images count as before. Maps
made from the pixels of the training images are an exception: they cost nobody's time, so every image gets one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from salign.data.manifest import PROVENANCE, Manifest
from salign.errors import SalignError

if TYPE_CHECKING:
    from torch import Tensor

    from salign.data.reading.dataset import MapChange


class Control(NamedTuple):
    """What is done to the maps of the training images."""

    rows: Callable[[Manifest, int], Manifest] | None = None
    """`(manifest, seed)` -> the manifest with other maps for its rows; None = each row keeps its own map."""
    pixels: Callable[[int, Tensor, str], Tensor] | None = None
    """`(seed, map (H, W) in [0, 1], id of the image)` -> other values of the same shape; None = the values stay."""
    images: Callable[..., MapChange] | None = None
    """`(training images, progress)` -> a function that gives each image a map made from all images or all maps; None =
    this is not done."""
    everywhere: bool = False
    """Whether `images` also gives a map to an image that has none."""


def subset(manifest: Manifest, images: int, seed: int) -> Manifest:
    """Draw `images` rows with the same share of each class (by largest remainder), in the order of the manifest.

    If images may have several labels, or none, the rows are drawn from all rows without regard to labels.

    Raises:
        SalignError: there are fewer rows than asked for, or a class would be left without any.
    """
    if images > len(manifest):
        raise SalignError(
            f"{manifest.source}: data.limit asks for {images} training images, there are {len(manifest)}."
        )
    labels = _strata(manifest)
    names, counts = np.unique(labels, return_counts=True)
    shares = counts * images / len(labels)
    sizes = np.floor(shares).astype(int)
    sizes[np.argsort(sizes - shares, kind="stable")[: images - sizes.sum()]] += 1
    if sizes.min() < 1:
        raise SalignError(f"{manifest.source}: {images} images leave class {str(names[sizes.argmin()])!r} without any.")
    generator = np.random.default_rng(seed)
    positions = [
        generator.permutation(np.flatnonzero(labels == name))[:count] for name, count in zip(names, sizes, strict=True)
    ]
    return manifest.take(np.sort(np.concatenate(positions)))


def keep_maps(manifest: Manifest, share: float, seed: int) -> Manifest:
    """Take the maps away from all but a share of the annotated images; no row is lost.

    The annotated images are put into an order that is a function of `seed`, and the first `round(share * N)` of them,
    at least one, keep their maps. So the images that keep a map at 5 % are among those that keep one at 10 %. In this
    order, the i-th of the n images of a class stands at (i - 1/2) / n (the method of Sainte-Laguë or Webster), so that
    every class has the same share, up to rounding, wherever the order is cut. If images may have several labels, or
    none, the order is drawn without regard to labels.

    Args:
        manifest: the training rows.
        share: in [0, 1]; 0 = no image keeps its map.
        seed: decides the order.
    """
    order = _fair_order(manifest, seed)
    number = max(1, math.floor(share * len(order) + 0.5)) if share > 0 else 0
    maps = manifest.table["saliency"].copy()
    maps.iloc[order[number:]] = pd.NA
    return _with_maps(manifest, maps)


def noisy_labels(manifest: Manifest, share: float, classes: Sequence[str], seed: int) -> Manifest:
    """Give `round(share * N)` rows, drawn at random, the label of another class, all of which are equally likely.

    This is symmetric label noise, which studies of wrong labels add on purpose. Rows with a wrong label at one share
    have the same wrong label at every higher share.

    Args:
        manifest: the training rows, each with one label.
        share: in [0, 1].
        classes: the class names, at least two.
        seed: decides which rows get a wrong label, and which label they get.
    """
    generator = np.random.default_rng(seed)
    order, steps = generator.permutation(len(manifest)), generator.integers(1, len(classes), len(manifest))
    wrong = order[: math.floor(share * len(manifest) + 0.5)]
    labels, number_of = manifest.table["label"].copy(), {name: k for k, name in enumerate(classes)}
    for i in wrong.tolist():
        labels.iat[i] = classes[(number_of[str(labels.iat[i])] + int(steps[i])) % len(classes)]
    return replace(manifest, table=manifest.table.assign(label=labels))


def shuffled(manifest: Manifest, seed: int, share: float = 1.0) -> Manifest:
    """Give every annotated image, or a share of them, the map of another one, in a random cycle through them.

    If several rows are of the same image, such as one for each annotator, a row that gets a map of its own image swaps
    maps with a random row in the cycle. Only an image with more than half of the shuffled rows keeps maps of its own,
    as few as possible.

    With a share below 1, the images that keep their own map are those that keep one in `keep_maps` at 1 - share, up to
    rounding. So the images that are shuffled at 25 % are among those that are shuffled at 50 %, each class has the same
    share of them, and wrong maps can be compared with no maps.

    Args:
        manifest: the training rows.
        seed: decides the order and the cycle.
        share: share of the annotated images that are shuffled, in (0, 1]; at least two images always are.

    Raises:
        SalignError: fewer than two images have a map.
    """
    annotated, images = _annotated(manifest), _images(manifest)
    if (number := len(np.unique(images[annotated]))) < 2:
        raise SalignError(f"{manifest.source}: shuffling maps needs two images with a map, there are {number}.")
    if share < 1:
        own = max(1, math.floor(round((1 - share) * len(annotated), 6) + 0.5))  # 1 - 0.9 is not quite 0.1
        fair = _fair_order(manifest, seed)
        second = np.flatnonzero(images[fair] != images[fair[-1]])[-1]  # the rows from here on are of two images
        annotated = np.sort(fair[min(own, second) :])
    generator = np.random.default_rng(seed)
    order = generator.permutation(annotated)
    return _moved(manifest, order, _of_other_images(images, order, np.roll(order, 1), generator))


def shuffled_within(manifest: Manifest, seed: int) -> Manifest:
    """Give every annotated image the map of another one of its class, in a random cycle through each class.

    Several rows of the same image are treated as in `shuffled`.

    Raises:
        SalignError: a class has a single image with a map, which no other can replace.
    """
    annotated, images = _annotated(manifest), _images(manifest)
    labels = manifest.table["label"].to_numpy(dtype=str)[annotated]
    generator = np.random.default_rng([seed, 2])
    takers, givers = [annotated[:0]], [annotated[:0]]
    for name in np.unique(labels):
        order = generator.permutation(annotated[labels == name])
        if len(np.unique(images[order])) < 2:
            raise SalignError(
                f"{manifest.source}: shuffling maps within classes needs two images with a map in each class that has "
                f"any, {str(name)!r} has one. Annotate more of it, or shuffle across all."
            )
        takers.append(order)
        givers.append(_of_other_images(images, order, np.roll(order, 1), generator))
    return _moved(manifest, np.concatenate(takers), np.concatenate(givers))


def shuffled_across(manifest: Manifest, seed: int) -> Manifest:
    """Give every annotated image the map of an image of another class; each map is used once.

    A random cycle through all annotated images is drawn. Then every image that got a map of its own class c swaps maps
    with a random image that is not of c and did not get a map of c. There are always enough of these as long as c has
    no more than half of the maps. If c has more, as few images as possible keep a map of their class (twice the number
    of maps of c, less the number of all maps), and even these get the map of another image. Several rows of the same
    image are treated as in `shuffled`.

    Raises:
        SalignError: fewer than two classes have maps.
    """
    annotated = _annotated(manifest)
    labels = manifest.table["label"].to_numpy(dtype=str)
    names = np.unique(labels[annotated])
    if len(names) < 2:
        raise SalignError(
            f"{manifest.source}: shuffling maps across classes needs maps in two classes; there are maps in "
            f"{names[0] if len(names) else 'none'}."
        )
    generator = np.random.default_rng([seed, 3])
    takers = generator.permutation(annotated)
    givers = np.roll(takers, 1)
    for name in generator.permutation(names):
        givers = _swapped(labels, name, takers, givers, generator)
    return _moved(manifest, takers, _of_other_images(_images(manifest), takers, givers, generator))


def _strata(manifest: Manifest) -> np.ndarray:
    """Return `(N,)` text: the class of each image, or the same text for all if an image may have several labels."""
    if manifest.multi_label:
        return np.full(len(manifest), "")
    return manifest.table["label"].to_numpy(dtype=str)


def _annotated(manifest: Manifest) -> np.ndarray:
    return np.flatnonzero(manifest.table["saliency"].notna().to_numpy(dtype=bool))


def _images(manifest: Manifest) -> np.ndarray:
    """Return `(N,)` numbers of the images; rows with the same path are of the same image."""
    return pd.factorize(manifest.table["path"])[0]


def _of_other_images(
    images: np.ndarray, takers: np.ndarray, givers: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Change the givers so that no taker gets a map of its own image, where that is possible.

    A swap removes a clash and makes no new one, because neither of its rows gets a map of its own image. Nothing is
    drawn if there is no clash. A swap does not undo `shuffled_across`: after that, only images of a class with more
    than half of the maps can clash, every pair of a taker and a giver then has a row of that class, and so a swap
    leaves as many maps within their class as before.
    """
    for image in np.unique(images[takers[images[takers] == images[givers]]]):
        givers = _swapped(images, image, takers, givers, generator)
    return givers


def _swapped(
    kinds: np.ndarray, kind: object, takers: np.ndarray, givers: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Swap givers between pairs whose taker and giver are both of a kind, and random pairs in which neither is."""
    takes, gives = kinds[takers] == kind, kinds[givers] == kind
    same, free = np.flatnonzero(takes & gives), np.flatnonzero(~takes & ~gives)
    partners = generator.permutation(free)[: len(same)]
    same = generator.permutation(same)[: len(partners)]
    swapped = givers.copy()
    swapped[same], swapped[partners] = givers[partners], givers[same]
    return swapped


def _fair_order(manifest: Manifest, seed: int) -> np.ndarray:
    """Return the positions of the annotated images in an order that gives every class its share wherever it is cut."""
    order = np.random.default_rng([seed, 1]).permutation(_annotated(manifest))  # also breaks ties at random
    labels = _strata(manifest)[order]
    rank = np.empty(len(order))
    for name in np.unique(labels):
        here = np.flatnonzero(labels == name)
        rank[here] = (np.arange(len(here)) + 0.5) / len(here)
    return order[np.argsort(rank, kind="stable")]


def _moved(manifest: Manifest, takers: np.ndarray, givers: np.ndarray) -> Manifest:
    """Give the rows at `takers` the maps of the rows at `givers`, with the provenance of these maps."""
    changed = {}
    for column in ("saliency", PROVENANCE):
        if column in manifest.table:
            changed[column] = manifest.table[column].copy()
            changed[column].iloc[takers] = manifest.table[column].iloc[givers].array
    return replace(manifest, table=manifest.table.assign(**changed))


def _with_maps(manifest: Manifest, maps: pd.Series) -> Manifest:
    return replace(manifest, table=manifest.table.assign(saliency=maps))


def _change_pixels(name: str, *arguments: Any, **options: Any) -> Tensor:
    """Call a function of `salign.data.controls.pixels`, which is imported only now because it loads torch."""
    from salign.data.controls import pixels

    changed: Tensor = getattr(pixels, name)(*arguments, **options)
    return changed


def _learn_maps(method: str, *arguments: Any, **options: Any) -> MapChange:
    """Call `learn_maps`, whose module is imported only now because it loads torch and scikit-learn."""
    from salign.data.controls.from_pixels import learn_maps

    return learn_maps(method, *arguments, **options)


def _class_templates(*arguments: Any, **options: Any) -> MapChange:
    """Call `class_templates`, whose module is imported only now because it loads torch."""
    from salign.data.controls.from_maps import class_templates

    return class_templates(*arguments, **options)


CONTROLS: dict[str, Control] = {
    "own": Control(),
    "shuffled": Control(rows=shuffled),
    "shuffled_within": Control(rows=shuffled_within),
    "shuffled_across": Control(rows=shuffled_across),
    "inverted": Control(pixels=functools.partial(_change_pixels, "inverted")),
    "centre": Control(pixels=functools.partial(_change_pixels, "centre")),
    "blobs": Control(pixels=functools.partial(_change_pixels, "blobs")),
    "boxes": Control(pixels=functools.partial(_change_pixels, "boxes")),
    "template": Control(images=_class_templates),
    "lda_maps": Control(images=functools.partial(_learn_maps, "lda"), everywhere=True),
    "pca_maps": Control(images=functools.partial(_learn_maps, "pca"), everywhere=True),
}
"""Name in a recipe (`data.maps`) -> what it does to the maps of the training images."""

BY_SHARE: dict[str, Callable[[float], Control]] = {
    "shuffled": lambda share: Control(rows=functools.partial(shuffled, share=share)),
    "dilated": lambda share: Control(pixels=functools.partial(_change_pixels, "dilated", share=share)),
    "shifted": lambda share: Control(pixels=functools.partial(_change_pixels, "shifted", share=share)),
}
"""The same for names that take a share in (0, 1], written NAME@SHARE. It is a share of the annotated images in
`shuffled@0.25`, and of the sides of each image in `dilated@0.1` and `shifted@0.1`."""


def find_control(text: str) -> tuple[str, Control]:
    """Look up NAME or NAME@SHARE.

    Returns:
        The shortest way to write it (`shuffled` for `shuffled@1.0`), and the control.

    Raises:
        SalignError: there is no such name, the name takes no share, or its share is missing or not a number above 0 and
            at most 1.
    """
    name, at, behind = text.partition("@")
    if not at and name in CONTROLS:
        return name, CONTROLS[name]
    if name in BY_SHARE:
        try:
            share = float(behind)
        except ValueError:
            share = math.nan
        if 0 < share <= 1:
            if share == 1 and name in CONTROLS:
                return name, CONTROLS[name]
            return f"{name}@{share:.12g}", BY_SHARE[name](share)
    names = [*CONTROLS, *(f"{family}@SHARE" for family in BY_SHARE)]
    raise SalignError(
        f"data.maps: unknown {text!r}; there are {', '.join(names)}, where SHARE is above 0 and at most 1, as in "
        "shuffled@0.25."
    )
