"""A study: one YAML that expands into recipes, every pair of arms with the same data, seeds and budget."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator

from salign.config import Section, explained, merge, read_values
from salign.errors import SalignError
from salign.experiment.arms import arm_changes, times
from salign.runs.report import set_names
from salign.train.recipe import Recipe, found_manifest

ALL_IMAGES = -1
"""`Cell.images` where no limit is set."""
Place = tuple[str, str, str, int, float, int]
"""Dataset, network, arm, images, annotated share, seed."""
_FIXED = {"train": {"precision": "float32", "memory_format": "channels_last"}}
"""Instead of `auto`, which could choose differently for two arms of a pair."""
MOST_SEEDS = 10_000
"""Of a grid that gives their number."""
_LONGEST = 240
"""Letters of a run's name: with its hash, and as the name of its lock, it is one of a file."""


def _readable(name: str) -> str:
    """A name stands in pages, plots and tables: any text in one line, but some text."""
    if not name.strip() or not name.isprintable():
        raise ValueError(f"a name is text in one line, got {name!r}")
    return name


Name = Annotated[str, AfterValidator(_readable)]
"""Of an arm, a data set, a network or a test set; what a page or a table needs escaped, it escapes."""


class Grid(Section):
    """Every combination of its lists; a study is the union of its grids."""

    arms: list[Name] = Field(min_length=1)
    """Named arms; see `salign.experiment.arms`."""
    seeds: int | list[int] = 5
    """So many seeds from 0 on, or these. A seed decides the initial weights, the order, the subset and the control."""
    images: list[int | None] = [None]
    """Training images, drawn with the seed, the same for all arms; null = all."""
    annotated: list[float] = [1.0]
    """Share of the annotated training images that keep their map."""
    epochs: int | None = Field(default=None, ge=1)
    """Instead of the recipe's: where there are fewer images, more epochs make as many steps."""
    datasets: list[str] | None = None
    """Some of the study's; null = all."""
    networks: list[str] | None = None
    """Some of the study's; null = all."""

    @field_validator("seeds")
    @classmethod
    def _seeds_fit(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, int) and seeds > MOST_SEEDS:
            raise ValueError(f"expected at most {MOST_SEEDS:,} seeds, or a list of them; got {seeds}")
        return seeds


class Analysis(Section):
    """What is measured on every trained model besides its answers."""

    sets: list[Name] | None = None
    """Test sets whose maps are compared with people's and whose regions are exchanged; null = all."""
    images: int = Field(default=200, ge=1)
    """At most so many images of each, the same for every run."""


