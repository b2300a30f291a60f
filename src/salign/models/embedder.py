"""A network that embeds images: a classifier's backbone with a projection on top, for pretraining without labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from salign.checks import images as check_images, number, sides
from salign.models.backbone import create
from salign.models.config import EMBEDDER, describe_embedder
from salign.models.encoder_net import EncoderNet


class Embedder(EncoderNet):
    """A network that turns images `(B, 3, H, W)` in [0, 1] into embeddings `(B, dimensions)` of length 1.

    The features that the backbone gives its classifier pass through two layers, as in MoCo v2 (arXiv 2003.04297).

    Args:
        backbone: a timm name.
        image_size: (H, W) of the images, or one number for a square.
        dimensions: how many numbers an embedding has; 128 is published.
        weights: weights of the backbone: None (random, drawn from `seed`), "imagenet", a .safetensors file or a run
            folder.
        output_stride: pixels per cell of the feature maps, where the backbone offers the choice.
        args: further keywords for `timm.create_model`.
        seed: decides all random weights.

    Raises:
        SalignError: the backbone cannot be built.
    """

    description = EMBEDDER
    describe = staticmethod(describe_embedder)

    def __init__(
        self,
        backbone: str,
        *,
        image_size: int | tuple[int, int] = 224,
        dimensions: int = 128,
        weights: str | None = None,
        output_stride: int | None = None,
        args: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        number("dimensions", dimensions, "[2, 4096]", whole=True)
        self.image_size: tuple[int, int] = sides("image_size", image_size)
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "image_size": list(self.image_size),
            "dimensions": dimensions,
            "output_stride": output_stride,
            "args": dict(args or {}),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = create(backbone, 0, output_stride, dict(args or {}))
            channels = int(getattr(self.encoder, "head_hidden_size", self.encoder.num_features))
            self.projection = nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, dimensions)
            )
        self._start_from(backbone, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings `(B, dimensions)` of images `(B, 3, H, W)` in [0, 1].

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        check_images(images, self)
        features = self.encoder((images - self.mean) / self.std)
        return functional.normalize(self.projection(features).float(), dim=1)
