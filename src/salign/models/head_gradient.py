"""The gradient of a head in closed form, so that a head-gradient map is a plain graph that can be exported.

If a head first takes the spatial mean v of the feature maps and then applies layers of the kinds below,
`d logit_c / d features[k, cell] = (d logit_c / d v_k) / (h w)` holds in every cell. The head-gradient map is then
`sum_k (d logit_c / d v_k) features[k]`. This is not taken for granted: the map is compared with that of autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from salign.models.proof import equal
from salign.types import Output

_SLOPES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: lambda x: (x > 0).to(x.dtype),
    nn.GELU: lambda x: 0.5 * (1 + torch.erf(x / 2**0.5)) + x * torch.exp(-x * x / 2) / (2 * math.pi) ** 0.5,
    nn.SiLU: lambda x: x.sigmoid() * (1 + x * (1 - x.sigmoid())),
    nn.Hardswish: lambda x: torch.where(x > 3, 1.0, torch.where(x < -3, 0.0, x / 3 + 0.5)),
    nn.Tanh: lambda x: 1 - x.tanh() ** 2,
}
"""Activation -> its derivative."""
_MATRICES, _NORMS = (nn.Linear, nn.Conv2d), (nn.LayerNorm, nn.BatchNorm2d, nn.BatchNorm1d)


def fold_head(model: nn.Module, output: Output) -> list[Any] | None:
    """Return the layers of a head whose gradient has a closed form.

    Args:
        model: a model in evaluation mode; the layers of the head are among its modules.
        output: the output of one pass of the model, whose head is not linear.

    Returns:
        The layers in the order in which they run; None if the head does something else than `rows_of` computes.
    """
    layers: list[Any] = []
    known = (*_SLOPES, *_MATRICES, *_NORMS)
    parts = [part for part in model.modules() if isinstance(part, known)]
    hooks = [part.register_forward_hook(lambda part, *_: layers.append(part)) for part in parts]
    features = torch.randn(output.features.shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            logits = output.head(features)
    finally:
        for hook in hooks:
            hook.remove()
    classes = torch.eye(logits.shape[1]).expand(len(logits), -1, -1)
    expected = torch.stack([Output(logits, features, output.head).cam(row) for row in classes.unbind(1)], dim=1)
    try:
        with torch.no_grad():
            maps = torch.einsum("bnc,bchw->bnhw", rows_of(layers, features.mean((2, 3)), classes), features)
    except (RuntimeError, IndexError, ValueError):
        return None  # the layers do not run one after the other
    return layers if equal(maps, expected.detach()) else None


def rows_of(layers: list[Any], pooled: Tensor, classes: Tensor) -> Tensor:
    """Return the gradient of combinations of logits by the pooled features.

    Args:
        layers: the layers of the head, in order.
        pooled: `(B, C)`, the spatial mean of the feature maps.
        classes: `(B, n, K)`, the coefficient of each logit in each combination.

    Returns:
        `(B, n, C)`.
    """
    inputs, x = [], pooled
    for layer in layers:
        inputs.append(x)
        x = _forward(layer, x)
    rows = classes
    for layer, x in zip(reversed(layers), reversed(inputs), strict=True):
        rows = _backward(layer, x, rows)
    return rows


def _forward(layer: Any, x: Tensor) -> Tensor:
    if isinstance(layer, _MATRICES):
        return functional.linear(x, layer.weight.flatten(1), layer.bias)
    if isinstance(layer, nn.LayerNorm):
        return functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)
    if isinstance(layer, _NORMS):
        norm = cast(Any, layer)
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    y: Tensor = layer(x.clone())  # the layer may work in place
    return y


def _backward(layer: Any, x: Tensor, rows: Tensor) -> Tensor:
    """Multiply `rows` by the Jacobian of the layer at `x`: `(B, n, outputs)` -> `(B, n, inputs)`."""
    if isinstance(layer, _MATRICES):
        return rows @ layer.weight.flatten(1)
    if isinstance(layer, nn.LayerNorm):
        centred = x - x.mean(1, keepdim=True)
        spread = (centred.square().mean(1, keepdim=True) + layer.eps).rsqrt()
        normal = (centred * spread)[:, None]
        rows = rows if layer.weight is None else rows * layer.weight
        return (rows - rows.mean(2, keepdim=True) - normal * (rows * normal).mean(2, keepdim=True)) * spread[:, None]
    if isinstance(layer, _NORMS):
        norm = cast(Any, layer)
        scale = (norm.running_var + norm.eps).rsqrt()
        scaled: Tensor = rows * (scale if norm.weight is None else scale * norm.weight)
        return scaled
    slope = next(slope for kind, slope in _SLOPES.items() if isinstance(layer, kind))
    return rows * slope(x)[:, None]
