"""A recipe has everything that decides a run; it is a frozen pydantic model that is read from and written as YAML."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import yaml
from pydantic import Field, ValidationInfo, model_validator

from salign.config import NAME, Pass, Section, is_none, merge, read_values, validated
from salign.errors import one_of
from salign.limits import LARGEST_SEED
from salign.location import absolute_text, is_remote
from salign.losses import LOSSES
from salign.readers import known_digest
from salign.train.recipe.data import NO_GROUPS, DataRecipe
from salign.train.recipe.loss import LossRecipe, PretrainLossRecipe, SaliencyLossRecipe
from salign.train.recipe.model import EmbedderRecipe, ModelRecipe, NetworkRecipe, SaliencyModelRecipe
from salign.train.recipe.posthoc import DfrRecipe, FuseRecipe, RebalanceRecipe
from salign.train.recipe.presets import PRESETS
from salign.train.recipe.stages import (
    ARM,
    STAGE,
    changed,
    key_in_stage,
    names_content,
    references,
    resolved,
    stages_of,
)
from salign.train.recipe.steps import StepRecipe
from salign.train.recipe.train import SaliencyTrainRecipe, TrainOptions, TrainRecipe
from salign.train.snapshots import snapshots
from salign.train.steps import FOR_CLASSES

_MAPS = {"cam", "grad_cam"}
"""The values of `Loss.needs` of which a loss that looks at a map of evidence has at least one."""
_LATER: dict[str, dict[str, Any]] = {
    "data": {
        "seconds_column": None,
        "multi_label": False,
        "targets": None,
        "label_noise": 0,
        "annotated_before_limit": False,
        "annotated_val": None,
        "drawn": None,
        "subsample": "none",
        "repeat_errors": None,
        "task": "classes",
        "cache": None,
    },
    "model": {"cam": "proved", "head": "timm", "region": None},
    "loss": {"also": {}, "teacher": None, "dose": None},
    "train": {"trainable": "all", "snapshots": None, "logger": "auto", "accumulate": 1, "collapse_patience": None}
    | {"devices": 1, "nodes": 1, "ema": None},
}
"""Keys that recipes did not have at first, by section, with the value that they stand for where they are missing. So
runs of earlier versions keep their names and figures."""


class Recipe(Section):
    """A recipe describes one training run; its task decides which keys the sections model, loss and train have."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    network: ClassVar[str] = "a classifier"
    """What a run of this recipe trains, in words for messages."""

    name: str = Field(pattern=NAME)
    """The name of the run folder begins with this name. Letters, digits, dot, dash and underscore are allowed."""
    preset: str | None = None
    """This published setting gives the defaults; the keys of the recipe itself win over it."""
    task: Literal["classify", "maps", "pretrain"] = "classify"
    """`classify` trains a classifier, `maps` trains a net that draws the map that a person would draw, and `pretrain`
    trains a backbone without labels."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """This number decides the initial weights, the order of the data, augmentation and dropout."""
    stages: dict[str, dict[str, Any]] = {}
    """These stages are trained first, in this order: each has a name and the keys in which it differs from this recipe.
    `stage:NAME` refers to the run of a stage in `model.weights`, `model.region.by`, `data.drawn.by`,
    `data.repeat_errors.of`, `loss.teacher` and `posthoc.run`."""
    data: DataRecipe
    """The section `data` says which images and maps take part."""
    model: NetworkRecipe
    """The section `model` says which network is trained."""
    loss: LossRecipe | SaliencyLossRecipe | PretrainLossRecipe
    """The section `loss` says what is minimised."""
    train: TrainOptions
    """The section `train` says how it is optimised."""
    steps: list[StepRecipe] = []
    """These steps change each training batch before the loss, in this order; an entry has `name: STEP` and the options
    of that step. The steps of `data.blur_outside` and `data.swap_outside` come first."""

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        short = {"blur": "blur_outside", "swap": "swap_outside"}
        names = [step.name for step in self.steps]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the step {twice[0]} stands twice in steps; leave one out")
        for step in self.steps:
            if (key := short.get(step.name)) and getattr(self.data, key):
                raise ValueError(f"data.{key} is short for the step {step.name}, which steps has, too; leave one out")
        guided = [step for step in self.steps if step.name == "interpolate" and step.options.get("method") == "gif"]
        if guided and "attack" not in names[self.steps.index(guided[0]) :]:
            raise ValueError("the step interpolate with method gif learns from an attack; add a step attack behind it")
        if self.task != "classify" and (wrong := next((name for name in names if name in FOR_CLASSES), None)):
            raise ValueError(f"the step {wrong} needs a classifier, and {self.network} has no classes; leave it out")
        return self

    def all_steps(self) -> list[StepRecipe]:
        """Return all steps of the recipe; `data.blur_outside` and `data.swap_outside` are short for two of them."""
        short = [
            {"name": "blur", "sigmas": self.data.blur_outside} if self.data.blur_outside else None,
            {"name": "swap", "probability": self.data.swap_outside} if self.data.swap_outside else None,
        ]
        return [*map(StepRecipe.model_validate, filter(None, short)), *self.steps]

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "recipe", *, files: bool = False) -> Self:
        """Make a recipe from nested values: fill in preset and defaults, and check it with its stages.

        Args:
            content: nested values.
            source: where the values come from, for messages.
            files: whether the files that the recipe names must exist.

        Raises:
            SalignError: the values have faults; the message lists all faults of the recipe at once, and names the most
                similar known key for an unknown one.
        """
        recipe = cls.alone(content, source, files=files)
        if recipe.stages or references(recipe):
            stages_of(recipe, source, files=files)
        return recipe

    @classmethod
    def alone(cls, content: dict[str, Any], source: str, *, files: bool = False, torch: bool = True) -> Self:
        """Do what `build` does without checking the stages; with `torch=False`, also without checks that need torch."""
        kind = cls.kind_of(content)
        preset = content.get("preset")
        if preset is not None:
            one_of(preset, kind.presets, f"{source}: preset")
        values = merge(kind.presets[preset] if preset else {}, kind._in_its_time(content))
        return validated(kind, values, source, files=files, torch=torch)

    @classmethod
    def kind_of(cls, content: dict[str, Any]) -> type[Self]:
        """Return the class of recipe for the task of nested values.

        Early recipes of nets that draw maps name no task; they are known by keys that only they have.
        """
        if cls is not Recipe:
            return cls
        sections = [section for section in (content.get("model"), content.get("loss")) if isinstance(section, dict)]
        keys = {key for section in sections for key in section}
        task = content.get("task", "maps" if keys & {"decoder", "width", "target"} else "classify")
        kinds: dict[Any, type[Recipe]] = {"maps": MapsRecipe, "pretrain": PretrainRecipe}
        return cast(type[Self], kinds.get(task, ClassifyRecipe))

    @classmethod
    def _in_its_time(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Fill in the values of keys that did not exist when a recipe was written into a run folder; see `_LATER`.

        The recipe in a run folder has every key of its time written out. It is recognised by this: its sections have
        every key that is not in `_LATER`. Any other recipe is returned as it is.
        """
        kinds: dict[str, Any] = {section: cls.model_fields[section].annotation for section in _LATER}
        fields = {section: set(kind.model_fields) for section, kind in kinds.items()}
        for section, later in _LATER.items():
            values = content.get(section)
            if not isinstance(values, dict) or fields[section] - set(later) - set(values):
                return content
        usual = {
            section: known
            for section, later in _LATER.items()
            if (known := {key: value for key, value in later.items() if key in fields[section]})
        }
        return merge(usual, content)

    @classmethod
    def read(
        cls, path: Path | str, overrides: list[str] | None = None, *, preset: str | None = None, files: bool = False
    ) -> Self:
        """Read a recipe from a YAML file.

        Args:
            path: the file.
            overrides: `a.b=value` strings that win over the file.
            preset: the preset of a recipe that names none itself.
            files: whether the files that the recipe names must exist, as they must for training; the recipe of a
                finished run can be read without them.

        Raises:
            SalignError: the file cannot be read, or the recipe has faults; the message lists all of them at once.
        """
        values = read_values(path, overrides, "recipe", "name and data")
        content = {"preset": preset, **found_files(values, path)}
        return cls.build(content, str(path), files=files)

    def with_values(self, values: dict[str, Any]) -> Self:
        """Return a copy in which some nested values are changed, and which is checked again."""
        return self.build(merge(self.model_dump(), values))

    def to_yaml(self) -> str:
        """Return the whole recipe as YAML, with all defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def fingerprint(self) -> str:
        """Return 8 hex digits of a digest of the recipe's content.

        Manifests, weights and runs that the recipe refers to count by their bytes, not by their paths; a stage counts
        by its own fingerprint. Keys of `_LATER` that have the value given there do not count, nor do keys that change
        nothing in the run, such as `data.workers` and `train.logger`.
        """
        if self.stages:
            return resolved(self)[""].fingerprint()
        content = self._content()
        del content["task"], content["stages"]  # tasks differ in the keys of their sections
        for key in ("steps", "posthoc"):
            if not content.get(key):
                content.pop(key, None)
        content["data"] |= {"manifest": known_digest(self.data.manifest), "root": None, "workers": None, "cache": None}
        for key in ("logger", "devices", "nodes"):
            content["train"].pop(key)
        for section, later in _LATER.items():
            for key, usual in later.items():
                if content[section].get(key) == usual:
                    content[section].pop(key, None)
        content = changed(content, _by_bytes)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def _content(self) -> dict[str, Any]:
        """Return the values that decide the run, as JSON."""
        return self.model_dump(mode="json")


class ClassifyRecipe(Recipe):
    """A recipe of task `classify` trains a classifier."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS["classify"]
    model: ModelRecipe = ModelRecipe()
    """The section `model` says which network is trained."""
    loss: LossRecipe = LossRecipe()
    """The section `loss` says what is minimised."""
    train: TrainRecipe = TrainRecipe()
    """The section `train` says how it is optimised."""
    posthoc: FuseRecipe | RebalanceRecipe | DfrRecipe | None = Field(default=None, discriminator="name")
    """The section `posthoc` makes the run from a finished run without training a network; null means that the network
    is trained."""

    @model_validator(mode="after")
    def _groups_are_named(self) -> ClassifyRecipe:
        if self.data.groups:
            return self
        if self.posthoc is not None and self.posthoc.name == "dfr":
            raise ValueError(f"posthoc dfr {NO_GROUPS} (salign dfr --group COLUMN)")
        if self.loss.name == "group_dro":
            raise ValueError(f"loss group_dro {NO_GROUPS}")
        return self

    @model_validator(mode="after")
    def _loss_finds_its_map(self, info: ValidationInfo) -> ClassifyRecipe:
        if self.model.cam == "none" and Pass.of(info).torch and self.loss.build().needs & _MAPS:
            names = ", ".join(name for name in LOSSES if not LOSSES[name].needs & _MAPS)
            raise ValueError(
                f"loss {self.loss.name} needs a map of evidence, which model.cam: none leaves out. Leave model.cam out "
                "(a ViT then needs model.args: {global_pool: avg}), or take a loss that needs none: " + names
            )
        doses = [self.loss.dose, *(options.get("dose") for options in self.loss.also.values())]
        if self.train.trainable == "head" and any(doses):
            raise ValueError(
                "loss.dose measures how terms pull at the last feature maps, which train.trainable: head does not "
                "train; give a weight instead of the dose"
            )
        return self

    def _content(self) -> dict[str, Any]:
        return super()._content() | {"loss": self.loss.content()}


