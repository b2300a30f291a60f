"""What the file says that describes a kept network: its fields, checked without torch."""

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
"""The files that describe a classifier, an ensemble of them, a net that draws maps, and a net that embeds images."""
TWO_STAGE = "two_stage.json"
"""The file that describes a net that draws maps together with the classifier that sees what it marks."""
WEIGHTS, ENCODER = "weights.safetensors", "encoder.safetensors"
"""Files of a run folder: the weights of the whole network, and those of the backbone alone of a pretrained one."""
Cam = Literal["proved", "none"]
Maps = Literal["answered", "all", "none"]
"""Which maps an exported graph gives; see `salign.models.export.Graph`."""
PixelKind = Literal["uint8", "float32"]
"""What such a graph takes."""
MOST_BYTES = 1_000_000
"""A file that says how a network is made has at most so many bytes."""


def save_config(path: Path, config: Mapping[str, Any]) -> Path:
    """Write what the network is made of."""
    replace_text(path, json.dumps(config, indent=2))
    return path


Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]


class NetworkConfig(BaseModel):
    """What the file of any network says. Nothing else is taken from it, above all no weights from elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    backbone: Name
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    output_stride: Annotated[int, Field(ge=1, le=64)] | None = None
    args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _small_enough(self) -> Self:
        """A line of text must not make a network that fills the memory."""
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
    """What `model.json` says."""

    classes: list[Name]
    cam: Cam = "proved"
    multi_label: bool = False
    threshold: Threshold | None = None


class EnsembleConfig(ClassifierConfig):
    """What `ensemble.json` says: what each member is, and how many there are."""

    members: Annotated[int, Field(ge=1, le=1000)]


class NetConfig(NetworkConfig):
    """What `saliency.json` says."""

    decoder: Literal["unet", "unet++"]
    channels: Annotated[int, Field(ge=1, le=3)] = 1
    width: Annotated[int, Field(ge=16, le=4096)] = 128


class TwoStageConfig(ClassifierConfig):
    """What `two_stage.json` says: what the classifier is, what it sees, and which net decides that."""

    keep: Literal["crop", "mask"]
    net: NetConfig


class EmbedderConfig(NetworkConfig):
    """What `embedder.json` says."""

    dimensions: Annotated[int, Field(ge=2, le=4096)] = 128


_ANSWERS: dict[str, tuple[type[ClassifierConfig], str]] = {
    ENSEMBLE: (EnsembleConfig, "an ensemble of fused runs"),
    TWO_STAGE: (TwoStageConfig, "a classifier that sees what a net marks"),
    CLASSIFIER: (ClassifierConfig, "one classifier"),
}
"""The file that describes what answers -> its fields, and what that is in words."""


def description_file(folder: Path | str) -> Path:
    """The file that describes what answers in `folder`; that of a classifier where there is none."""
    return next((path for name in _ANSWERS if (path := Path(folder) / name).is_file()), Path(folder) / CLASSIFIER)


def describe_model(folder: Path | str, expected: str | None = None) -> dict[str, Any]:
    """What the file says that describes what answers in `folder`, checked.

    Args:
        folder: that of a run, or any that `save` of a model wrote.
        expected: `CLASSIFIER`, `ENSEMBLE` or `TWO_STAGE`, for whoever can take one of them alone.

    Returns:
        backbone, classes, image_size, output_stride, args, cam, multi_label; threshold, where one was kept: its fields,
        as those of `salign.models.Threshold`; members, their number in an ensemble; keep and net, where a net decides
        what the classifier sees.

    Raises:
        SalignError: no such file, a damaged one, or not the one expected.
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
    """A description with its threshold; without one it says nothing of it, as before there were any.

    Raises:
        SalignError: the threshold is not one of these classes.
    """
    if threshold is None:
        return dict(config)
    threshold.fits(config["classes"], multi_label=config.get("multi_label", False))
    return {**config, "threshold": threshold.model_dump()}


def keep_threshold(folder: Path | str, threshold: Threshold) -> None:
    """Write the threshold chosen for a saved model into its description; its weights are left alone.

    Raises:
        SalignError: no model there, a damaged one, or one without the class of the threshold.
    """
    save_config(description_file(folder), with_threshold(describe_model(folder), threshold))


def describe_net(folder: Path | str) -> dict[str, Any]:
    """What `saliency.json` in `folder` says of a net that draws maps, checked.

    Raises:
        SalignError: no such file, or a damaged one.
    """
    return read_config(Path(folder) / NET, NetConfig, "salign saliency train")


def describe_embedder(folder: Path | str) -> dict[str, Any]:
    """What `embedder.json` in `folder` says of a net that embeds images, checked.

    Raises:
        SalignError: no such file, or a damaged one.
    """
    return read_config(Path(folder) / EMBEDDER, EmbedderConfig, "salign train")


def read_config(path: Path, schema: type[NetworkConfig], command: str) -> dict[str, Any]:
    """Read it back, field by field.

    Args:
        path: the JSON file.
        schema: its fields.
        command: what writes such a folder, for the message where there is none.

    Raises:
        SalignError: no such file, or a damaged one.
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
