"""The class activation maps of the runs of an arm, read from the analyses of these runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from salign.errors import SalignError
from salign.evaluate.consistency import answer_consistency, entropy, map_consistency, mean_map
from salign.evaluate.ranking import Array
from salign.maps import min_max
from salign.maps.render import heat
from salign.runs.compare import read_maps
from salign.runs.folder import RunFolder

MOST_RUNS = 10
"""At most this many runs of an arm have their maps read: readers would not look at more, and the number of pairs of
runs grows with the square."""


@dataclass(frozen=True)
class ArmMaps:
    """Class activation maps of `R` runs of an arm for the same `N` test images."""

    ids: tuple[str, ...]
    maps: Tensor
    """`(R, N, h, w)` float32, each min-max scaled."""
    predicted: Array
    """`(R, N)` class numbers."""
    human: Tensor | None
    """`(h, w)`: the average human map of the annotated images; None where no image is annotated."""

    @property
    def agreement(self) -> float:
        """Mean correlation (CC) of the maps of the same image, over pairs of runs and images; NaN for one run."""
        return float(map_consistency(self.maps).nanmean())

    @property
    def answers(self) -> float:
        """Share of equal answers over pairs of runs; NaN for one run."""
        return answer_consistency(self.predicted)

    @property
    def spread(self) -> float:
        """Mean entropy of the maps in [0, 1]: 0 = one cell, 1 = everywhere the same."""
        return float(torch.stack([entropy(maps).nanmean() for maps in self.maps]).mean())

    @property
    def averages(self) -> list[Tensor]:
        """One average map `(h, w)` per run."""
        return [mean_map(maps) for maps in self.maps]

    def of(self, name: str) -> Tensor:
        """Return the map `(h, w)` of one image, averaged over the runs."""
        return mean_map(self.maps[:, self.ids.index(name)])


def read_arm(runs: Sequence[str | Path], test_set: str) -> ArmMaps:
    """Read the maps of at most `MOST_RUNS` runs for one set.

    Args:
        runs: run folders.
        test_set: name of the set.

    Raises:
        SalignError: a run was not analysed, or not on this set, or on other images than the first; or `runs` is empty.
    """
    analysed = []
    for folder in runs[:MOST_RUNS]:
        try:
            sets = read_maps(RunFolder(Path(folder)))
        except SalignError as error:
            raise SalignError(f"{Path(folder).name} has not been analysed; salign analyse does it.") from error
        if test_set not in sets:
            raise SalignError(f"{Path(folder).name} was not analysed on {test_set}; there are {', '.join(sets)}.")
        analysed.append(sets[test_set])
    if not analysed:
        raise SalignError(f"expected runs to read the maps of {test_set} of; got none")
    first = analysed[0]
    for folder, maps_of_run in zip(runs, analysed, strict=False):
        if maps_of_run.maps.shape != first.maps.shape or list(maps_of_run.ids) != list(first.ids):
            raise SalignError(
                f"{Path(folder).name} was analysed on other images of {test_set}, or has maps of another size."
            )
    human = torch.from_numpy(first.human)
    return ArmMaps(
        tuple(str(name) for name in first.ids),
        torch.from_numpy(np.stack([maps_of_run.maps for maps_of_run in analysed])).float(),
        np.stack([maps_of_run.predicted for maps_of_run in analysed]),
        human if bool(human.isfinite().all()) else None,
    )


def picture(values: Tensor) -> Image.Image:
    """Turn a map `(h, w)` into a picture in colour, stretched to the full range, with one pixel per cell."""
    return Image.fromarray(heat(min_max(values.float())).numpy())
