"""Freezing of a part of a classifier: all weights learn, or the last block and the head, or the head alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import nn

from salign.checks import choice
from salign.errors import SalignError
from salign.models.heads import head_parts

Trainable = Literal["all", "last_block", "head"]


def freeze(net: Any, trainable: Trainable) -> tuple[nn.Module, ...]:
    """Freeze the weights of a timm network that shall not learn: they get no gradient any more.

    The last block is the last module that timm lists in `feature_info`; all weights after it learn, too.

    Args:
        net: the network.
        trainable: which weights learn: "all", "last_block" (and the head) or "head".

    Returns:
        The modules that learn nothing. They must stay in evaluation mode, so that batch norm neither learns from the
        images nor normalises by the batch; see `stay_frozen`.

    Raises:
        SalignError: timm does not tell which block of the network is the last.
    """
    choice("trainable", trainable, Trainable)
    if trainable == "all":
        return ()
    learns = {weight for part in head_parts(net) for weight in part.parameters()}
    if trainable == "last_block":
        block = _last_block(net)
        names = [name for name, _ in net.named_parameters()]
        first = next(number for number, name in enumerate(names) if name.startswith(f"{block}."))
        learns |= set(list(net.parameters())[first:])
    for weight in net.parameters():
        weight.requires_grad_(weight in learns)
    return tuple(part for part in net.modules() if (own := list(part.parameters())) and not learns & set(own))


def stay_frozen(parts: Iterable[nn.Module]) -> None:
    """Put frozen modules into evaluation mode; this is needed whenever the network was put into training mode."""
    for part in parts:
        part.eval()


def _last_block(net: Any) -> str:
    """Return the name of the module from which timm takes the last feature maps."""
    listed = [entry["module"] for entry in getattr(net, "feature_info", None) or ()]
    known = {name.rpartition(".")[0] for name, _ in net.named_parameters()}
    block = next((name for name in reversed(listed) if any(f"{each}.".startswith(f"{name}.") for each in known)), None)
    if block is None:
        raise SalignError(
            f"train.trainable: timm does not say which the last block of {type(net).__name__} is. Take head or all, or "
            "a backbone that says it (resnet, efficientnet, convnext, swin, vit)."
        )
    return str(block)
