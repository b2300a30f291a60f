"""The dose of a term: how hard it pulls at the last feature maps, as a multiple of the pull of cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from salign.checks import number
from salign.collectives import over_processes, share
from salign.types import Output

MEMORY = 0.99
"""Share of the running means of the norms that each step keeps; in the first steps they are plain averages."""


class Dose(nn.Module):
    """Chooses the weight of a term in every step, so that a dose means the same for every loss, network and image set.

    `weight = dose * |d CE / d F| / |d term / d F|`, where `F` are the last feature maps of all passes of the step, and
    both norms are running means. With a dose of 1 the term pulls as hard as cross-entropy. The idea is that of GradNorm
    (Chen et al. 2018, arXiv 1711.02257), which measures at shared weights and learns the ratio. The norms are kept in a
    persistent buffer, so that a resumed training is exact. Each step costs two further backward passes, through the
    head alone.

    Args:
        dose: pull of the term as a multiple of the pull of cross-entropy, above 0.
    """

    norms: Tensor
    """`(2,)` float32: running means of the norms of the gradients of cross-entropy and of the term; zeros at first."""
    steps: Tensor
    """Int64 scalar: number of steps that were measured."""

    def __init__(self, dose: float) -> None:
        super().__init__()
        number("dose", dose, "(0, inf)")
        self.dose = dose
        self.register_buffer("norms", torch.zeros(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, ce: Tensor, term: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Measure this step if gradients are recorded, and return the weight, without a graph.

        A step in which the term has no gradient, for instance because no image is annotated, is not measured.

        Args:
            ce: scalar, the cross-entropy.
            term: scalar, unweighted.
            features: feature maps `(B, C, h, w)` of each pass; see `views_of`.

        Returns:
            Scalar; 0 before any step was measured.
        """
        if torch.is_grad_enabled() and ce.requires_grad and term.requires_grad:
            self._learn(torch.stack([gradient_norm(scalar, features) for scalar in (ce, term)]))
        ce_norm, term_norm = self.norms
        return torch.where(term_norm > 0, self.dose * ce_norm / term_norm, 0.0)

    def _learn(self, norms: Tensor) -> None:
        measured = (norms[1] > 0) & norms.isfinite().all()
        stays = (self.steps / (self.steps + 1)).clamp(max=MEMORY)
        self.norms.copy_(torch.where(measured, stays * self.norms + (1 - stays) * norms, self.norms))
        self.steps.add_(measured.long())


def gradient_norm(scalar: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of the gradient of a scalar by several tensors together, in float32.

    The graph is kept. With several processes, each of which has its own images, the norm is over the images of all.
    """
    with torch.autocast(scalar.device.type, enabled=False):
        gradients = torch.autograd.grad(scalar, list(features), retain_graph=True, allow_unused=True)
    squares = [(share() * gradient.float()).square().sum() for gradient in gradients if gradient is not None]
    total, _ = over_processes(torch.stack(squares).sum() if squares else scalar.new_zeros(()).float())
    return total.sqrt()


def views_of(output: Output) -> tuple[Output, list[Tensor]]:
    """Return the same output, and a list of its feature maps to which every further pass by `again` adds its own."""
    features, again = [output.features], output.again
    if again is None:
        return output, features

    def look(images: Tensor) -> Output:
        seen = again(images)
        features.append(seen.features)
        return seen

    return replace(output, again=look), features
