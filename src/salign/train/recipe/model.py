"""Section `model` of a recipe: which network, from which weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from salign.config import Pass, Section, is_none


class NetworkRecipe(Section):
    """The section names a network of timm's and its weights."""

    backbone: str = "tf_efficientnet_lite0"
    """The network is one of timm.list_models()."""
    weights: str | None = "imagenet"
    """The body starts from "imagenet", from a .safetensors file, or from random weights (null or "none")."""
    output_stride: int | None = None
    """A cell of the class activation map has this many pixels, 8, 16 or 32, where the backbone has the choice."""
    args: dict[str, Any] = {}
    """timm.create_model gets these further keywords."""
    cam: Literal["proved", "none"] = "proved"
    """`proved` refuses a network without a map of evidence; `none` accepts it, for losses that need no map."""

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


class RegionRecipe(Section):
    """The classifier sees a region alone: in training the one that people marked, in evaluation the one a net draws."""

    by: str
    """This finished run of a net that draws maps, or `stage:NAME`, draws the region; in training, people's map is taken
    where there is one."""
    keep: Literal["crop", "mask"] = "crop"
    """`crop` enlarges the window around the region to the whole image, `mask` gives all but the region one colour."""


class ModelRecipe(NetworkRecipe):
    """The section says which classifier is trained, and from which weights."""

    head: Literal["small", "timm"] = "small"
    """The new head starts from weights that are uniform within 1 / sqrt(features) and biases of zero (`small`), or from
    what timm draws (`timm`), as all runs did before there was this key."""
    region: RegionRecipe | None = None
    """The classifier sees a region of each image alone, as {by: a run or stage:NAME, keep: crop or mask} says; null
    means the whole image."""


class EmbedderRecipe(NetworkRecipe):
    """The section says which backbone is pretrained, and from which weights."""

    dimensions: int = Field(default=128, ge=2, le=4096)
    """An embedding has this many numbers; 128 is published."""


class SaliencyModelRecipe(NetworkRecipe):
    """The section says which encoder and decoder are trained, from which weights; the encoder must give a pyramid."""

    decoder: Literal["unet", "unet++"] = "unet"
    """The decoder is a U-Net, or a U-Net++ as in MENTOR."""
    width: int = Field(default=128, ge=16, le=4096)
    """The deepest level of the decoder has this many channels; every level up has half of them."""
