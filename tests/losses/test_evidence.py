"""The evidence loss against loops, its gradient, and what must not change it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from references import evidence as slow
from salign.errors import SalignError
from salign.losses import LOSSES, evidence_outside
from salign.types import Batch, Output

B, K, SIZE = 4, 3, (5, 7)


def numbers(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, K, *SIZE, generator=generator) * 9, torch.rand(B, *SIZE, generator=generator)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(seed: int) -> None:
    cams, human = numbers(seed)
    annotated = torch.tensor([True, False, True, True])
    human[3] = 0.25  # all-equal: no region
    maps = [one.double().numpy() if keep else None for one, keep in zip(human, annotated.tolist(), strict=True)]
    expected = slow.evidence_outside(cams.double().numpy(), maps)
    assert evidence_outside(cams, human, annotated).item() == pytest.approx(expected, abs=1e-6)


def test_gradcheck() -> None:
    cams, human = numbers()
    assert torch.autograd.gradcheck(lambda c: evidence_outside(c, human), cams.double().requires_grad_())


def test_all_inside_is_zero_and_all_outside_is_one() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    inside = human[:, None] * torch.tensor([3.0, -1.0]).view(1, 2, 1, 1)
    assert evidence_outside(inside, human).item() == 0
    assert evidence_outside(inside.flip(2), human).item() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 50), st.floats(-5, 5))
def test_neither_scale_nor_what_all_classes_share_matters(seed: int, scale: float, shift: float) -> None:
    cams, human = numbers(seed)
    changed = cams * scale + shift * torch.randn(B, 1, *SIZE)
    assert evidence_outside(changed, human).item() == pytest.approx(evidence_outside(cams, human).item(), abs=1e-4)


def test_evidence_that_is_the_same_for_all_classes_counts_nothing() -> None:
    _, human = numbers()
    same = torch.randn(B, 1, *SIZE).repeat(1, K, 1, 1).requires_grad_()
    found = evidence_outside(same, human)
    found.backward()
    assert found.item() == 0
    assert same.grad is not None
    assert same.grad.abs().max() == 0
    assert evidence_outside(torch.zeros(B, K, *SIZE), human).item() == 0


def test_the_module_adds_the_weighted_share_and_ramps_it() -> None:
    generator = torch.Generator().manual_seed(0)
    features, weight = torch.randn(B, 6, *SIZE, generator=generator), torch.randn(K, 6, generator=generator)
    output = Output(features.mean((2, 3)) @ weight.T, features, lambda maps: maps.mean((2, 3)) @ weight.T, weight)
    _, human = numbers()
    batch = Batch(torch.empty(0), torch.tensor([0, 1, 2, 0]), human[:, None], torch.ones(B).bool(), torch.arange(B))
    cams = torch.einsum("kc,bchw->bkhw", weight, features)
    loss = LOSSES["evidence"](weight=3.0, ramp_epochs=1)
    first = loss(output, batch)
    loss.epoch = 5
    later = loss(output, batch)
    share = evidence_outside(cams, human).item()
    assert first.parts["saliency"].item() == pytest.approx(share, abs=1e-6)
    assert first.total.item() == pytest.approx(first.parts["ce"].item() + 1.5 * share, abs=1e-5)
    assert later.total.item() == pytest.approx(later.parts["ce"].item() + 3.0 * share, abs=1e-5)
    with pytest.raises(SalignError, match="weight: expected a number of 0 or more, got -1"):
        LOSSES["evidence"](weight=-1.0)
