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
from salign.experiment.report.examples import SIDE
from salign.experiment.report.groups import Group
from salign.experiment.report.page import Block, Table, Text, Tile, Tiles
from salign.experiment.report.plots import Styles
from salign.experiment.report.tables import NOTHING, decimal
from salign.experiment.study import Study
from salign.maps import min_max
from salign.maps.render import overlay, thumbnail, to_picture
from salign.runs.run import Run
from salign.train.recipe import ClassifyRecipe, Recipe
from salign.train.steps import STEPS

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
    found = [(group, *_trained(group, runs)) for group in groups]
    told = [(group, arms, lost) for group, arms, lost in found if any(one.rows.machine_made.any() for one in arms)]
    blocks: list[Block] = []
    for group, arms, lost in told:
        try:
            blocks += [_table(group, arms), *_tiles(group, arms, max(2, SHOWN // len(told)))]
        except (SalignError, OSError):
            blocks.append(Text([f"{group.title}: images or maps are not where they were any more."]))
        if lost:
            blocks.append(Text([f"{group.title}: the manifest of {', '.join(lost)} is not there any more."]))
    return blocks


def _trained(group: Group, runs: pd.DataFrame) -> tuple[list[Trained], list[str]]:
    """What the arms with maps are trained with, and the arms of which that cannot be told any more."""
    found, lost = [], []
    for arm in group.arms:
        paths = group.paths(runs, arm)
        if not paths:
            continue
        run = Run(Path(paths[min(paths)]))
        try:
            if _uses_maps(run.recipe):
                ids = pd.Index(run.manifest.table["id"])
                people = run.manifest.take(ids.get_indexer(pd.Index(run.training_rows.table["id"])))
                found.append(Trained(arm, run, run.training_rows, _of_people(people)))
        except (SalignError, OSError):
            lost.append(arm)
    return found, lost


def _uses_maps(recipe: Recipe) -> bool:
    guided = isinstance(recipe, ClassifyRecipe) and recipe.loss.build().guided
    return guided or any(STEPS[step.name].guided for step in recipe.all_steps())


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
    for one in arms:
        makers = one.rows.makers
        cc, iou, images = _agreement(one)
        lines.append(
            {
                "arm": one.arm,
                "maps": one.maps,
                "training images": str(len(one.rows)),
                "by people": str(makers.people),
                "by machines": str(makers.machines),
                "unknown": str(makers.unknown),
                "compared": str(images) if images else NOTHING,
                "CC": decimal(cc),
                "IoU": decimal(iou),
            }
        )
    frame = pd.DataFrame(lines)
    if not any(one.rows.makers.unknown for one in arms):
        frame = frame.drop(columns="unknown")
    neither = "" if any(len(one.both) for one in arms) else " Here no image has both, and nothing can be compared."
    caption = (
        f"{group.title}: who made the maps that an arm is trained with, of the run with the lowest seed; maps: the "
        "column of the manifest, and what a control does to them. Compared: images for which there is a map of a "
        f"person, too, used or not (at most {COMPARED}). CC and IoU: how far the machine's map agrees with that "
        "person's, mean over these images: correlation, and overlap of as many pixels as the person marked."
        f"{neither}"
    )
    return Table(caption, frame, names=2)


def _agreement(one: Trained) -> tuple[float, float, int]:
    """Mean CC and IoU of a machine's maps with people's, and of how many images; maps without a shape say nothing."""
    both = one.both if one.own else one.both[:0]
    found: dict[str, list[float]] = {"cc": [], "iou": []}
    for i in both[_spread(len(both), COMPARED)].tolist():
        machine, person = (_map(rows, i)[None] for rows in (one.rows, one.people))
        values = {name: float(value) for name, value in agreement(machine, person, found).items()}
        if all(map(math.isfinite, values.values())):
            for name, value in values.items():
                found[name].append(value)
    if not found["cc"]:
        return math.nan, math.nan, 0
    return fmean(found["cc"]), fmean(found["iou"]), len(found["cc"])


def _tiles(group: Group, arms: Sequence[Trained], most: int) -> list[Block]:
    """Images with machine maps of as many arms as possible, and a person's, evenly spread over classes and manifest."""
    shown: dict[str, Trained] = {}
    for one in arms:
        if one.own and one.rows.machine_made.any():
            shown.setdefault(one.maps, one)
    if not shown:
        return []
    kinds: dict[str, Trained] = {}
    for one in shown.values():
        kinds.setdefault(_kind(one), one)
    several = sorted(shown.values(), key=lambda one: one is not kinds[_kind(one)])[:MACHINES]
    places = [{str(name): i for i, name in enumerate(one.rows.table["id"])} for one in several]
    made = [one.rows.machine_made for one in several]
    first = several[0]
    person = first.people.table["saliency"].notna().to_numpy(dtype=bool)
    names = [str(name) for name in first.rows.table["id"]]
    score = [
        2 * sum(name in place and bool(by[place[name]]) for place, by in zip(places, made, strict=True)) + person[i]
        for i, name in enumerate(names)
    ]
    own = np.flatnonzero(made[0]).tolist()
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
        for one, place, machine in zip(several, places, made, strict=True):
            k = place.get(names[i])
            if k is not None and machine[k]:
                by = str(one.rows.table[PROVENANCE].iat[k])
                pictures.append((f"{one.arm}: {by}", _laid_over(image, _map(one.rows, k))))
        small = [(name, thumbnail(picture, SIDE)) for name, picture in pictures]
        tiles.append(Tile(f"{names[i]}, {labels.iat[i]}", small))
    if not person[best].any():
        tiles += _people_alone(first, max(2, most // 2))
    caption = (
        f"{group.title}: training images, the map of people where there is one, and those of machines, by arm, with "
        "the network and the hash of its weights; each map scaled to the full range, as the loss does."
    )
    return [Tiles(caption, tiles)]


def _people_alone(one: Trained, most: int) -> list[Tile]:
    """Images with a person's map, where none has a machine's besides: what the machine's are to be held against."""
    labels = one.rows.table["label"]
    mapped = np.flatnonzero(one.people.table["saliency"].notna().to_numpy(dtype=bool)).tolist()
    chosen = sorted(mapped, key=lambda i: (str(labels.iat[i]), i))
    tiles = []
    for i in (chosen[k] for k in _spread(len(chosen), most)) if chosen else ():
        image = read_image(one.rows.image_path(i), where=one.rows.where(i))
        pictures = [("image", to_picture(image)), ("people", _laid_over(image, _map(one.people, i)))]
        small = [(name, thumbnail(picture, SIDE)) for name, picture in pictures]
        tiles.append(Tile(f"{one.rows.image_id(i)}, {labels.iat[i]}", small))
    return tiles


def _kind(one: Trained) -> str:
    """What marked most of an arm's images, without the hash of its weights: machines of different kinds come first."""
    names = one.rows.table[PROVENANCE][one.rows.machine_made].str.partition("@")[0]
    return str(names.mode().iat[0])


def _map(rows: Manifest, i: int) -> Tensor:
    """`(H, W)` in [0, 1]: the map at a position that has one."""
    return read_saliency(rows.root / str(rows.saliency_path(i)), where=rows.where(i, "saliency"))


def _laid_over(image: Tensor, values: Tensor) -> Image.Image:
    return overlay(image, min_max(values))


def _spread(count: int, most: int) -> list[int]:
    """At most so many of 0 .. count - 1, evenly spread."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(most, count))})
