"""Group distributionally robust optimisation: the worst groups of images weigh the most."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from salign.checks import number, tensors, values
from salign.collectives import over_processes
from salign.errors import SalignError
from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropies
from salign.types import Batch, Output


def group_dro(
    losses: Tensor,
    groups: Tensor,
    shares: Tensor,
    *,
    step_size: float = 0.01,
    adjustment: float = 0.0,
    sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Take one step of group DRO (Sagawa et al., arXiv 1911.08731, algorithm 1) on every group of a batch at once.

    `l_g` is the mean loss of the images of group g, 0 for a group without images in the batch. The shares become
    `q_g <- q_g exp(step_size * (l_g + adjustment / sqrt(n_g)))`, scaled to a sum of 1, and the loss is `sum_g q_g l_g`.
    This is what the authors' code does. With several processes the images of all of them are counted.

    Args:
        losses: `(B,)`, the loss of each image.
        groups: `(B,)` int64 in [0, G), the group of each image.
        shares: `(G,)`, the shares `q_g` before this step.
        step_size: step of the exponentiated gradient; 0 keeps the shares.
        adjustment: this number over the root of a group's size is added to its loss, because small groups generalise
            worse.
        sizes: `(G,)`, the number `n_g` of training images of each group; needed where there is an adjustment.

    Returns:
        The loss, and the new shares `(G,)` without a graph.

    Raises:
        SalignError: the shapes do not fit, a number is out of its range, or sizes are missing.
    """
    tensors(
        losses=(losses, "float (B,)"), groups=(groups, "int64 (B,)"), shares=(shares, "float (G,)"),
        sizes=(sizes, "real (G,) or None"),
    )  # fmt: skip
    values("groups", groups, f"[0, {len(shares) - 1}]")
    number("step_size", step_size, "[0, inf)")
    number("adjustment", adjustment, "[0, inf)")
    if adjustment and sizes is None:
        raise SalignError("adjustment: it goes by the number of training images of each group; give sizes.")
    sums = shares.new_zeros(2, len(shares))
    sums = sums.index_add(1, groups, torch.stack([losses.detach(), torch.ones_like(losses)]).to(sums))
    (totals, counts), factor = over_processes(sums)
    means = totals / counts.clamp(min=1)
    if sizes is not None:
        means = means + adjustment / sizes.to(means).sqrt()
    raised = shares * torch.exp(step_size * means)
    renewed = raised / raised.sum()
    each = (renewed / counts.clamp(min=1))[groups]
    return (each * losses).sum() * factor, renewed


class GroupDro(Loss):
    """Cross-entropy in which groups with a higher loss so far weigh more (arXiv 1911.08731).

    The groups are the combinations of the values of the columns in `data.groups` and of the class; people's maps are
    not looked at. If `tell_groups` was not called, as in a loop of your own, the classes are the groups. Small batches
    contain few images of small groups, so the authors draw every group equally often (`data.sampling: groups`).

    Args:
        step_size: The weights of the groups follow the losses with this step size; 0.01 is published.
        adjustment: This number over the root of a group's size is added to its loss when the weights are computed; the
            published search takes 0 to 5.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"groups"})
    guided = False
    groups: Tensor
    shares: Tensor
    sizes: Tensor

    def __init__(
        self, *, step_size: float = 0.01, adjustment: float = 0.0, class_weights: Tensor | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        number("step_size", step_size, "[0, inf)")
        number("adjustment", adjustment, "[0, inf)")
        self.step_size, self.adjustment = step_size, adjustment

    def tell_groups(self, groups: Tensor) -> None:
        """Set the group of every training image, `(N,)` int64 from 0 on."""
        tensors(groups=(groups, "int64 (N,)"))
        sizes = torch.bincount(groups)
        self.register_buffer("groups", groups, persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("shares", torch.full((len(sizes),), 1 / len(sizes)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *options: Any) -> None:
        """Load the weights of the groups, also before the first batch has said how many there are."""
        if (shares := state_dict.get(f"{prefix}shares")) is not None and not hasattr(self, "shares"):
            self.register_buffer("shares", torch.empty_like(shares))
        super()._load_from_state_dict(state_dict, prefix, *options)

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch; the weights of the groups change if gradients are recorded."""
        if not hasattr(self, "shares"):
            classes = output.logits.shape[1]
            self.register_buffer("shares", output.logits.new_full((classes,), 1 / classes, dtype=torch.float32))
        by_index = hasattr(self, "groups")
        losses = cross_entropies(output.logits, batch.labels, self.class_weights, batch.targets)
        total, shares = group_dro(
            losses,
            self.groups[batch.index] if by_index else batch.labels,
            self.shares,
            step_size=self.step_size,
            adjustment=self.adjustment,
            sizes=self.sizes if by_index else None,
        )
        if torch.is_grad_enabled():
            self.shares.copy_(shares)
        return LossTerms(total, {"ce": losses.detach().mean()})
