"""With several processes, the gradients that they average are those of the whole batch in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from guided_case import case
from salign.losses import LOSSES
from salign.types import Output

NAMES = ("cyborg", "hbcam", "viser")
ANNOTATED = torch.tensor([True, True, False, False])
HALVES = (slice(0, 2), slice(2, 4))  # all the maps are in the first


def gradient(name: str, part: slice) -> torch.Tensor:
    """Of the saliency term alone, by the head's weight `(K, C)`, for some images of the batch."""
    output, batch, _ = case(annotated=ANNOTATED)
    features = output.features.detach()[part]
    weight = output.weight.clone().requires_grad_()

    def head(maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((2, 3)) @ output.weight.T  # constant, so the cross-entropy has no gradient

    some = batch.each(lambda values: values[part] if len(values) else values)
    LOSSES[name]()(Output(head(features), features, head, weight), some).total.backward()
    return weight.grad


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save({name: gradient(name, HALVES[rank]) for name in NAMES}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_average_to_the_gradient_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for name in NAMES:
        whole = gradient(name, slice(0, 4))
        assert whole.abs().max() > 1e-3
        assert torch.allclose((found[0][name] + found[1][name]) / 2, whole, rtol=1e-4, atol=1e-7), name
