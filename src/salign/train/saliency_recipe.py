"""The recipe of a net that predicts human maps, and of pretraining with them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from salign.config import Section
from salign.train.recipe import NetworkRecipe, RunRecipe, TrainOptions


class SaliencyModelRecipe(NetworkRecipe):
    """Which encoder, from which weights, with which decoder; the backbone's features must form a pyramid."""

    decoder: Literal["unet", "unet++"] = "unet"
    """U-Net, or U-Net++ as in MENTOR."""
    width: int = Field(default=128, ge=16, le=4096)
    """Channels of the deepest level of the decoder, halved with every level up."""


class SaliencyLossRecipe(Section):
    """What is predicted, and how the distance to it is measured."""

    target: Literal["map", "image"] = "map"
    """The human map; or the image itself, the control for pretraining that sees as many images and no person."""
    name: Literal["mse", "bce", "kl", "cc", "dice"] = "mse"
    """A name of salign.losses.map_losses.MAP_LOSSES; images are always compared by mse."""


class SaliencyTrainRecipe(TrainOptions):
    """How it is optimised, on what, and which epoch is kept."""

    optimizer: Literal["sgd", "adamw"] = "adamw"
    """AdamW (with `weight_decay: 0` it is Adam), or SGD with momentum."""
    lr: float = Field(default=0.001, gt=0)
    """Highest learning rate."""
    select: Literal["loss", "last"] = "loss"
    """Which epoch's weights are kept: that of the lowest loss on validation, or the last."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the forward pass."""
    memory_format: Literal["contiguous", "channels_last"] = "channels_last"
    """Layout of images and weights."""


class SaliencyRecipe(RunRecipe):
    """Training of a net that predicts human maps; only the annotated images of the splits are used."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # MENTOR, Crum & Czajka, arXiv 2310.19545: the public notebook's pretraining. Not reproduced: its division by
        # zero for blank maps (which stay blank here), and transforms of the image that leave the map where it was.
        "mentor": {
            "data": {"image_size": 256, "augment": "none"},
            "model": {"weights": "imagenet", "decoder": "unet++"},
            "loss": {"target": "map", "name": "mse"},
            "train": {
                "epochs": 11,
                "batch_size": 4,
                "optimizer": "adamw",
                "lr": 1e-4,
                "weight_decay": 0.0,
                "schedule": "constant",
                "select": "loss",
            },
        },
    }
    model: SaliencyModelRecipe = SaliencyModelRecipe()
    loss: SaliencyLossRecipe = SaliencyLossRecipe()
    train: SaliencyTrainRecipe = SaliencyTrainRecipe()
