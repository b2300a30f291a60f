"""A recipe: everything that decides a run, as frozen pydantic models that read and write YAML."""

from __future__ import annotations

import hashlib
import json
import typing
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from salign.config import Section, explained, is_none, merge, read_values
from salign.errors import SalignError, nearest
from salign.limits import LARGEST_BATCH, LARGEST_SEED, LONGEST_SIDE, MOST_PIXELS, MOST_WORKERS
from salign.losses import LOSSES
from salign.readers import file_digest
from salign.train.presets import PRESETS

_LATER: dict[tuple[str, str], Any] = {
    ("data", "seconds_column"): None,
    ("data", "multi_label"): False,
    ("model", "cam"): "proved",
    ("model", "head"): "timm",
}
"""Keys that recipes did not always have, and what went without saying: runs from before keep names and figures."""


class DataRecipe(Section):
    """Which images, which rows, how they are prepared."""

    meant: ClassVar[dict[str, str]] = {
        "saliency": "`map_column` names the column with the maps, `annotated: 0` trains without any, and a loss that "
        "needs none is loss.name: ce"
    }

    manifest: str
    """CSV or Parquet; a relative path is looked for beside the recipe, then in the working folder."""
    root: str | None = None
    """Folder the manifest's paths are relative to; None = the manifest's own."""
    train: list[str] = ["train"]
    """Splits to train on."""
    val: list[str] = ["val"]
    """Splits to choose the epoch and the threshold on."""
    test: dict[str, list[str]] | list[str] = ["test"]
    """Splits to report on, each by itself; or name -> splits taken together."""
    classes: list[str] | None = None
    """Classes in the order of the logits; rows of others are left out. None = all of the training splits."""
    multi_label: bool = False
    """An image may have several labels, joined by `;` in the manifest, or none; each class is a yes or no by itself."""
    positive: str | None = None
    """Of two classes the one to detect (the attack, the disease); None = the last."""
    image_size: int | tuple[int, int] = 224
    """Side, or (height, width), that images are resized to."""
    augment: Literal["none", "flip", "standard"] = "flip"
    """Random changes to training images and maps together: `flip` mirrors every other one, `none` is the published
    setting, and right where left and right matter, as in letters and digits."""
    limit: int | None = Field(default=None, ge=2)
    """Train on so many images, the same share of each class, drawn with `seed`."""
    map_column: str = "saliency"
    """Manifest column with the maps of the training images, e.g. one with segmentation masks."""
    annotated: float | None = Field(default=None, ge=0, le=1)
    """Share of the annotated training images that keep their map, of each class alike; None = all, 0 = none."""
    seconds_column: str | None = None
    """Manifest column with the seconds that people looked at each training image, for the loss reaction_time."""
    maps: str = "own"
    """Which map an annotated image is trained with: its "own", or a control: "shuffled", "shuffled_within" or
    "shuffled_across" classes, "inverted", "centre", "blobs", "boxes"; with a share "shuffled@0.25", "dilated@0.1",
    "shifted@0.1"."""
    blur_outside: list[float] = []
    """Sigmas in pixels, published 2, 4, ..., 16: annotated training images are blurred outside of their map by one of
    these or by none, each equally often."""
    swap_outside: float = Field(default=0, ge=0, le=1)
    """Probability that an annotated training image is shown in the surroundings of another image of its class."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Of what `limit`, `annotated` and control maps draw: runs with other training seeds share their data."""
    sampling: Literal["natural", "balanced"] = "natural"
    """`natural`: each image once an epoch; `balanced`: with replacement, every class equally often."""
    faults: Literal["stop", "leave_out"] = "stop"
    """What to do with unreadable images and maps: stop with a list, or report them and train without."""
    workers: int | Literal["auto"] = "auto"
    """Processes that read images; `auto` goes by the CPUs. Changes nothing but the time."""
    groups: list[str] = []
    """Manifest columns to report on by value (domain, sex, device)."""
    species: str | None = None
    """Manifest column with the kind of attack: APCER is that of the worst kind (ISO/IEC 30107-3)."""

    @field_validator("image_size")
    @classmethod
    def _size_fits(cls, size: int | tuple[int, int]) -> int | tuple[int, int]:
        height, width = (size, size) if isinstance(size, int) else size
        if not (min(height, width) >= 1 and max(height, width) <= LONGEST_SIDE and height * width <= MOST_PIXELS):
            raise ValueError(
                f"expected sides of 1 to {LONGEST_SIDE:,} pixels, {MOST_PIXELS:,} in all at most; got {size}"
            )
        return size

    @field_validator("workers")
    @classmethod
    def _workers_fit(cls, workers: int | str) -> int | str:
        if isinstance(workers, int) and not 0 <= workers <= MOST_WORKERS:
            raise ValueError(f"expected auto, or 0 to {MOST_WORKERS:,} processes; got {workers}")
        return workers

    @model_validator(mode="after")
    def _several_labels_fit(self) -> DataRecipe:
        single = {
            "positive": self.positive is not None,
            "species": self.species is not None,
            "sampling: balanced": self.sampling == "balanced",
            f"maps: {self.maps}": self.maps in ("shuffled_within", "shuffled_across"),
        }
        if self.multi_label and any(single.values()):
            wrong = ", ".join(key for key, given in single.items() if given)
            raise ValueError(f"data.multi_label does not go with {wrong}: an image has no one class; leave that out")
        return self


