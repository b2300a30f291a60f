"""Who made the maps that the arms are trained with, how far people and machines agree, and pictures of both."""

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
"""Training images shown in all."""
MACHINES = 3
"""Machine maps shown of an image, of as many arms."""
COMPARED = 200
"""Images on which a machine's maps are compared with people's, evenly spread over those that have both."""


@dataclass(frozen=True)
class Trained:
    """What one arm is trained with."""

    arm: str
    run: Run
    """That with the lowest seed."""
    rows: Manifest
    """The training rows with the maps of the arm."""
    people: Manifest
    """The same rows with people's maps, where the set has them, used or not."""

    @property
    def own(self) -> bool:
        """Whether images keep the map of their row: it is no control."""
        return self.run.recipe.data.maps == "own"

    @property
    def maps(self) -> str:
        """Column, and what is done to the maps where they are a control."""
        data = self.run.recipe.data
        return data.map_column if self.own else f"{data.map_column}, {data.maps}"

    @property
    def both(self) -> np.ndarray:
        """Positions where the arm has a machine's map and the set a person's."""
        return np.flatnonzero(self.rows.machine_made & self.people.table["saliency"].notna().to_numpy(dtype=bool))


def people_and_machines(study: Study, groups: Sequence[Group], runs: pd.DataFrame, styles: Styles) -> list[Block]:
    """Counts, agreement and pictures; nothing where no arm is trained with a machine's map."""
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
    """What the arms with maps are trained with, and the arms of which that cannot be told any more."""
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
    """Rows without the maps of which it is not known that people made them."""
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
    """Mean CC and IoU of a machine's maps with people's, and of how many images; maps without a shape say nothing."""
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
    """Images with machine maps of as many arms as possible, and a person's, evenly spread over classes and manifest."""
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
    )  # every class is shown
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
    """Images with a person's map, where none has a machine's besides: what the machine's are to be held against."""
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
    """What marked most of an arm's images, without the hash of its weights: machines of different kinds come first."""
    names = arm.rows.table[PROVENANCE][arm.rows.machine_made].str.partition("@")[0]
    return str(names.mode().iat[0])


def _map(rows: Manifest, i: int) -> Tensor:
    """`(H, W)` in [0, 1]: the map at a position that has one."""
    return read_saliency(rows.root / str(rows.saliency_path(i)), where=rows.where(i, "saliency"))


def _laid_over(image: Tensor, values: Tensor) -> Image.Image:
    return overlay(image, min_max(values))


def _spread(count: int, most: int) -> list[int]:
    """At most so many of 0 .. count - 1, evenly spread."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(most, count))})
