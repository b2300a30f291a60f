"""Networks with activations and weights of one bit, registered with timm: `reactnet_012`, `_025`, `_050`, `_100`.

ReActNet (Liu et al., arXiv 2003.03488) is a MobileNet of 13 blocks whose first and last layers stay real. It is the
student of S2-BNN (Shen et al., arXiv 2102.08946). The code was written from the formulas of both papers.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from timm.layers import ClassifierHead
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.nn import functional

STAGES = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
"""Output channels of each block, by stage; every stage but the first halves the resolution."""
STEM = 32
"""Output channels of the first layer, which is real and halves the resolution."""


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (2 - 2 * x.abs()).clamp(min=0)


class _BinaryWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        scale = weight.abs().mean((1, 2, 3), keepdim=True)
        return torch.where(weight >= 0, scale, -scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return gradient * (weight.abs() < 1)


def sign(x: Tensor) -> Tensor:
    """Return -1 below zero and 1 elsewhere: one bit.

    Its derivative is zero almost everywhere, so the gradient of a piecewise quadratic function is used instead (Liu et
    al., *Bi-Real Net*, arXiv 1808.00278, eq. 7): 2 - 2 |x| between -1 and 1, and zero elsewhere.
    """
    bits: Tensor = _Sign.apply(x)
    return bits


def binary_weight(weight: Tensor) -> Tensor:
    """Return `sign(w) * mean|w|` of each filter: two values of one magnitude.

    The gradient passes to `weight` unchanged where |w| < 1, and is zero elsewhere; no gradient flows through the mean.

    Args:
        weight: `(filters, C, h, w)`.
    """
    values: Tensor = _BinaryWeight.apply(weight)
    return values


class BinaryConv2d(nn.Conv2d):
    """A convolution whose weights have one bit, with one real factor per filter; its edges are filled with zeros.

    Args:
        channels: channels of the input.
        filters: channels of the output.
        kernel: side of the filters in cells.
        stride: distance from one position of a filter to the next, in cells.
        dilation: distance from one weight of a filter to the next, in cells.
        binary: False keeps the weights real, as in the first of the two published steps of training.
    """

    def __init__(
        self, channels: int, filters: int, kernel: int, *, stride: int = 1, dilation: int = 1, binary: bool = True
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(channels, filters, kernel, stride, padding, dilation, bias=False)
        self.binary = binary

    def forward(self, images: Tensor) -> Tensor:
        """Convolve `(B, C, H, W)` to `(B, filters, h, w)`."""
        return self._conv_forward(images, binary_weight(self.weight) if self.binary else self.weight, None)


class Shift(nn.Module):
    """Adds a learned number per channel, which is zero at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` `(B, C, H, W)` plus the number of each channel."""
        return x + self.bias[:, None, None]


class RPReLU(nn.Sequential):
    """`PReLU(x + a) + b` with a slope and both shifts per channel (ReActNet, eq. 5)."""

    def __init__(self, channels: int) -> None:
        super().__init__(Shift(channels), nn.PReLU(channels), Shift(channels))


class BinaryUnit(nn.Module):
    """`RPReLU(norm(conv(sign(x + shift))) + x)`, where the added `x` is brought to the shape of the output.

    The added `x` is averaged where the resolution is halved, and repeated where there are more channels. A published
    block that doubles its channels has two convolutions; here they are the two halves of one convolution.

    Args:
        channels: channels of the input.
        width: channels of the output, a multiple of `channels`.
        kernel: side of the filters in cells.
        stride: 1 or 2.
        dilation: distance from one weight of a filter to the next, in cells.
        binary_weights: see `BinaryConv2d`.
    """

    def __init__(
        self, channels: int, width: int, kernel: int, stride: int = 1, dilation: int = 1, *, binary_weights: bool = True
    ) -> None:
        super().__init__()
        self.shift = Shift(channels)
        self.conv = BinaryConv2d(channels, width, kernel, stride=stride, dilation=dilation, binary=binary_weights)
        self.norm = nn.BatchNorm2d(width)
        self.act = RPReLU(width)
        self.stride, self.repeat = stride, width // channels

    def forward(self, x: Tensor) -> Tensor:
        """Turn `(B, channels, H, W)` into `(B, width, h, w)`."""
        y = self.norm(self.conv(sign(self.shift(x))))
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
        return self.act(y + x.repeat(1, self.repeat, 1, 1))


class ReActNet(nn.Module):
    """ReActNet with the interface of timm's networks: features, pyramid and head have the names that timm gives them.

    Args:
        width: factor by which the published channels are multiplied.
        num_classes: number of classes; 0 = no classifier.
        in_chans: channels of an image.
        global_pool: how the head pools.
        drop_rate: dropout before the classifier.
        output_stride: pixels per cell of the last feature maps, 8, 16 or 32.
        binary_weights: False keeps the weights real while activations have one bit.
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        output_stride: int = 32,
        binary_weights: bool = True,
    ) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride is 8, 16 or 32; got {output_stride}")
        self.num_classes, self.drop_rate = num_classes, drop_rate
        channels, reduction, dilation = round(STEM * width), 2, 1
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.feature_info: list[dict[str, Any]] = []
        stages = []
        for number, stage in enumerate(STAGES):
            blocks: list[nn.Module] = []
            for index, wide in enumerate(stage):
                stride = 2 if number and index == 0 else 1
                if stride * reduction > output_stride:
                    stride, dilation = 1, 2 * dilation
                reduction, after = stride * reduction, round(wide * width)
                blocks += [
                    BinaryUnit(channels, channels, 3, stride, dilation, binary_weights=binary_weights),
                    BinaryUnit(channels, after, 1, binary_weights=binary_weights),
                ]
                channels = after
            stages.append(nn.Sequential(*blocks))
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"stages.{number}"})
        self.stages = nn.Sequential(*stages)
        self.num_features = self.head_hidden_size = channels
        self.head = ClassifierHead(channels, num_classes, pool_type=global_pool, drop_rate=drop_rate)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # normal about zero: both signs are equally frequent
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        classifier: nn.Module = self.head.fc
        return classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one with random weights."""
        self.num_classes = num_classes
        self.head.reset(num_classes, pool_type=global_pool)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the feature maps `(B, C, h, w)` of images `(B, 3, H, W)`."""
        features: Tensor = self.stages(self.stem(images))
        return features

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Return the output of every stage from fine to coarse, as timm's networks do.

        It is `(last, stages)`, or the stages alone with `intermediates_only`.
        """
        chosen, last = feature_take_indices(len(self.stages), indices)
        levels, x = [], self.stem(x)
        for number, stage in enumerate(self.stages):
            if stop_early and number > last:
                break
            x = stage(x)
            if number in chosen:
                levels.append(x)
        return levels if intermediates_only else (x, levels)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits `(B, num_classes)` of feature maps `(B, C, h, w)`."""
        logits: Tensor = self.head(x, pre_logits=pre_logits)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(B, num_classes)` of images `(B, 3, H, W)`."""
        return self.forward_head(self.forward_features(images))


_WIDTHS = {"reactnet_012": 0.125, "reactnet_025": 0.25, "reactnet_050": 0.5, "reactnet_100": 1.0}
default_cfgs = generate_default_cfgs(
    {
        f"{name}.untrained": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "stem.0",
            "classifier": "head.fc",
        }
        for name in _WIDTHS
    }
)
"""What timm knows of the networks. There are no trained weights that timm could fetch."""


def _build(name: str, pretrained: bool, options: dict[str, Any]) -> ReActNet:
    features = {"out_indices": (0, 1, 2, 3, 4), "feature_cls": "getter"}
    net: ReActNet = build_model_with_cfg(
        ReActNet, name, pretrained, width=_WIDTHS[name], feature_cfg=features, **options
    )
    return net


@register_model
def reactnet_012(pretrained: bool = False, **options: Any) -> ReActNet:
    """Build a ReActNet with an eighth of the published channels."""
    return _build("reactnet_012", pretrained, options)


@register_model
def reactnet_025(pretrained: bool = False, **options: Any) -> ReActNet:
    """Build a ReActNet with a quarter of the published channels."""
    return _build("reactnet_025", pretrained, options)


@register_model
def reactnet_050(pretrained: bool = False, **options: Any) -> ReActNet:
    """Build a ReActNet with half of the published channels."""
    return _build("reactnet_050", pretrained, options)


@register_model
def reactnet_100(pretrained: bool = False, **options: Any) -> ReActNet:
    """Build ReActNet-A as published."""
    return _build("reactnet_100", pretrained, options)
