"""Attention of a plain timm ViT from its weights, and rollout, as loops over images, heads and tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor


def attention(net: Any, images: Tensor) -> list[list[np.ndarray]]:
    """Per layer and image `(heads, N, N)`: softmax of `q . k / sqrt(d)`, one pair of tokens at a time."""
    tokens = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(images))))
    layers = []
    for block in net.blocks:
        heads, normal = block.attn.num_heads, block.norm1(tokens)
        whole = block.attn.qkv(normal).double().detach().numpy()
        found = []
        for image in whole:
            size = image.shape[1] // 3 // heads
            maps = np.zeros((heads, len(image), len(image)))
            for head in range(heads):
                q = image[:, head * size : (head + 1) * size]
                k = image[:, (heads + head) * size : (heads + head + 1) * size]
                for i in range(len(image)):
                    scores = [math.exp(sum(q[i] * k[j]) / math.sqrt(size)) for j in range(len(image))]
                    maps[head, i] = [score / sum(scores) for score in scores]
            found.append(maps)
        layers.append(found)
        tokens = block(tokens)
    return layers


def rolled(layers: list[np.ndarray]) -> np.ndarray:
    """`(heads, N, N)` per layer of one image -> `(N, N)`: what each token of the last layer is made of."""
    tokens = layers[0].shape[1]
    made = [[float(i == j) for j in range(tokens)] for i in range(tokens)]
    for layer in layers:
        mixed = [[0.0] * tokens for _ in range(tokens)]
        for i in range(tokens):
            for j in range(tokens):
                weight = 0.5 * sum(head[i, j] for head in layer) / len(layer) + 0.5 * (i == j)
                for k in range(tokens):
                    mixed[i][k] += weight * made[j][k]
        made = mixed
    return np.array(made)