class MapsRecipe(Recipe):
    """A recipe of task `maps` trains a net that draws maps; only the annotated images of the splits are used."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS["maps"]
    network: ClassVar[str] = "a net that draws maps"
    task: Literal["maps"] = "maps"
    model: SaliencyModelRecipe = SaliencyModelRecipe()
    """The section `model` says which net is trained."""
    loss: SaliencyLossRecipe = SaliencyLossRecipe()
    """The section `loss` says what is predicted."""
    train: SaliencyTrainRecipe = SaliencyTrainRecipe()
    """The section `train` says how it is optimised."""


class PretrainRecipe(Recipe):
    """A recipe of task `pretrain` trains a backbone for classifiers to start from; no label or map is looked at."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS["pretrain"]
    network: ClassVar[str] = "a backbone pretrained without labels"
    task: Literal["pretrain"] = "pretrain"
    model: EmbedderRecipe = EmbedderRecipe()
    """The section `model` says which backbone is trained."""
    loss: PretrainLossRecipe = PretrainLossRecipe()
    """The section `loss` says what is learned."""
    train: SaliencyTrainRecipe = SaliencyTrainRecipe()
    """The section `train` says how it is optimised."""


def _by_bytes(key: str, text: str) -> str:
    """Return the digest of the file or the run's weights that a value names; any other value is returned as it is."""
    if not names_content(key):
        return text
    files = [Path(text), Path(text) / "encoder.safetensors", Path(text) / "weights.safetensors"]
    if key != "model.weights":
        del files[1]  # only model.weights takes the encoder alone
    digest = next((known_digest(file) for file in files if file.is_file()), text)
    if key != "posthoc.run":
        return digest
    # two trainings with the same weights may have kept different epochs
    return " ".join([digest, *(f"epoch {epoch}" for epoch in snapshots(text))])


def found_files(values: Any, source: Path | str) -> Any:
    """Return nested values of a recipe, or of a part of one, with absolute paths of the files and folders they name.

    Args:
        values: the nested values, as they stand in the file `source`.
        source: the file that the values come from; relative paths are searched beside it first.
    """
    return changed(values, functools.partial(_found, source))


def _found(source: Path | str, where: str, text: str) -> str:
    """Return the absolute path if the value at `where` names a file or folder; any other value is returned as it is."""
    key = key_in_stage(where)
    if is_none(text) or text.startswith((STAGE, ARM)):
        return text
    if key == "data.manifest" or (names_content(key) and key != "model.weights"):
        return found_manifest(text, source)
    return absolute_text(text) if key in ("data.root", "data.cache") else text


def found_manifest(manifest: str, source: Path | str) -> str:
    """Return the absolute path of a manifest, searched beside the file `source`, then in the working folder.

    A URL stays as it is.
    """
    if is_remote(manifest):
        return absolute_text(manifest)
    beside = Path(source).parent / manifest
    return str((beside if beside.exists() else Path(manifest)).resolve())
