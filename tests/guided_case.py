"""What tests of guided losses share: made maps, also as slow versions take them; an output with its batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from salign.losses import LossTerms
from salign.types import Batch, Output

B, K, SIZE = 4, 3, (5, 7)
ANNOTATED = torch.tensor([True, False, True, True])


def made(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Raw CAMs `(B, 5, 7)` and human maps of that size; the last map is all-equal, so three of four have a shape."""
    generator = torch.Generator().manual_seed(seed)
    human = torch.rand(B, *SIZE, generator=generator)
    human[human < 0.4] = 0
    human[3] = 0.25
    return torch.randn(B, *SIZE, generator=generator) * 5, human


def slow_maps(human: Tensor, annotated: Tensor = ANNOTATED) -> list[np.ndarray | None]:
    """Human maps for the slow versions: None where nobody looked."""
    return [one.double().numpy() if kept else None for one, kept in zip(human, annotated.tolist(), strict=True)]


def case(seed: int = 0, annotated: Tensor = ANNOTATED) -> tuple[Output, Batch, Tensor]:
    """An output with a linear head, a batch, and the CAMs of all classes `(B, K, 5, 7)`, computed by themselves."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(B, 6, *SIZE, generator=generator, requires_grad=True)
    weight = torch.randn(K, 6, generator=generator)

    def head(maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) @ weight.T

    _, human = made(seed)
    batch = Batch(torch.empty(0), torch.tensor([0, 1, 2, 0]), human[:, None], annotated, torch.arange(B))
    cams = torch.einsum("kc,bchw->bkhw", weight, features).detach()
    return Output(head(features), features, head, weight), batch, cams


def of_true_class(cams: Tensor, batch: Batch) -> Tensor:
    """`(B, K, h, w)` -> `(B, h, w)`."""
    return torch.stack([cams[k, label] for k, label in enumerate(batch.labels.tolist())])


def figures(terms: LossTerms) -> tuple[float, float, float]:
    """Total, cross-entropy and saliency part."""
    return terms.total.item(), terms.parts["ce"].item(), terms.parts["saliency"].item()
