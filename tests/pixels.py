"""A network of one linear layer on the pixels, whose gradients can be written down, and numbers for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from salign.losses import Loss, LossTerms
from salign.types import Batch, Output

B, K, SIZE = 4, 3, (6, 9)
ANNOTATED = torch.tensor([True, False, True, True])


def random_gradients(seed: int = 0) -> Tensor:
    """`(B, 3, H, W)`."""
    return torch.randn(B, 3, *SIZE, generator=torch.Generator().manual_seed(seed)) * 3


def random_humans(seed: int = 0) -> Tensor:
    """`(B, H, W)`; the last is all-equal, and with ANNOTATED the second is missing."""
    humans = torch.rand(B, *SIZE, generator=torch.Generator().manual_seed(100 + seed))
    humans[3] = 0.25
    return humans


def one_by_one(humans: Tensor, annotated: Tensor = ANNOTATED) -> list[np.ndarray | None]:
    """As the references take them."""
    return [one.double().numpy() if looked else None for one, looked in zip(humans, annotated.tolist(), strict=True)]


def random_batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(B, 3, *SIZE, generator=generator)
    return Batch(images, torch.tensor([0, 1, 2, 0]), random_humans(seed)[:, None], ANNOTATED, torch.arange(B))


def random_weight(seed: int = 0) -> Tensor:
    """`(K, 3, H, W)`: logit k is the sum of weight k times the image."""
    return torch.randn(K, 3, *SIZE, generator=torch.Generator().manual_seed(200 + seed)) / 4


def terms(loss: Loss, weight: Tensor, batch: Batch) -> LossTerms:
    """The loss of that network."""
    batch = loss.prepare(batch)
    logits = torch.einsum("kcij,bcij->bk", weight, batch.images)
    return loss(Output(logits, batch.images, torch.nn.Identity()), batch)
