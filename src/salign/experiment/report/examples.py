"""Test images on which two arms differ most, with people's map and the maps of the arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from salign.errors import SalignError
from salign.experiment.report.answers import Answers
from salign.experiment.report.saliency import ArmMaps
from salign.maps import min_max
from salign.maps.render import overlay, to_picture
from salign.runs.run import Run


@dataclass(frozen=True)
class Example:
    """One test image."""

    id: str
    label: str
    first: float
    """Mean probability of the true class over the runs of the guided arm."""
    second: float
    """Mean probability of the true class over the runs of the baseline."""
    pictures: list[tuple[str, Image.Image]]
    """Label and picture: the image, the annotated map where there is one, and the average map of each arm."""


def choose(first: Answers, second: Answers, among: tuple[str, ...], most: int) -> list[int]:
    """Choose the images with the largest differences in the probability of the true class, of both signs.

    Args:
        first: answers of the guided arm.
        second: answers of the baseline to the same images.
        among: ids of the images that may be chosen.
        most: how many images to choose at most. Half of them are those on which the guided arm gains most, and half
            those on which it loses most.

    Returns:
        Positions in the answers: first the gains, from the largest to the smallest, then the losses, from the smallest
        to the largest.
    """
    gain = first.truth - second.truth
    allowed = set(among)
    order = [int(k) for k in np.lexsort((np.arange(len(gain)), -gain)) if first.ids[k] in allowed]
    gains = [k for k in order if gain[k] > 0][: most - most // 2]
    losses = [k for k in order if gain[k] < 0]
    return gains + losses[max(0, len(losses) - most // 2) :]


def examples(
    run: str, test_set: str, first: Answers, second: Answers, maps: Mapping[str, ArmMaps], *, most: int
) -> list[Example]:
    """Read the images that differ most, and lay the maps over them.

    Args:
        run: a run folder; its recipe says where the images are.
        test_set: name of the set.
        first: answers of the guided arm.
        second: answers of the baseline to the same images.
        maps: name of each arm to show -> its maps.
        most: how many images to read at most.

    Raises:
        SalignError: the images are not there any more, or the set has other images now.
    """
    positions = choose(first, second, next(iter(maps.values())).ids, most)
    if not positions:
        return []
    dataset = Run(Path(run)).data(test_set)
    rows = {str(name): row for row, name in enumerate(dataset.manifest.table["id"])}
    results, machines = [], dataset.manifest.machine_made
    for k in positions:
        name = first.ids[k]
        if name not in rows:
            raise SalignError(f"{name} is not in the data any more")
        sample = dataset[rows[name]]
        pictures = [("image", to_picture(sample.images))]
        if bool(sample.annotated):
            made_by = "a machine" if machines[rows[name]] else "people"
            pictures.append((made_by, overlay(sample.images, min_max(sample.saliency[0]))))
        pictures += [
            (arm, overlay(sample.images, min_max(arm_maps.of(name).float()))) for arm, arm_maps in maps.items()
        ]
        label = first.classes[first.labels[k]]
        results.append(Example(name, label, float(first.truth[k]), float(second.truth[k]), pictures))
    return results
