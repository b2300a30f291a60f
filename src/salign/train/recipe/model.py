"""Section `model` of a recipe: which network is trained, and from which weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from salign.config import Pass, Section, is_none


class NetworkRecipe(Section):
    """The section names a network of timm and its weights."""

    backbone: str = "tf_efficientnet_lite0"
    """The network is one of timm.list_models()."""
    weights: str | None = "imagenet"
    """The body starts from "imagenet", from a .safetensors file, or from random weights (null or "none")."""
    output_stride: int | None = None
    """A cell of the class activation map is this many pixels wide: 8, 16 or 32, if the backbone allows a choice."""
    args: dict[str, Any] = {}
    """timm.create_model gets these further keyword arguments."""
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
        for key, value in args.items():  # salign does not know timm's types here, and any text counts as true
            if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
                raise ValueError(f"{key} is {value!r}; write true or false there")
        return args


class RegionRecipe(Section):
    """The classifier sees only a region: in training the one that people marked, in evaluation the one a net draws."""

    by: str
    """This finished run of a net that draws maps, or `stage:NAME`, draws the region. In training, people's map is taken
    instead if there is one."""
    keep: Literal["crop", "mask"] = "crop"
    """`crop` enlarges a window around the region to the whole image; `mask` gives all but the region one colour."""


class ModelRecipe(NetworkRecipe):
    """The section says which classifier is trained, and from which weights."""

    head: Literal["small", "timm"] = "small"
    """With `small`, the new head starts from weights that are uniform from -1 / sqrt(features) to 1 / sqrt(features),
    and from biases of zero. With `timm`, it starts from what timm draws, as all runs did before this key existed."""
    region: RegionRecipe | None = None
    """The classifier sees only a region of each image, as {by: a run or stage:NAME, keep: crop or mask} says; null
    means the whole image."""


class EmbedderRecipe(NetworkRecipe):
    """The section says which backbone is pretrained, and from which weights."""

    dimensions: int = Field(default=128, ge=2, le=4096)
    """An embedding has this many numbers; 128 is published."""


class SaliencyModelRecipe(NetworkRecipe):
    """The section says which encoder and decoder are trained, from which weights.

    The encoder must give feature maps of several sizes.
    """

    decoder: Literal["unet", "unet++"] = "unet"
    """The decoder is a U-Net, or a U-Net++ as in MENTOR."""
    width: int = Field(default=128, ge=16, le=4096)
    """The deepest level of the decoder has this many channels; each level above has half as many."""
