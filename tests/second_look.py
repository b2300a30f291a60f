"""A network of plain tensors that can be asked again, and a batch for it; both in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from salign.types import Batch, Output

B, K, SIZE = 5, 3, 8


class Small(nn.Module):
    """Patches of 2 x 2 pixels, one hidden layer, spatial mean, linear: `network(images) -> Output`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.patches = nn.Parameter(torch.randn(6, 3, 2, 2, generator=generator).double())
        self.weight = nn.Parameter(torch.randn(K, 6, generator=generator).double())
        self.seen: list[Tensor] = []

    def head(self, features: Tensor) -> Tensor:
        return features.mean((2, 3)) @ self.weight.T

    def forward(self, images: Tensor) -> Output:
        self.seen.append(images)
        features = functional.conv2d(images, self.patches, stride=2).tanh()
        return Output(self.head(features), features, self.head, self.weight, again=self)


def make_batch(seed: int = 0) -> Batch:
    """Five images; the third has no map, the last one's says the same everywhere."""
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.rand(B, 1, SIZE, SIZE, generator=generator)
    saliency[4] = 0.25
    return Batch(
        images=torch.rand(B, 3, SIZE, SIZE, generator=generator).double(),
        labels=torch.tensor([2, 0, 1, 0, 1]),
        saliency=saliency,
        annotated=torch.tensor([True, True, False, True, True]),
        index=torch.tensor([7, 3, 0, 11, 5]),
    )


def maps_of(batch: Batch) -> list:
    """The human maps for a slow reference; None where there is none."""
    pairs = zip(batch.saliency[:, 0].double().numpy(), batch.annotated.tolist(), strict=True)
    return [one if looked else None for one, looked in pairs]
