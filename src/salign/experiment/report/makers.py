"""The section of the report on who made the training maps: how far people and machines agree, with pictures of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from salign.data.manifest import PROVENANCE, UNKNOWN, Manifest
from salign.data.reading.image import read_image, read_saliency
from salign.errors import SalignError
from salign.evaluate.agreement import agreement
from salign.experiment.report.groups import Group
from salign.experiment.report.tables import NOTHING, decimal
from salign.experiment.study import Study
from salign.maps import min_max
from salign.maps.render import overlay, to_picture
from salign.pages.plots import Styles
from salign.pages.sheet import Block, Table, Text, Tile, Tiles
from salign.runs.run import Run
from salign.train.guidance import guided_by

SHOWN = 6
"""Number of training images shown in all groups together."""
MACHINES = 3
"""At most this many machine maps of an image are shown, each of another arm."""
COMPARED = 200
"""At most this many images, evenly spread over those with both maps, are used to compare a machine with people."""


@dataclass(frozen=True)
class Trained:
    """The maps that one arm is trained with."""

    arm: str
    run: Run
    """The run of the arm with the lowest seed."""
    rows: Manifest
    """The training rows with the maps of the arm's column, before a control changes them."""
    people: Manifest
    """The same rows with the maps that people made, even if the arm does not use them."""

    @property
    def own(self) -> bool:
        """Whether every image keeps the map of its row, so that the arm is not a control."""
        return self.run.recipe.data.maps == "own"

    @property
    def maps(self) -> str:
        """The manifest column of the maps, and the control that changes them, if any."""
        data = self.run.recipe.data
        return data.map_column if self.own else f"{data.map_column}, {data.maps}"

    @property
    def both(self) -> np.ndarray:
        """Positions of the rows where the arm has a machine's map and the manifest also has a person's map."""
        return np.flatnonzero(self.rows.machine_made & self.people.table["saliency"].notna().to_numpy(dtype=bool))


