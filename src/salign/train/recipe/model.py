"""Section `model` of a recipe: which network, from which weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from salign.config import Pass, Section, is_none


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

    @field_validator("weights")
    @classmethod
    def _file_is_there(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if Pass.of(info).files and weights and weights.endswith(".safetensors") and not Path(weights).exists():
            raise ValueError(f"there is no file {weights}")
        return weights

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


class SaliencyModelRecipe(NetworkRecipe):
    """Which encoder, from which weights, with which decoder; the backbone's features must form a pyramid."""

    decoder: Literal["unet", "unet++"] = "unet"
    """U-Net, or U-Net++ as in MENTOR."""
    width: int = Field(default=128, ge=16, le=4096)
    """Channels of the deepest level of the decoder, halved with every level up."""
