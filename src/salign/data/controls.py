"""Which rows and whose maps a run trains with: subsets, and control maps that a sound method must not profit from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from salign.data.manifest import Manifest
from salign.types import SalignError


def subset(manifest: Manifest, images: int, seed: int) -> Manifest:
    """Draw `images` rows with the same share of each class (by largest remainder), in the order of the manifest.

    Raises:
        SalignError: fewer rows than asked for, or a class would be left without any.
    """
    if images > len(manifest):
        raise SalignError(
            f"{manifest.source}: data.limit asks for {images} training images, there are {len(manifest)}."
        )
    labels = manifest.table["label"].to_numpy(dtype=str)
    names, counts = np.unique(labels, return_counts=True)
    shares = counts * images / len(labels)
    taken = np.floor(shares).astype(int)
    taken[np.argsort(taken - shares, kind="stable")[: images - taken.sum()]] += 1
    if taken.min() < 1:
        raise SalignError(f"{manifest.source}: {images} images leave class {str(names[taken.argmin()])!r} without any.")
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == name))[:count] for name, count in zip(names, taken, strict=True)
    ]
    return manifest.take(np.sort(np.concatenate(chosen)))


def shuffled(manifest: Manifest, seed: int) -> Manifest:
    """Give every annotated image the map of another one: a random cycle through all of them.

    Raises:
        SalignError: fewer than two images have a map.
    """
    annotated = np.flatnonzero(manifest.table["saliency"].notna().to_numpy(dtype=bool))
    if len(annotated) < 2:
        raise SalignError(f"{manifest.source}: shuffling maps needs two images with a map, there are {len(annotated)}.")
    order = np.random.default_rng(seed).permutation(annotated)
    maps = manifest.table["saliency"].copy()
    maps.iloc[order] = manifest.table["saliency"].iloc[np.roll(order, 1)].array
    return Manifest(manifest.table.assign(saliency=maps), manifest.root, manifest.source)


CONTROLS: dict[str, Callable[[Manifest, int], Manifest]] = {
    "own": lambda manifest, seed: manifest,
    "shuffled": shuffled,
}
"""Name in a recipe (`data.maps`) -> what it does to the training rows."""