def people_and_machines(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Report counts, agreement and pictures of maps; no block where no arm is trained with a machine's map."""
    trained = [(group, *_trained(group, runs)) for group in groups]
    with_machines = [
        (group, arms, lost) for group, arms, lost in trained if any(arm.rows.machine_made.any() for arm in arms)
    ]
    blocks: list[Block] = []
    for group, arms, lost in with_machines:
        try:
            blocks += [_table(group, arms), *_tiles(group, arms, max(2, SHOWN // len(with_machines)))]
        except (SalignError, OSError):
            blocks.append(Text([f"{group.title}: images or maps are not where they were any more."]))
        if lost:
            blocks.append(Text([f"{group.title}: the manifest of {', '.join(lost)} is not there any more."]))
    return blocks


def _trained(group: Group, runs: pd.DataFrame) -> tuple[list[Trained], list[str]]:
    """Read what the arms that use maps are trained with, and name the arms whose manifest is not there any more."""
    trained, lost = [], []
    for arm in group.arms:
        paths = group.paths(runs, arm)
        if not paths:
            continue
        run = Run(Path(paths[min(paths)]))
        try:
            if guided_by(run.recipe):
                ids = pd.Index(run.manifest.table["id"])
                people = run.manifest.take(ids.get_indexer(pd.Index(run.training_rows.table["id"])))
                trained.append(Trained(arm, run, run.training_rows, _of_people(people)))
        except (SalignError, OSError):
            lost.append(arm)
    return trained, lost


def _of_people(rows: Manifest) -> Manifest:
    """Take away the maps that machines made, and those whose maker is unknown."""
    people = rows.of_people()
    if PROVENANCE not in people.table:
        return people
    unknown = (people.table[PROVENANCE] == UNKNOWN).fillna(False)
    maps = people.table["saliency"].where(~unknown.to_numpy(dtype=bool))
    return Manifest(people.table.assign(saliency=maps), people.root, people.source)


def _table(group: Group, arms: Sequence[Trained]) -> Table:
    lines = []
    for arm in arms:
        makers = arm.rows.makers
        cc, iou, images = _agreement(arm)
        lines.append(
            {
                "arm": arm.arm,
                "maps": arm.maps,
                "training images": str(len(arm.rows)),
                "by people": str(makers.people),
                "by machines": str(makers.machines),
                "unknown": str(makers.unknown),
                "compared": str(images) if images else NOTHING,
                "CC": decimal(cc),
                "IoU": decimal(iou),
            }
        )
    frame = pd.DataFrame(lines)
    if not any(arm.rows.makers.unknown for arm in arms):
        frame = frame.drop(columns="unknown")
    neither = "" if any(len(arm.both) for arm in arms) else " Here no image has both, and nothing can be compared."
    caption = (
        f"{group.title}: who made the maps that an arm is trained with, of the run with the lowest seed; maps: the "
        "column of the manifest, and what a control does to them. Compared: images for which there is a map of a "
        f"person, too, used or not (at most {COMPARED}). CC and IoU: how far the machine's map agrees with that "
        "person's, mean over these images: correlation, and overlap of as many pixels as the person marked."
        f"{neither}"
    )
    return Table(caption, frame, names=2)


def _agreement(arm: Trained) -> tuple[float, float, int]:
    """Return the mean CC and IoU of a machine's maps with people's, and the number of images compared.

    Images for which CC or IoU is not finite, because a map has no shape, do not count. For a control nothing is
    compared. Without images the means are NaN.
    """
    both = arm.both if arm.own else arm.both[:0]
    values_of: dict[str, list[float]] = {"cc": [], "iou": []}
    for i in both[_spread(len(both), COMPARED)].tolist():
        machine, person = (_map(rows, i)[None] for rows in (arm.rows, arm.people))
        values = {name: float(value) for name, value in agreement(machine, person, values_of).items()}
        if all(map(math.isfinite, values.values())):
            for name, value in values.items():
                values_of[name].append(value)
    if not values_of["cc"]:
        return math.nan, math.nan, 0
    return fmean(values_of["cc"]), fmean(values_of["iou"]), len(values_of["cc"])


def _tiles(group: Group, arms: Sequence[Trained], most: int) -> list[Block]:
    """Show images with machine maps of as many arms as possible and a person's map.

    The images are spread evenly over the classes and the rows of the manifest.
    """
    with_machines: dict[str, Trained] = {}
    for arm in arms:
        if arm.own and arm.rows.machine_made.any():
            with_machines.setdefault(arm.maps, arm)
    if not with_machines:
        return []
    kinds: dict[str, Trained] = {}
    for arm in with_machines.values():
        kinds.setdefault(_kind(arm), arm)
    several = sorted(with_machines.values(), key=lambda arm: arm is not kinds[_kind(arm)])[:MACHINES]
    rows_by_id = [{str(name): i for i, name in enumerate(arm.rows.table["id"])} for arm in several]
    by_machine = [arm.rows.machine_made for arm in several]
    first = several[0]
    person = first.people.table["saliency"].notna().to_numpy(dtype=bool)
    names = [str(name) for name in first.rows.table["id"]]
    score = [
        2 * sum(name in row_of and bool(by[row_of[name]]) for row_of, by in zip(rows_by_id, by_machine, strict=True))
        + person[i]
        for i, name in enumerate(names)
    ]
    own = np.flatnonzero(by_machine[0]).tolist()
    highest = max(score[i] for i in own)
    labels = first.rows.table["label"]
    best = sorted(
        (i for i in own if score[i] == highest), key=lambda i: (str(labels.iat[i]), i)
    )  # sorted by class, so that images spread evenly show many classes
    tiles = []
    for i in (best[k] for k in _spread(len(best), most)):
        image = read_image(first.rows.image_path(i), where=first.rows.where(i))
        pictures = [("image", to_picture(image))]
        if person[i]:
            pictures.append(("people", _laid_over(image, _map(first.people, i))))
        for arm, row_of, machine in zip(several, rows_by_id, by_machine, strict=True):
            k = row_of.get(names[i])
            if k is not None and machine[k]:
                by = str(arm.rows.table[PROVENANCE].iat[k])
                pictures.append((f"{arm.arm}: {by}", _laid_over(image, _map(arm.rows, k))))
        tiles.append(Tile(f"{names[i]}, {labels.iat[i]}", pictures))
    if not person[best].any():
        tiles += _people_alone(first, max(2, most // 2))
    caption = (
        f"{group.title}: training images, the map of people where there is one, and those of machines, by arm, with "
        "the network and the hash of its weights; each map scaled to the full range, as the loss does."
    )
    return [Tiles(caption, tiles)]


def _people_alone(arm: Trained, most: int) -> list[Tile]:
    """Show images with a person's map alone, to compare with the machines' maps where no image has both."""
    labels = arm.rows.table["label"]
    mapped = np.flatnonzero(arm.people.table["saliency"].notna().to_numpy(dtype=bool)).tolist()
    ordered = sorted(mapped, key=lambda i: (str(labels.iat[i]), i))
    tiles = []
    for i in (ordered[k] for k in _spread(len(ordered), most)) if ordered else ():
        image = read_image(arm.rows.image_path(i), where=arm.rows.where(i))
        pictures = [("image", to_picture(image)), ("people", _laid_over(image, _map(arm.people, i)))]
        tiles.append(Tile(f"{arm.rows.image_id(i)}, {labels.iat[i]}", pictures))
    return tiles


def _kind(arm: Trained) -> str:
    """Name what marked most of an arm's images, without the hash of its weights."""
    names = arm.rows.table[PROVENANCE][arm.rows.machine_made].str.partition("@")[0]
    return str(names.mode().iat[0])


def _map(rows: Manifest, i: int) -> Tensor:
    """Read the map `(H, W)` in [0, 1] of a row that has one."""
    return read_saliency(rows.root / str(rows.saliency_path(i)), where=rows.where(i, "saliency"))


def _laid_over(image: Tensor, values: Tensor) -> Image.Image:
    return overlay(image, min_max(values))


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 0 .. count - 1, evenly spread."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(most, count))})
