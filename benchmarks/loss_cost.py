"""Cost of a training step with each loss, compared with cross-entropy; used by step_cost.py."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from rich.table import Table
from timing import ratio, take_turns
from torch import Tensor

from salign.losses import LOSSES, Loss, cross_entropy
from salign.models import Classifier
from salign.types import Batch

NETWORKS = ("resnet50", "densenet121")
BARE = "(bare double backward)"

Step = Callable[[], None]


def loss_of(loss: Loss, classifier: Classifier, batch: Batch) -> Tensor:
    """As every training loop has it."""
    loss.teacher = lambda images: classifier(images).logits  # stands for a teacher of the same size
    batch = loss.prepare(batch)
    return loss(classifier(batch.images), batch).total


def bare_double_backward(classifier: Classifier, batch: Batch) -> Tensor:
    """The least that a loss on the input gradient can cost: cross-entropy and the sum of that gradient's squares."""
    images = batch.images.detach().requires_grad_()
    logits = classifier(images).logits.float()
    (gradient,) = torch.autograd.grad(logits.gather(1, batch.labels[:, None]).sum(), images, create_graph=True)
    return cross_entropy(logits, batch.labels) + gradient.square().sum()


def measure_losses(
    name: str,
    batch: Batch,
    names: list[str],
    make_step: Callable[[Callable[[Classifier], Tensor]], Step],
    count_passes: Callable[[Step], int],
    *,
    rounds: int,
) -> list[dict[str, Any]]:
    """One row per loss, all of them by turns on the same network.

    Args:
        name: of the network.
        batch: what every step learns from.
        names: of the losses; cross-entropy is measured in any case, the bare step if a loss needs the gradient.
        make_step: a training step on a loss of the network.
        count_passes: how often a step goes forward through the network.
        rounds: timed steps of each.
    """
    losses = {loss: LOSSES[loss]().to(batch.images.device) for loss in dict.fromkeys(["ce", *names])}
    steps = {
        which: make_step(lambda classifier, loss=loss: loss_of(loss, classifier, batch))
        for which, loss in losses.items()
    }
    doubly = {which for which, loss in losses.items() if "input_gradient" in loss.needs}
    if doubly:
        steps[BARE] = make_step(lambda classifier: bare_double_backward(classifier, batch))
    passes = {which: count_passes(step) for which, step in steps.items()}
    seconds = take_turns(steps, rounds=rounds, title=f"{name}: {len(steps)} losses")
    return [
        {
            "network": name,
            "pixels": batch.images.shape[-1],
            "batch": len(batch.labels),
            "loss": which,
            "forward_passes": passes[which],
            "seconds": seconds[which],
            "over_ce": ratio(seconds[which], seconds["ce"]),
            "over_bare_double_backward": ratio(seconds[which], seconds[BARE]) if which in doubly else None,
        }
        for which in steps
    ]


def show_losses(rows: list[dict[str, Any]], setting: str) -> Table:
    """What `measure_losses` found."""
    table = Table(title=f"training step of each loss, {setting} (median of paired rounds, lowest to highest)")
    for column in ("network", "loss", "step", "/ ce", "passes", "/ bare double backward"):
        table.add_column(column, justify="left" if column in ("network", "loss") else "right")
    for row in rows:
        over, bare = row["over_ce"], row["over_bare_double_backward"]
        table.add_row(
            f"{row['network']} {row['pixels']} px",
            row["loss"],
            f"{1000 * median(row['seconds']):.0f} ms",
            _spread(over),
            str(row["forward_passes"]),
            _spread(bare) if bare else "",
        )
    return table


def _spread(of: dict[str, float]) -> str:
    return f"{of['median']:.3f} ({of['lowest']:.3f}-{of['highest']:.3f})"
