"""Test images on which two arms differ most, with the people's map and where each arm looks."""

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
    """The same of the baseline."""
    pictures: list[tuple[str, Image.Image]]
    """What each shows: the image, people's map where somebody looked, and the average map of each arm."""


def choose(first: Answers, second: Answers, among: tuple[str, ...], most: int) -> list[int]:
    """Choose the images with the largest differences in the probability of the true class, of both signs.

    Args:
        first: answers of the guided arm.
        second: those of the baseline, to the same images.
        among: ids of the images that may be chosen.
        most: how many; half of them those that the guided arm gains most on, half those that it loses most on.

    Returns:
        Positions in the answers: gains from the largest down, then losses from the smallest to the largest.
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
        run: a run folder, whose recipe says where the images are.
        test_set: name of the set.
        first: answers of the guided arm.
        second: those of the baseline.
        maps: those of each arm to show.
        most: how many images.

    Raises:
        SalignError: the images are not there any more, or others.
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
