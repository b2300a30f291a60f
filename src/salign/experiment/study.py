"""A study: one YAML that expands into recipes, every pair of arms with the same data, seeds and budget."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator

from salign.config import NAME, Section, explain_faults, merge, read_values
from salign.data.manifest.text_table import check_manifest_file
from salign.errors import SalignError
from salign.experiment.arms import arm_changes, arms_below, times
from salign.train.recipe import Recipe, found_files, with_arms

ALL_IMAGES = -1
"""`Cell.images` where no limit is set."""
Place = tuple[str, str, str, int, float, int]
"""Dataset, network, arm, images, annotated share, seed."""
FIXED = {"train": {"precision": "float32", "memory_format": "channels_last"}}
"""These values replace `auto`, which could choose differently for two arms of a pair."""
MOST_SEEDS = 10_000
"""A grid that gives the number of its seeds has at most this many."""
_LONGEST = 240
"""The name of a run has at most this many letters, so that the name with its hash, and the name of the lock file, are
not too long for a file name."""


def _readable(name: str) -> str:
    """Refuse a name that is blank or not printable in one line, because names stand in pages, plots and tables."""
    if not name.strip() or not name.isprintable():
        raise ValueError(f"a name is text in one line, got {name!r}")
    return name


Name = Annotated[str, AfterValidator(_readable)]
"""Names of arms, data sets, networks and test sets are text in one line; pages and tables escape what they must."""


class Grid(Section):
    """A grid is every combination of its lists; a study is the union of its grids."""

    arms: list[Name] = Field(min_length=1)
    """These arms are trained; see `salign.experiment.arms` for their names."""
    seeds: int | list[int] = 5
    """A number means this many seeds, counted from 0; a list names the seeds. A seed decides the initial weights, the
    order of the images, the subset of images and what control maps draw."""
    images: list[int | None] = [None]
    """Each arm is trained on these numbers of images, drawn with the seed, the same for all arms; null means all."""
    annotated: list[float] = [1.0]
    """These shares of the annotated training images keep their map."""
    epochs: int | None = Field(default=None, ge=1)
    """This number replaces the recipe's epochs: with fewer images, it takes more epochs to make as many steps."""
    datasets: list[str] | None = None
    """The grid takes these of the study's data sets; null means all."""
    networks: list[str] | None = None
    """The grid takes these of the study's networks; null means all."""

    @field_validator("seeds")
    @classmethod
    def _seeds_fit(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, int) and seeds > MOST_SEEDS:
            raise ValueError(f"expected at most {MOST_SEEDS:,} seeds, or a list of them; got {seeds}")
        return seeds


class Analysis(Section):
    """The section says what is measured on every trained model besides its answers."""

    sets: list[Name] | None = None
    """The maps of these test sets are compared with people's and their regions are exchanged; null means all sets."""
    images: int = Field(default=200, ge=1)
    """At most this many images of each set are analysed, the same for every run."""