class NetworkRecipe(Section):
    """Which network of timm's, from which weights."""

    backbone: str = "tf_efficientnet_lite0"
    """A name of timm.list_models()."""
    weights: str | None = "imagenet"
    """"imagenet", a .safetensors file, or null (or "none") for random weights."""
    output_stride: int | None = None
    """Pixels per cell of the class activation map where the backbone has the choice: 8, 16 or 32."""
    args: dict[str, Any] = {}
    """Further keywords for timm.create_model."""
    cam: Literal["proved", "none"] = "proved"
    """`proved`: a network without a map of evidence is refused; `none`: it is taken, for losses that need no map."""

    @field_validator("weights", mode="before")
    @classmethod
    def _none_is_no_file(cls, weights: object) -> object:
        return None if is_none(weights) else weights

    @field_validator("args")
    @classmethod
    def _no_yes_or_no(cls, args: dict[str, Any]) -> dict[str, Any]:
        for key, value in args.items():  # what timm takes there is not known here, and any text is true
            if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
                raise ValueError(f"{key} is {value!r}; write true or false there")
        return args


class ModelRecipe(NetworkRecipe):
    """Which classifier, from which weights."""

    head: Literal["small", "timm"] = "small"
    """What the new head starts from: `small` = weights uniform within 1 / sqrt(features), biases zero; `timm` = what
    timm draws, as all runs did before there was this key."""


_FINITE = ConfigDict(allow_inf_nan=False)


class LossRecipe(BaseModel):
    """Which loss; keys besides `name` and `class_weights` are that loss's own options."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str = "cyborg"
    """A name of salign.losses.LOSSES."""
    class_weights: Literal["none", "balanced"] | list[float] = "none"
    """Per class in the cross-entropy; "balanced" = images / (classes * images of the class)."""

    @model_validator(mode="after")
    def _options_fit(self) -> LossRecipe:
        if self.name not in LOSSES:
            raise ValueError(f"unknown loss {self.name!r}; there are {', '.join(LOSSES)}")
        known = typing.get_type_hints(LOSSES[self.name].__init__)
        known = {key: hint for key, hint in known.items() if key not in ("return", "class_weights")}
        given, faults = self.model_extra or {}, []
        for key, value in given.items():
            if key not in known:
                faults.append(f"loss {self.name} has no option {key!r}{nearest(key, known)}")
                continue
            try:
                given[key] = TypeAdapter(known[key], config=_FINITE).validate_python(value)
            except ValidationError as error:
                faults += [f"{key}: {fault['msg']}, got {value!r}" for fault in error.errors()]
        if not faults:
            try:
                LOSSES[self.name](**given)
            except SalignError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Keywords for the loss, `class_weights` apart."""
        return dict(self.model_extra or {})


class TrainOptions(Section):
    """How any network is optimised, on what."""

    epochs: int = Field(default=30, ge=1)
    """Times each training image is seen."""
    batch_size: int = Field(default=20, ge=1, le=LARGEST_BATCH)
    """Images per step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum (published), or AdamW."""
    lr: float = Field(default=0.02, gt=0)
    """Highest learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Of either optimiser."""
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "cosine"
    """Course of the learning rate; `step` is published."""
    step_epochs: int = Field(default=12, ge=1)
    """For schedule "step": the rate is multiplied by `step_factor` every so many epochs."""
    step_factor: float = Field(default=0.1, gt=0)
    """For schedule `step`: see step_epochs."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`: CUDA, else MPS, else CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the forward pass; `auto` measures here and takes the fastest."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Layout of images and weights; `auto` measures here and takes the fastest."""

    @field_validator("device", mode="before")
    @classmethod
    def _no_number(cls, device: object) -> object:
        kind, colon, number = str(device).partition(":")
        if kind == "cuda" and colon:
            raise ValueError(
                f"got {device!r}; write cuda, and choose the GPU by the variable CUDA_VISIBLE_DEVICES={number}"
            )
        return device


