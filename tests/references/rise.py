"""RISE, one mask and one image at a time."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def rise(model, images, classes, *, masks, grid, keep, generator):
    height, width = images.shape[-2:]
    cell = math.ceil(height / grid), math.ceil(width / grid)
    cells = (torch.rand(masks, grid, grid, generator=generator) < keep).float()
    down = torch.randint(cell[0], (masks,), generator=generator)
    right = torch.randint(cell[1], (masks,), generator=generator)
    maps = torch.zeros(len(images), height, width)
    for b in range(len(images)):
        for i in range(masks):
            size = ((grid + 1) * cell[0], (grid + 1) * cell[1])
            large = functional.interpolate(cells[i][None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
            mask = large[down[i] : down[i] + height, right[i] : right[i] + width]
            with torch.no_grad():
                score = model(images[b : b + 1] * mask).logits.softmax(1)[0, classes[b]]
            maps[b] += score * mask
    return maps / (keep * masks)