class Study(Section):
    """A study crosses data sets, networks, arms, numbers of training images, annotated shares and seeds."""

    hints: ClassVar[dict[str, str]] = {
        section: f"what all arms share stands below recipe: recipe.{section}"
        for section in ("data", "model", "loss", "train", "steps")
    }

    name: str = Field(pattern=NAME, max_length=255)
    """The study's folder has this name."""
    title: str = ""
    """The report has this heading."""
    question: str = ""
    """The report says in a sentence or two what the study asks."""
    success: str = ""
    """This result counts as a success; it is written down before the first run, like everything that a study asks."""
    recipe: dict[str, Any]
    """All runs share this recipe, which has no name and no seed. `{seed}` in `data.manifest` and `model.weights` is the
    seed of the run, for maps and weights that a machine made anew for every seed."""
    datasets: dict[Name, dict[str, Any]] = {"data": {}}
    """Each data set is a name with recipe values."""
    networks: dict[Name, dict[str, Any]] = {"network": {}}
    """Each network is a name with recipe values."""
    arms: dict[Name, dict[str, Any]] = {}
    """These are further arms, or other settings for a known arm: a name with recipe values."""
    baseline: Name = "ce"
    """Every arm is compared with this arm."""
    guided: Name = "cyborg"
    """The worth of this arm is in question; controls copy it and change the maps."""
    controls: list[Name] = ["shuffled"]
    """The guided arm must beat these arms, too, or people's maps were not the reason for its gain."""
    metric: Literal["auroc", "accuracy", "balanced_accuracy"] = "auroc"
    """Arms are compared by this metric."""
    target: Name = "test"
    """Arms are compared on this test set."""
    reference: Name | None = None
    """This test set looks like the training data, if it is not the target."""
    grids: list[Grid] = Field(min_length=1)
    """These combinations are run."""
    analysis: Analysis = Analysis()
    """The section `analysis` says what is measured on the maps."""

    @classmethod
    def read(cls, path: Path | str, overrides: list[str] | None = None) -> Study:
        """Read a study from a YAML file.

        Relative paths in it are looked for beside the file, then in the working folder.

        Args:
            path: the YAML file.
            overrides: changes as `a.b=value`.

        Raises:
            SalignError: the file cannot be read or has faults; the message names every fault.
        """
        content = read_values(path, overrides, "study", "name, recipe and grids")
        if isinstance(content.get("recipe"), dict):
            content["recipe"] = found_files(content["recipe"], path)
        for section in ("datasets", "networks", "arms"):
            if isinstance(content.get(section), dict):
                content[section] = {name: found_files(values, path) for name, values in content[section].items()}
        return cls.build(content, str(path))

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "study") -> Study:
        """Make a study of a nested dict, and check it.

        Args:
            content: keys and values, as in the YAML file.
            source: what messages call the dict, such as its file.

        Raises:
            SalignError: the dict has faults; the message names all, and for an unknown key the nearest known one.
        """
        try:
            study = cls.model_validate(content)
        except ValidationError as error:
            raise SalignError(explain_faults(error, cls, source)) from error
        for grid in study.grids:
            for key, names, known in (
                ("datasets", grid.datasets, study.datasets),
                ("networks", grid.networks, study.networks),
            ):
                if strange := set(names or ()) - set(known):
                    raise SalignError(f"{source}: grids: {key} {sorted(strange)} not among {', '.join(known)}.")
        return study

    def to_yaml(self) -> str:
        """Return the whole study as YAML, with all defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


@dataclass(frozen=True)
class Cell:
    """One combination of a study, and its recipe. Two combinations may have the same recipe."""

    dataset: str
    network: str
    arm: str
    images: int
    annotated: float
    seed: int
    recipe: Recipe

    @property
    def key(self) -> Place:
        """The place of the cell in the study."""
        return self.dataset, self.network, self.arm, self.images, self.annotated, self.seed


def expand(study: Study) -> list[Cell]:
    """Return all cells of a study, each place once.

    They are ordered by seed, so that an interrupted study has whole pairs of arms. An arm that is built from the run of
    another arm comes after it.

    Raises:
        SalignError: an arm is not known, a recipe is not valid or allows several labels, `ce_times` has no number of
            images to multiply, a place has two numbers of epochs, or a test set that the study names does not exist.
    """
    places = places_of(study)
    arms = dict.fromkeys(arm for grid in study.grids for arm in grid.arms)
    below = {
        arm: arms_below(arm, guided=study.guided, own=study.arms)
        for arm in (*arms, study.baseline, study.guided, *study.controls)
    }
    rank = {arm: (len(below[arm]), number) for number, arm in enumerate(arms)}
    ordered = sorted(places, key=lambda key: (key[5], key[0], key[1], key[3], key[4], rank[key[2]]))
    names: dict[str, str] = {}
    recipes: dict[Place, Recipe] = {}

    def recipe_at(key: Place, epochs: int | None) -> Recipe:
        if key not in recipes:
            epochs = places.get(key, epochs)
            values = with_arms(_values(study, epochs, *key), lambda arm: recipe_at((*key[:2], arm, *key[3:]), epochs))
            content = json.dumps(values, sort_keys=True)
            name = names.setdefault(content, _name(study, *key))
            recipes[key] = Recipe.build({**values, "name": name}, f"study {study.name}, {name}")
        return recipes[key]

    cells = []
    for key in ordered:
        recipe = recipe_at(key, places[key])
        name = recipe.name
        if recipe.task != "classify":
            raise SalignError(
                f"study {study.name}, {name}: a study compares classifiers; train a net as a stage of one."
            )
        if recipe.data.multi_label:
            raise SalignError(
                f"study {study.name}, {name}: studies compare answers of one class per image, and data.multi_label "
                "allows several. Train such recipes one by one: salign train."
            )
        cells.append(Cell(*key, recipe=recipe))
    _check_sets(study, ((cell.dataset, cell.recipe) for cell in cells))
    return cells


def check_arms(study: Study) -> None:
    """Check arms, data sets, networks, test sets and manifests of a study, as far as that is possible without torch.

    Raises:
        SalignError: as for `expand`, which checks the rest; or a manifest is not there.
    """
    for arm in (study.baseline, study.guided, *study.controls):
        arm_changes(arm, guided=study.guided, own=study.arms)
    recipes: dict[tuple[str, str, str], Recipe] = {}
    for key, epochs in places_of(study).items():
        if key[:3] not in recipes:
            name = _name(study, *key)
            values = {**_values(study, epochs, *key), "name": name}
            recipes[key[:3]] = Recipe.alone(values, f"study {study.name}, {name}", torch=False)
    _check_sets(study, ((dataset, recipe) for (dataset, _, _), recipe in recipes.items()))
    for manifest in dict.fromkeys(recipe.data.manifest for recipe in recipes.values()):
        check_manifest_file(Path(manifest))


def places_of(study: Study) -> dict[Place, int | None]:
    """Return every combination of the grids once, with the epochs of its grid. No recipe is built.

    Raises:
        SalignError: a combination is in two grids with different epochs.
    """
    places: dict[Place, int | None] = {}
    for grid in study.grids:
        for key in _places(grid, study):
            if places.setdefault(key, grid.epochs) != grid.epochs:
                raise SalignError(f"study {study.name}: {key} stands in two grids with different epochs.")
    return places


def _check_sets(study: Study, recipes: Iterable[tuple[str, Recipe]]) -> None:
    """Check the names of the test sets before anything is trained, since they are only needed afterwards.

    Every data set must have the target and the sets of `analysis.sets`; at least one must have the reference.

    Raises:
        SalignError: a set is missing; the message names all that are.
    """
    offered = dict.fromkeys((dataset, *recipe.data.sets) for dataset, recipe in recipes)
    offers = "; ".join(f"data set {dataset}: {', '.join(sets)}" for dataset, *sets in offered)
    names = [("target", study.target), *(("analysis.sets", name) for name in study.analysis.sets or ())]
    faults = [f"{key} {name!r}" for key, name in names if not all(name in sets for _, *sets in offered)]
    if study.reference is not None and not any(study.reference in sets for _, *sets in offered):
        faults.append(f"reference {study.reference!r}")
    if faults:
        raise SalignError(f"study {study.name}: no test set of that name for {', '.join(faults)}; there are, {offers}.")


def _places(grid: Grid, study: Study) -> Iterator[Place]:
    images = [ALL_IMAGES if count is None else count for count in grid.images]
    seeds = range(grid.seeds) if isinstance(grid.seeds, int) else grid.seeds
    datasets, networks = grid.datasets or study.datasets, grid.networks or study.networks
    return itertools.product(datasets, networks, grid.arms, images, grid.annotated, seeds)


def _values(
    study: Study, epochs: int | None, dataset: str, network: str, arm: str, images: int, annotated: float, seed: int
) -> dict[str, Any]:
    """Return the recipe values of one cell, without its name."""
    values: dict[str, Any] = merge(FIXED, study.recipe)
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
    values = _with_seed(values, seed)
    return values | {"stages": {name: merge(FIXED, stage) for name, stage in (values.get("stages") or {}).items()}}


def _with_seed(values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Replace `{seed}` by the seed of the cell in the path of the manifest and in that of the starting weights."""
    for section, key in (("data", "manifest"), ("model", "weights")):
        path = values.get(section, {}).get(key)
        if isinstance(path, str):
            values = merge(values, {section: {key: path.replace("{seed}", str(seed))}})
    return values


def _name(study: Study, dataset: str, network: str, arm: str, images: int, annotated: float, seed: int) -> str:
    """Return the readable first part of the run folder's name; the hash that follows tells apart equal first parts."""
    parts = [dataset] if len(study.datasets) > 1 else []
    parts += [network] if len(study.networks) > 1 else []
    words = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in [*parts, arm])
    numbers = [f"n{images}"] if images != ALL_IMAGES else []
    numbers += [f"maps{100 * annotated:g}pc"] if annotated != 1 else []
    end = "-".join([*numbers, f"seed{seed}"])
    return f"{words.lstrip('._-')[: _LONGEST - len(end) - 1]}-{end}".lstrip("-")
