"""A network that predicts human saliency maps: a classifier's own backbone with a U-Net or U-Net++ decoder on it.

The encoder is the timm network itself, so that what it learns from people loads into a classifier without renaming a
key (MENTOR, Crum & Czajka, arXiv 2310.19545, whose own code copies weights between two libraries by position).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from salign.checks import choice, images as check_images, number, sides
from salign.errors import SalignError
from salign.models.backbone import create
from salign.models.config import NET, describe_net
from salign.models.encoder_net import EncoderNet
from salign.models.layout import to_maps

NARROWEST = 16
"""The least number of channels of a level of the decoder."""


class SaliencyNet(EncoderNet):
    """A network that turns images `(B, 3, H, W)` in [0, 1] into logits `(B, channels, H, W)`.

    With one channel, the sigmoid of the logits is the predicted map. The decoder ends at the finest level of the
    encoder (usually half the image's size); its output is enlarged from there.

    Args:
        backbone: a timm name whose features form a pyramid.
        image_size: (H, W) of the images, or one number for a square.
        decoder: "unet" (Ronneberger et al. 2015) or "unet++" (Zhou et al. 2018, without deep supervision).
        channels: 1 for maps; 3 to reconstruct images, which is the control for pretraining.
        width: channels of the deepest level of the decoder; every level up has half as many, but at least `NARROWEST`.
        weights: weights of the encoder: None (random, drawn from `seed`), "imagenet", a .safetensors file or a run
            folder.
        output_stride: pixels per cell of the deepest level, where the backbone offers the choice.
        args: further keywords for `timm.create_model`.
        seed: decides all random weights.

    Raises:
        SalignError: the backbone has no pyramid, or cannot be built.
    """

    description = NET
    describe = staticmethod(describe_net)

    def __init__(
        self,
        backbone: str,
        *,
        image_size: int | tuple[int, int] = 256,
        decoder: Literal["unet", "unet++"] = "unet",
        channels: int = 1,
        width: int = 128,
        weights: str | None = None,
        output_stride: int | None = None,
        args: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.image_size: tuple[int, int] = sides("image_size", image_size)
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "image_size": list(self.image_size),
            "decoder": decoder,
            "channels": channels,
            "width": width,
            "output_stride": output_stride,
            "args": dict(args or {}),
        }
        choice("decoder", decoder, DECODERS)
        choice("channels", channels, (1, 3))
        number("width", width, f"[{NARROWEST}, inf)", whole=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = create(backbone, 0, output_stride, dict(args or {}))
            shapes = _pyramid(self.encoder, backbone, self.image_size)
            self.decoder = DECODERS[decoder](shapes, width)
            self.head = nn.Conv2d(self.decoder.channels, channels, 3, padding=1)
        self._start_from(backbone, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(B, channels, H, W)` of images `(B, 3, H, W)` in [0, 1].

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        check_images(images, self)
        levels = _levels(self.encoder, (images - self.mean) / self.std)
        logits = self.head(self.decoder(levels))
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the maps `(B, H, W)`, float32 in [0, 1], of images `(B, 3, H, W)` in [0, 1]."""
        return self(images)[:, 0].float().sigmoid()

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load the network that was saved in `folder`, in evaluation mode, on the CPU, with channels_last weights."""
        return super().load(folder).to(memory_format=torch.channels_last)


def _levels(encoder: Any, images: Tensor) -> list[Tensor]:
    """Return feature maps `(B, C, h, w)` from fine to coarse; the classifier's head would get the coarsest.

    The final features take the place of the last intermediate ones, which trains every layer that a classifier starts
    from.
    """
    final, levels = encoder.forward_intermediates(images, output_fmt="NCHW")
    return [*levels[:-1], to_maps(encoder, final)]


def _pyramid(encoder: Any, name: str, image_size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return (C, h, w) of every level, from fine to coarse."""
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            final, levels = encoder.forward_intermediates(torch.zeros(2, 3, *image_size), output_fmt="NCHW")
            pyramid = levels if final.dim() == 3 else [*levels[:-1], to_maps(encoder, final)]
    except (AttributeError, AssertionError, RuntimeError) as error:
        raise SalignError(f"{name} does not give the features of its stages at {image_size}: {error}") from error
    finally:
        encoder.train(was_training)
    shapes = [(level.shape[1], level.shape[2], level.shape[3]) for level in pyramid]
    if len({shape[1:] for shape in shapes}) < 2:
        raise SalignError(
            f"{name}: all its features are {shapes[0][1]} x {shapes[0][2]} cells, which form no pyramid for a decoder. "
            "Take a network whose features shrink from stage to stage: resnet, efficientnet, densenet, convnext, swin."
        )
    return shapes


class _Block(nn.Sequential):
    """Two 3 x 3 convolutions, each with batch norm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


def _joined(fine: Sequence[Tensor], coarse: Tensor) -> Tensor:
    """Enlarge `coarse` to the size of `fine` (nearest) and put all of them together along the channels."""
    return torch.cat([*fine, functional.interpolate(coarse, size=fine[0].shape[-2:])], dim=1)


class UNet(nn.Module):
    """Decoder of U-Net: from the coarsest level up, it enlarges, joins the encoder's level, and convolves twice.

    Args:
        shapes: (C, h, w) of the encoder's levels from fine to coarse.
        width: channels of the deepest block.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], width: int) -> None:
        super().__init__()
        widths = _widths(len(shapes) - 1, width)
        below = [*widths[1:], shapes[-1][0]]
        self.blocks = nn.ModuleList(_Block(shapes[i][0] + below[i], widths[i]) for i in range(len(widths)))
        self.channels = widths[0]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Turn levels from fine to coarse into `(B, channels, h, w)` at the size of the finest level."""
        x = levels[-1]
        for i in reversed(range(len(self.blocks))):
            x = self.blocks[i](_joined([levels[i]], x))
        return x


class UNetPlusPlus(nn.Module):
    """Decoder of U-Net++.

    Node (i, j) sees all nodes (i, 0..j-1) of its level and the enlarged node (i+1, j-1). Node (i, 0) is level i of the
    encoder.

    Args:
        shapes: (C, h, w) of the encoder's levels from fine to coarse.
        width: channels of the deepest block.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], width: int) -> None:
        super().__init__()
        depth = len(shapes)
        widths = [*_widths(depth - 1, width), shapes[-1][0]]
        self.blocks = nn.ModuleDict()
        for j in range(1, depth):
            for i in range(depth - j):
                below = shapes[i + 1][0] if j == 1 else widths[i + 1]
                self.blocks[f"{i}_{j}"] = _Block(shapes[i][0] + (j - 1) * widths[i] + below, widths[i])
        self.channels = widths[0]

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Turn levels from fine to coarse into `(B, channels, h, w)` at the size of the finest level."""
        nodes = [[level] for level in levels]
        for j in range(1, len(levels)):
            for i in range(len(levels) - j):
                nodes[i].append(self.blocks[f"{i}_{j}"](_joined(nodes[i], nodes[i + 1][j - 1])))
        return nodes[0][-1]


def _widths(blocks: int, width: int) -> list[int]:
    """Return the channels of each level, from fine to coarse."""
    return [max(NARROWEST, width >> (blocks - 1 - i)) for i in range(blocks)]


DECODERS: dict[str, type[UNet] | type[UNetPlusPlus]] = {"unet": UNet, "unet++": UNetPlusPlus}
"""Name of a decoder -> its class."""
