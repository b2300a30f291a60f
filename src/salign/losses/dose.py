"""The dose of a term: how hard it pulls at the last feature maps, as a multiple of how hard cross-entropy does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from salign.checks import number
from salign.collectives import over_processes, share
from salign.types import Output

MEMORY = 0.99
"""Share of the running means of the norms that stays in a step; the first steps are averaged plainly."""


class Dose(nn.Module):
    """Chooses the weight of a term in every step, so that a dose means the same for every loss, network and image set.

    `weight = dose * |d CE / d F| / |d term / d F|`, with `F` the last feature maps of all passes of the step, and
    running means of both norms, after the idea of GradNorm (Chen et al. 2018, arXiv 1711.02257), which measures at
    shared weights and learns the ratio. A dose of 1 makes the term pull as hard as cross-entropy. The norms lie in a
    persistent buffer, so that a resumed training is exact. A step costs two ways back through the head alone.

    Args:
        dose: above 0.
    """

    norms: Tensor
    """`(2,)` float32: running means of the norms of cross-entropy's and the term's gradient; zeros at first."""
    steps: Tensor
    """Int64 scalar: steps that were measured."""

    def __init__(self, dose: float) -> None:
        super().__init__()
        number("dose", dose, "(0, inf)")
        self.dose = dose
        self.register_buffer("norms", torch.zeros(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, ce: Tensor, term: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Measure this step, where gradients are recorded, and give the weight, without graph.

        A step in which the term has no gradient, as without annotated images, is not measured.

        Args:
            ce: scalar.
            term: scalar, unweighted.
            features: `(B, C, h, w)` each; see `views_of`.

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
    """Euclidean norm of the gradient of a scalar by all of several tensors; the graph stays, and float32 is given.

    With several processes, each of which has its own images, it is the norm over the images of all.
    """
    with torch.autocast(scalar.device.type, enabled=False):
        gradients = torch.autograd.grad(scalar, list(features), retain_graph=True, allow_unused=True)
    squares = [(share() * gradient.float()).square().sum() for gradient in gradients if gradient is not None]
    total, _ = over_processes(torch.stack(squares).sum() if squares else scalar.new_zeros(()).float())
    return total.sqrt()


def views_of(output: Output) -> tuple[Output, list[Tensor]]:
    """The same output, and a list of its feature maps, to which every further pass by `again` adds its own."""
    features, again = [output.features], output.again
    if again is None:
        return output, features

    def look(images: Tensor) -> Output:
        seen = again(images)
        features.append(seen.features)
        return seen

    return replace(output, again=look), features
