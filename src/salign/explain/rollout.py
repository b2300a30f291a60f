"""Attention rollout (Abnar & Zuidema 2020): from which patches a vision transformer gathered its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from salign.checks import tensors
from salign.errors import SalignError
from salign.explain.state import evaluating


def rollout(model: nn.Module, images: Tensor) -> Tensor:
    """Return how much of each patch reaches the answer through the attention of all layers, the same for every class.

    Each layer gives `A = 0.5 * W + 0.5 * I`, where `W` is the attention averaged over heads and `I` stands for the
    residual connection. The layers are joined by the product `A_L ... A_1`, last layer first (arXiv 2005.00928). The
    map is the row of the class token in this product or, if the network averages its patches (not in the paper), the
    mean of the patches' rows. Everything that the layers do besides attention is ignored. So the map is no evidence for
    a class, and no loss is made of it.

    Args:
        model: a vision transformer of timm in which every layer attends among all tokens (ViT, DeiT, EVA, BEiT), or any
            module that contains one. It is run in evaluation mode, without fused attention, and left as it was.
        images: `(B, 3, H, W)`, as the model wants them.

    Returns:
        `(B, h, w)` float32, not negative; together with the shares of the class and register tokens it sums to 1.

    Raises:
        SalignError: the model contains no such transformer.
    """
    tensors(images=(images, "float (B, 3, H, W)"))
    net = _transformer(model)
    with evaluating(model), torch.no_grad(), attention_of(net) as layers:
        model(images)
    if not layers or any(layer.dim() != 4 or layer.shape != layers[0].shape for layer in layers):
        shapes = ", ".join(sorted({str(tuple(layer.shape)) for layer in layers})) or "none"
        raise SalignError(f"rollout: expected attention (B, heads, N, N) of the same N in all layers, got {shapes}.")
    prefix: int = net.num_prefix_tokens
    joined = flow(layers)
    pooled = joined[:, 0] if getattr(net, "global_pool", "token") == "token" and prefix else joined[:, prefix:].mean(1)
    return pooled[:, prefix:].unflatten(1, _grid(pooled.shape[1] - prefix, images.shape[2], images.shape[3]))


def flow(layers: list[Tensor]) -> Tensor:
    """Join the attention `(B, heads, N, N)` of all layers, first layer first, to `(B, N, N)`.

    Row i of the result says how much of every input token is in token i at the end.
    """
    joined = torch.eye(layers[0].shape[-1], device=layers[0].device).expand(len(layers[0]), -1, -1)
    for layer in layers:
        joined = 0.5 * torch.bmm(layer.float().mean(1), joined) + 0.5 * joined
    return joined


@contextmanager
def attention_of(net: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the attention of every layer that runs inside the `with` block, in order.

    Fused kernels never hold the attention, so they are switched off inside the block. Afterwards the network is as it
    was before.
    """
    attention: list[Tensor] = []

    def look(dropout: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
        attention.append(args[0].detach())

    parts: list[Any] = [part for part in net.modules() if hasattr(part, "attn_drop")]
    fused = [(part, part.fused_attn) for part in parts if hasattr(part, "fused_attn")]
    hooks = [part.attn_drop.register_forward_hook(look) for part in parts]
    try:
        for part, _ in fused:
            part.fused_attn = False
        yield attention
    finally:
        for part, was in fused:
            part.fused_attn = was
        for hook in hooks:
            hook.remove()


def _transformer(model: nn.Module) -> Any:
    for part in model.modules():
        if hasattr(part, "num_prefix_tokens") and hasattr(part, "blocks"):
            return part
    raise SalignError(f"rollout: {type(model).__name__} holds no vision transformer of timm; take cam or rise instead.")


def _grid(patches: int, height: int, width: int) -> tuple[int, int]:
    side = (height * width / patches) ** 0.5
    grid = (round(height / side), round(width / side))
    if grid[0] * grid[1] != patches:
        raise SalignError(f"rollout: {patches} patches do not tile an image of {height} x {width} pixels.")
    return grid