class Study(Section):
    """Data sets x networks x arms x training images x annotated share x seeds."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=255)
    """Of its folder."""
    title: str = ""
    """Heading of the report."""
    question: str = ""
    """What it asks, in a sentence or two."""
    recipe: dict[str, Any]
    """What all runs share: a recipe without name and seed. `{seed}` in `data.manifest` and `model.weights` is the seed
    of the run, for maps and weights that a machine made anew for every seed."""
    datasets: dict[Name, dict[str, Any]] = {"data": {}}
    """Name -> recipe values."""
    networks: dict[Name, dict[str, Any]] = {"network": {}}
    """Name -> recipe values."""
    arms: dict[Name, dict[str, Any]] = {}
    """Further arms, or other settings for a known one: name -> recipe values."""
    baseline: Name = "ce"
    """What every arm is compared with."""
    guided: Name = "cyborg"
    """The arm whose worth is in question; controls copy it and change the maps."""
    controls: list[Name] = ["shuffled"]
    """Arms that the guided one must beat too, or people's maps were not the reason."""
    metric: Literal["auroc", "accuracy", "balanced_accuracy"] = "auroc"
    """Figure that counts: auroc, accuracy or balanced_accuracy."""
    target: Name = "test"
    """Test set that counts."""
    reference: Name | None = None
    """Test set that looks like the training data, if another."""
    grids: list[Grid] = Field(min_length=1)
    """Which combinations are run."""
    analysis: Analysis = Analysis()
    """What is measured on the maps."""

    @classmethod
    def read(cls, path: Path | str, overrides: list[str] | None = None) -> Study:
        """Read a YAML file; `overrides` are `a.b=value` strings. Paths count from the file, then the working folder.

        Raises:
            SalignError: every fault at once.
        """
        content = read_values(path, overrides, "study", "name, recipe and grids")
        for values in (content.get("recipe"), *(content.get("datasets") or {}).values()):
            data = values.get("data") if isinstance(values, dict) else None
            if isinstance(data, dict) and "manifest" in data:
                data["manifest"] = found_manifest(str(data["manifest"]), path)
        return cls.build(content, str(path))

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "study") -> Study:
        """Check a nested dict.

        Raises:
            SalignError: every fault at once; an unknown key comes with the nearest known one.
        """
        try:
            study = cls.model_validate(content)
        except ValidationError as error:
            raise SalignError(explained(error, cls, source)) from error
        for grid in study.grids:
            for key, given, known in (
                ("datasets", grid.datasets, study.datasets),
                ("networks", grid.networks, study.networks),
            ):
                if strange := set(given or ()) - set(known):
                    raise SalignError(f"{source}: grids: {key} {sorted(strange)} not among {', '.join(known)}.")
        return study

    def to_yaml(self) -> str:
        """The whole study, defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


@dataclass(frozen=True)
class Cell:
    """One combination, and the recipe that runs it; two combinations may come to the same recipe."""

    dataset: str
    network: str
    arm: str
    images: int
    annotated: float
    seed: int
    recipe: Recipe

    @property
    def place(self) -> Place:
        """Where in the study."""
        return self.dataset, self.network, self.arm, self.images, self.annotated, self.seed


def expand(study: Study) -> list[Cell]:
    """All cells, seed by seed, so that a study cut short holds whole pairs; no place occurs twice.

    Raises:
        SalignError: an unknown arm, a recipe that does not hold or allows several labels, `ce_times` without a number
            of images, one place with different epochs, or a test set that is asked for and not there.
    """
    places: dict[Place, int | None] = {}
    for grid in study.grids:
        for place in _places(grid, study):
            if places.setdefault(place, grid.epochs) != grid.epochs:
                raise SalignError(f"study {study.name}: {place} stands in two grids with different epochs.")
    rank = {arm: number for number, arm in enumerate(dict.fromkeys(arm for grid in study.grids for arm in grid.arms))}
    for arm in (study.baseline, study.guided, *study.controls):
        arm_changes(arm, guided=study.guided, own=study.arms)
    ordered = sorted(places, key=lambda place: (place[5], place[0], place[1], place[3], place[4], rank[place[2]]))
    names: dict[str, str] = {}
    cells = []
    for place in ordered:
        values = _values(study, places[place], *place)
        content = json.dumps(values, sort_keys=True)
        name = names.setdefault(content, _name(study, *place))
        recipe = Recipe.build({**values, "name": name}, f"study {study.name}, {name}")
        if recipe.data.multi_label:
            raise SalignError(
                f"study {study.name}, {name}: studies compare answers of one class per image, and data.multi_label "
                "allows several. Train such recipes one by one: salign train."
            )
        cells.append(Cell(*place, recipe=recipe))
    _check_sets(study, cells)
    return cells


def _check_sets(study: Study, cells: list[Cell]) -> None:
    """What is only looked for when all is trained is checked before: all data sets have the target, one the reference.

    Raises:
        SalignError: every fault at once.
    """
    offered = dict.fromkeys((cell.dataset, *set_names(cell.recipe)) for cell in cells)
    said = "; ".join(f"data set {dataset}: {', '.join(sets)}" for dataset, *sets in offered)
    asked = [("target", study.target), *(("analysis.sets", name) for name in study.analysis.sets or ())]
    faults = [f"{key} {name!r}" for key, name in asked if not all(name in sets for _, *sets in offered)]
    if study.reference is not None and not any(study.reference in sets for _, *sets in offered):
        faults.append(f"reference {study.reference!r}")
    if faults:
        raise SalignError(f"study {study.name}: no test set of that name for {', '.join(faults)}; there are, {said}.")


def _places(grid: Grid, study: Study) -> Iterator[Place]:
    images = [ALL_IMAGES if count is None else count for count in grid.images]
    seeds = range(grid.seeds) if isinstance(grid.seeds, int) else grid.seeds
    datasets, networks = grid.datasets or study.datasets, grid.networks or study.networks
    return itertools.product(datasets, networks, grid.arms, images, grid.annotated, seeds)


def _values(
    study: Study, epochs: int | None, dataset: str, network: str, arm: str, images: int, annotated: float, seed: int
) -> dict[str, Any]:
    """The recipe of one cell, without its name."""
    values: dict[str, Any] = merge(_FIXED, study.recipe)
    for changes in (
        study.datasets[dataset],
        study.networks[network],
        arm_changes(arm, guided=study.guided, own=study.arms),
        {"seed": seed, "data": {"seed": seed}},
    ):
        values = merge(values, changes)
    factor = times(arm)
    if images == ALL_IMAGES and factor != 1:
        raise SalignError(f"study {study.name}: arm {arm} needs a number of `images` in its grid to multiply.")
    if images != ALL_IMAGES:
        values = merge(values, {"data": {"limit": round(images * factor)}})
    if epochs is not None:
        values = merge(values, {"train": {"epochs": epochs}})
    if annotated != 1:
        values = merge(values, {"data": {"annotated": annotated}})
    return _with_seed(values, seed)


def _with_seed(values: dict[str, Any], seed: int) -> dict[str, Any]:
    """`{seed}` in the path of the manifest and of the starting weights becomes the seed of the cell."""
    for section, key in (("data", "manifest"), ("model", "weights")):
        path = values.get(section, {}).get(key)
        if isinstance(path, str):
            values = merge(values, {section: {key: path.replace("{seed}", str(seed))}})
    return values


def _name(study: Study, dataset: str, network: str, arm: str, images: int, annotated: float, seed: int) -> str:
    """Readable beginning of the run folder's name; what it leaves out, the hash behind it tells apart."""
    parts = [dataset] if len(study.datasets) > 1 else []
    parts += [network] if len(study.networks) > 1 else []
    words = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in [*parts, arm])
    numbers = [f"n{images}"] if images != ALL_IMAGES else []
    numbers += [f"maps{100 * annotated:g}pc"] if annotated != 1 else []
    end = "-".join([*numbers, f"seed{seed}"])
    return f"{words.lstrip('._-')[: _LONGEST - len(end) - 1]}-{end}".lstrip("-")
