"""The files that describe saved networks: their fields, which are checked without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from salign.config import explain_faults
from salign.errors import SalignError
from salign.files import replace_text
from salign.limits import LONGEST_SIDE, MOST_PIXELS
from salign.models.threshold import Threshold
from salign.readers import read_json

CLASSIFIER, ENSEMBLE, NET, EMBEDDER = "model.json", "ensemble.json", "saliency.json", "embedder.json"
"""Names of the files that describe a classifier, an ensemble of classifiers, a net that draws maps, and a net that
embeds images."""
TWO_STAGE = "two_stage.json"
"""Name of the file that describes a net that draws maps together with the classifier that sees what the net marks."""
WEIGHTS, ENCODER = "weights.safetensors", "encoder.safetensors"
"""Names of files in a run folder: the weights of the whole network, and, for a pretrained network, the weights of its
backbone alone."""
Cam = Literal["proved", "none"]
Maps = Literal["answered", "all", "none"]
"""Which maps an exported graph gives; see `salign.models.export.Graph`."""
PixelKind = Literal["uint8", "float32"]
"""Which pixels an exported graph takes; see `salign.models.export.Graph`."""
MOST_BYTES = 1_000_000
"""The largest size in bytes of a file that describes a network."""


def save_config(path: Path, config: Mapping[str, Any]) -> Path:
    """Write the description of a network as JSON."""
    replace_text(path, json.dumps(config, indent=2))
    return path


Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]


class NetworkConfig(BaseModel):
    """The fields that the description of every network has.

    Other fields are refused, so that a description can bring in nothing else, above all no weights from elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    backbone: Name
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    output_stride: Annotated[int, Field(ge=1, le=64)] | None = None
    args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _small_enough(self) -> Self:
        """Refuse a description that would make a network so large that it fills the memory."""
        if self.image_size[0] * self.image_size[1] > MOST_PIXELS:
            raise ValueError(f"image_size {self.image_size} has more than {MOST_PIXELS:,} pixels")
        if not _small(self.args):
            raise ValueError("args: expected text, true, false, null and numbers from -10,000 to 10,000")
        return self


def _small(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_small(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= 10_000)


class ClassifierConfig(NetworkConfig):
    """The fields of `model.json`."""

    classes: list[Name]
    cam: Cam = "proved"
    multi_label: bool = False
    threshold: Threshold | None = None


class EnsembleConfig(ClassifierConfig):
    """The fields of `ensemble.json`: what each member is, and how many members there are."""

    members: Annotated[int, Field(ge=1, le=1000)]


class NetConfig(NetworkConfig):
    """The fields of `saliency.json`."""

    decoder: Literal["unet", "unet++"]
    channels: Annotated[int, Field(ge=1, le=3)] = 1
    width: Annotated[int, Field(ge=16, le=4096)] = 128


class TwoStageConfig(ClassifierConfig):
    """The fields of `two_stage.json`: what the classifier is, what it sees, and which net decides what it sees."""

    keep: Literal["crop", "mask"]
    net: NetConfig


class EmbedderConfig(NetworkConfig):
    """The fields of `embedder.json`."""

    dimensions: Annotated[int, Field(ge=2, le=4096)] = 128


_ANSWERS: dict[str, tuple[type[ClassifierConfig], str]] = {
    ENSEMBLE: (EnsembleConfig, "an ensemble of fused runs"),
    TWO_STAGE: (TwoStageConfig, "a classifier that sees what a net marks"),
    CLASSIFIER: (ClassifierConfig, "one classifier"),
}
"""Name of the file that describes a model -> the class of its fields, and the kind of model in words."""


def description_file(folder: Path | str) -> Path:
    """Return the file that describes the model in `folder`; if there is none, the path of a classifier's."""
    return next((path for name in _ANSWERS if (path := Path(folder) / name).is_file()), Path(folder) / CLASSIFIER)


def describe_model(folder: Path | str, expected: str | None = None) -> dict[str, Any]:
    """Read the description of the model in `folder`, and check it.

    Args:
        folder: a run folder, or any folder that `save` of a model wrote.
        expected: `CLASSIFIER`, `ENSEMBLE` or `TWO_STAGE` if the caller can take only this kind; None = any kind.

    Returns:
        The fields backbone, classes, image_size, output_stride, args, cam and multi_label; threshold, if one was
        chosen, with the fields of `salign.models.Threshold`; members, the number of members of an ensemble; keep and
        net, if a net decides what the classifier sees.

    Raises:
        SalignError: there is no such file, it is damaged, or it describes another kind than the one expected.
    """
    path = description_file(folder)
    schema, kind = _ANSWERS[path.name]
    if expected not in (None, path.name):
        raise SalignError(
            f"{folder}: expected {_ANSWERS[str(expected)][1]}, and {path.name} describes {kind}. Take salign.load, "
            "which reads all"
        )
    config = read_config(path, schema, "salign train")
    if config.get("threshold"):
        try:
            with_threshold(config, Threshold(**config["threshold"]))
        except SalignError as error:
            raise SalignError(f"{path} is damaged: {error}") from error
    return config


def with_threshold(config: Mapping[str, Any], threshold: Threshold | None) -> dict[str, Any]:
    """Return a description with its threshold; without a threshold the description has no such field.

    Descriptions from before there were thresholds have no such field, either.

    Raises:
        SalignError: the threshold does not fit the classes.
    """
    if threshold is None:
        return dict(config)
    threshold.fits(config["classes"], multi_label=config.get("multi_label", False))
    return {**config, "threshold": threshold.model_dump()}


def keep_threshold(folder: Path | str, threshold: Threshold) -> None:
    """Write the threshold that was chosen for a saved model into its description; the weights are left alone.

    Raises:
        SalignError: there is no model, it is damaged, or the threshold does not fit its classes.
    """
    save_config(description_file(folder), with_threshold(describe_model(folder), threshold))


def describe_net(folder: Path | str) -> dict[str, Any]:
    """Read `saliency.json` in `folder`, the description of a net that draws maps, and check it.

    Raises:
        SalignError: there is no such file, or it is damaged.
    """
    return read_config(Path(folder) / NET, NetConfig, "salign saliency train")


def describe_embedder(folder: Path | str) -> dict[str, Any]:
    """Read `embedder.json` in `folder`, the description of a net that embeds images, and check it.

    Raises:
        SalignError: there is no such file, or it is damaged.
    """
    return read_config(Path(folder) / EMBEDDER, EmbedderConfig, "salign train")


def read_config(path: Path, schema: type[NetworkConfig], command: str) -> dict[str, Any]:
    """Read a description, and check it field by field.

    Args:
        path: the JSON file.
        schema: the class of its fields.
        command: the command that writes such a folder, for the message if there is no such file.

    Raises:
        SalignError: there is no such file, or it is damaged.
    """
    if not path.exists():
        raise SalignError(f"{path.parent}: no {path.name} there; expected a run folder written by `{command}`.")
    try:
        config = read_json(path, limit=MOST_BYTES)
    except SalignError as error:
        raise SalignError(f"{path} is damaged: {error}") from error
    try:
        checked = schema.model_validate(config).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise SalignError(f"{path} is damaged: {explain_faults(error, schema, path.name)}") from error
    return checked | {"image_size": tuple(checked["image_size"])}