class TrainRecipe(TrainOptions):
    """How it is optimised, on what, and which epoch is kept."""

    select: Literal["auroc", "accuracy", "last"] = "auroc"
    """Which epoch's weights are kept: the best on validation by this figure, or the last."""
    ties: Literal["first", "last"] = "last"
    """Which of several equally good epochs: where validation is too easy, the saliency term has more to teach."""


class RunRecipe(Section):
    """What the recipe of any run has, whatever is trained; a subclass adds the sections model, loss and train."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Beginning of the run folder's name: letters, digits, dot, dash, underscore."""
    preset: str | None = None
    """Defaults of a published setting; what the recipe says itself wins."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Of the initial weights, the order of the data, augmentation and dropout."""
    data: DataRecipe

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "recipe") -> Self:
        """Check a nested dict, fill in preset and defaults.

        Raises:
            SalignError: every fault at once; an unknown key comes with the nearest known one.
        """
        preset = content.get("preset")
        if preset is not None and preset not in cls.presets:
            raise SalignError(f"{source}: unknown preset {preset!r}; there are {', '.join(cls.presets)}.")
        try:
            return cls.model_validate(merge(cls.presets[preset] if preset else {}, cls._in_its_time(content)))
        except ValidationError as error:
            raise SalignError(explained(error, cls, source)) from error

    @classmethod
    def _in_its_time(cls, content: dict[str, Any]) -> dict[str, Any]:
        """A recipe that a run folder keeps has every key of `train` written out; keys that it lacks came later."""
        train = content.get("train")
        kinds: dict[str, Any] = {
            section: cls.model_fields[section].annotation for section in ("data", "model", "train")
        }
        fields = {section: set(kind.model_fields) for section, kind in kinds.items()}
        if not isinstance(train, dict) or fields["train"] - {key for _, key in _LATER} - set(train):
            return content
        usual = {section: {key: value} for (section, key), value in _LATER.items() if key in fields[section]}
        return merge(usual, content)

    @classmethod
    def read(cls, path: Path | str, overrides: list[str] | None = None, *, preset: str | None = None) -> Self:
        """Read a YAML file; `overrides` are `a.b=value` strings that win over it, `preset` is that of one with none."""
        content = read_values(path, overrides, "recipe", "name and data")
        recipe = cls.build({"preset": preset, **content}, str(path))
        root = recipe.data.root and str(Path(recipe.data.root).resolve())
        return recipe.with_values({"data": {"manifest": found_manifest(recipe.data.manifest, path), "root": root}})

    def with_values(self, values: dict[str, Any]) -> Self:
        """A copy with some nested values changed, checked again."""
        return self.build(merge(self.model_dump(), values))

    def to_yaml(self) -> str:
        """The whole recipe, defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def fingerprint(self) -> str:
        """8 hex digits of the content: the manifest counts by its bytes, not by where this machine keeps it."""
        content = self.model_dump(mode="json")
        content["data"] |= {"manifest": file_digest(self.data.manifest), "root": None, "workers": None}
        for (section, key), usual in _LATER.items():
            if content[section].get(key) == usual:
                content[section].pop(key, None)
        weights = content["model"]["weights"]
        if weights is not None and Path(weights).is_file():
            content["model"]["weights"] = file_digest(weights)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


class Recipe(RunRecipe):
    """One training run."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    model: ModelRecipe = ModelRecipe()
    loss: LossRecipe = LossRecipe()
    train: TrainRecipe = TrainRecipe()

    @model_validator(mode="after")
    def _loss_finds_its_map(self) -> Recipe:
        if self.model.cam == "none" and _maps_needed(self.loss.name, self.loss.options):
            others = ", ".join(name for name in LOSSES if not _maps_needed(name, {}))
            raise ValueError(
                f"loss {self.loss.name} needs a map of evidence, which model.cam: none leaves out. Leave model.cam out "
                "(a ViT then needs model.args: {global_pool: avg}), or take a loss that needs none: " + others
            )
        return self


def _maps_needed(loss: str, options: dict[str, Any]) -> bool:
    return bool(LOSSES[loss](**options).needs & {"cam", "grad_cam"})


def found_manifest(manifest: str, source: Path | str) -> str:
    """The absolute path of a manifest that stands beside the file `source`, else in the working folder."""
    beside = Path(source).parent / manifest
    return str((beside if beside.exists() else Path(manifest)).resolve())
