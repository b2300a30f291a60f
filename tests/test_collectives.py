"""Parts of a batch in two processes count as one batch in one."""

from __future__ import annotations

import socket
import sys

import pytest
import torch
from torch import distributed
from torch.nn import functional

from processes import Program
from salign.collectives import synced_batch_norm

PARTS = (slice(0, 2), slice(2, 5))
"""Of five images, those of each process."""


def inputs(dtype=torch.float64, shape=(5, 3, 4, 4)):
    random = torch.Generator().manual_seed(0)
    draw = [torch.randn(size, generator=random, dtype=torch.float64) for size in (shape, 3, 3, shape)]
    values, weight, bias, wanted = (part.to(dtype) for part in draw)
    return 2 * values + 1, weight, bias, wanted


def passes(values, weight, bias, wanted, last=False):
    """Batch norm, its gradients, and those of a term on the gradient by the values, as rrr has."""
    values, weight, bias = (part.clone().requires_grad_() for part in (values, weight, bias))
    if last:
        values = values.to(memory_format=torch.channels_last)
    mean, variance = torch.zeros(3, dtype=values.dtype), torch.ones(3, dtype=values.dtype)
    given = functional.batch_norm(values, mean, variance, weight, bias, True, 0.1, 1e-5)
    leaves = (values, weight, bias)
    first = torch.autograd.grad((given.sin() * wanted).sum(), leaves, retain_graph=True)
    (slope,) = torch.autograd.grad((given.sin() * wanted).sum(), values, create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), leaves)
    return {"given": given, "first": first, "second": second, "mean": mean, "variance": variance}


def one_of_two(rank, port, out, dtype, last):
    torch.set_num_threads(1)  # two that wait for each other spin on a busy machine
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
    values, weight, bias, wanted = inputs(getattr(torch, dtype))
    part = PARTS[int(rank)]
    with synced_batch_norm():
        torch.save(passes(values[part], weight, bias, wanted[part], last == "last"), out)
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "layout", "near"),
    [("float64", "first", 1e-10), ("float32", "last", 1e-4)],
    ids=["double", "channels last"],
)
def test_batch_norm_of_two_processes_is_that_of_one(dtype, layout, near, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parts = [tmp_path / "0.pt", tmp_path / "1.pt"]
    both = [Program(__file__, rank, port, out, dtype, layout) for rank, out in enumerate(parts)]
    assert [process.communicate(60) for process in both] == [("", "")] * 2
    found = [torch.load(out, weights_only=True) for out in parts]
    alone = passes(*inputs(torch.float64))

    def same(one, other):
        torch.testing.assert_close(one.double(), other, rtol=near, atol=near)

    same(torch.cat([part["given"] for part in found]), alone["given"])
    for order in ("first", "second"):
        by_values, by_weight, by_bias = zip(*(part[order] for part in found), strict=True)
        same(torch.cat(by_values), alone[order][0])
        same(sum(by_weight), alone[order][1])
        same(sum(by_bias), alone[order][2])
    for part in found:
        same(part["mean"], alone["mean"])
        same(part["variance"], alone["variance"])


if __name__ == "__main__":
    one_of_two(*sys.argv[1:])
