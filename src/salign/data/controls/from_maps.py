"""The template of a class: one map that stands for all that people marked on its images."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from salign.data.reading.image import read_saliency
from salign.maps.template import geometric_median
from salign.maps.tensor_ops import min_max, resize, varies
from salign.progress import track

if TYPE_CHECKING:
    from salign.data.reading.dataset import MapChange, SaliencyDataset

SIDE = 32
"""Number of cells on each side of a template; maps are compared at this size, whatever shape their images have."""


def class_templates(dataset: SaliencyDataset, *, progress: bool = False) -> MapChange:
    """Read all training maps once, to replace the map of each image by the template of its class.

    A template is the geometric median of the maps of a class, each of which is min-max scaled and brought to `SIDE` x
    `SIDE` cells. It is the strongest map that knows nothing of an image but its class. A map that is blank or all-equal
    counts in no template, and stays as it is.

    Args:
        dataset: the training images; each has one label.
        progress: show a bar.

    Returns:
        A function from the map and the id of an image to the template of its class, at the size of the map.
    """
    manifest, labels = dataset.manifest, dataset.labels.tolist()
    maps_of: dict[int, list[Tensor]] = {}
    for i in track(range(len(dataset)), "looking at maps for templates", show=progress):
        path = manifest.saliency_path(i)
        if path is None:
            continue
        values = read_saliency(path, where=manifest.where(i, "saliency"))
        if varies(values):
            maps_of.setdefault(labels[i], []).append(resize(min_max(values), (SIDE, SIDE)))
    templates = {label: geometric_median(torch.stack(maps)).clamp(0, 1) for label, maps in maps_of.items()}
    numbers = dict(zip(manifest.table["id"].tolist(), labels, strict=True))
    return functools.partial(_template_of, templates, numbers)


def _template_of(templates: Mapping[int, Tensor], numbers: Mapping[str, int], values: Tensor, name: str) -> Tensor:
    """Return the template of the class of the image called `name`, `(H, W)` like `values`."""
    template = templates.get(numbers[name])
    if template is None or not varies(values):
        return values
    return resize(template, (values.shape[0], values.shape[1]))
