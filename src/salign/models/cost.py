"""What a network costs: its size on disk, and the operations of one answer."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from salign.models.binary import BinaryConv2d
from salign.models.model import Model


class Cost(NamedTuple):
    """Size and operations of a network; for an ensemble, of all members together."""

    parameters: int
    """How many numbers were learned, whether of one bit or real."""
    bytes: int
    """Size on disk in bytes if a weight of one bit takes one bit, and everything else (factors of filters, statistics
    of batch norm, other weights) takes 32 bits."""
    multiply_adds: int
    """Multiplications of real numbers, each with its addition, for an answer to one image."""
    binary_operations: int
    """Multiplications of numbers of one bit, each with its addition. A processor does 64 of them in one or two
    instructions (XNOR and a count of bits)."""

    def __str__(self) -> str:
        """Describe the cost in words, with the units that people use."""
        binary = f" and {_short(self.binary_operations)} of one bit" if self.binary_operations else ""
        return (
            f"{_short(self.parameters)} parameters, {self.bytes / 1e6:.3g} MB, {_short(self.multiply_adds)} "
            f"multiply-adds{binary} per image"
        )


def count_cost(model: Model) -> Cost:
    """Count one forward pass of one image at the size that the model takes.

    Convolutions, linear layers and attention are counted, as is usual; sums, norms and activations are not. The model
    is not changed.
    """
    model = copy.deepcopy(model).eval()
    image = torch.zeros(1, 3, *model.image_size, device=next(model.parameters()).device)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(image)
    binary = {name: part for name, part in model.named_modules() if isinstance(part, BinaryConv2d) and part.binary}
    counts = counter.get_flop_counts()
    operations = sum(sum(counts[f"{type(model).__name__}.{name}"].values()) for name in binary) // 2
    packed = sum(part.weight.numel() for part in binary.values())
    numbers = sum(value.numel() for value in model.state_dict().values())
    factors = sum(len(part.weight) for part in binary.values())
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=-(-packed // 8) + 4 * (numbers - packed + factors),
        multiply_adds=counter.get_total_flops() // 2 - operations,
        binary_operations=operations,
    )


def _short(count: int) -> str:
    """Shorten a number for people: `1_782_690` -> `1.78 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
