"""Energy, L1 and PPCE against loops, their gradients, and what each of them sees."""

from __future__ import annotations

import math

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import model_guidance as slow
from salign.losses import LOSSES
from salign.losses.model_guidance import energy_outside, l1_distance, pixel_cross_entropy

FUNCTIONS = {"energy": energy_outside, "l1_guidance": l1_distance, "ppce": pixel_cross_entropy}
every = pytest.mark.parametrize("name", FUNCTIONS)

REGION = torch.zeros(1, 4, 4)
REGION[0, :2] = 1


@every
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(name: str, seed: int) -> None:
    cams, human = made(seed)
    expected = getattr(slow, FUNCTIONS[name].__name__)(cams.double().numpy(), slow_maps(human))
    assert expected > 0.1
    assert FUNCTIONS[name](cams, human, ANNOTATED).item() == pytest.approx(expected, abs=1e-6)


@every
def test_gradcheck(name: str) -> None:
    cams, human = made()
    assert torch.autograd.gradcheck(lambda c: FUNCTIONS[name](c, human), cams.double().requires_grad_())


@every
def test_the_region_itself_is_perfect_at_any_strength_and_whatever_lies_below_zero(name: str) -> None:
    assert FUNCTIONS[name](REGION * 7 - (1 - REGION) * torch.rand(1, 4, 4), REGION).item() == 0


def test_evidence_all_outside_is_the_worst() -> None:
    outside = (1 - REGION) * 3
    assert energy_outside(outside, REGION).item() == 1
    assert l1_distance(outside, REGION).item() == 1
    assert pixel_cross_entropy(outside, REGION).item() == pytest.approx(-math.log(1e-3))


def test_one_cell_inside_satisfies_energy_alone() -> None:
    """What the paper says of it: energy asks nothing of the shape inside, the others ask that all of it is covered."""
    spot = torch.zeros(1, 4, 4)
    spot[0, 0, 0] = 2
    assert energy_outside(spot, REGION).item() == 0
    assert l1_distance(spot, REGION).item() == pytest.approx(7 / 16)
    assert pixel_cross_entropy(spot, REGION).item() == pytest.approx(7 / 8 * -math.log(1e-3))


def test_evidence_everywhere_satisfies_ppce_alone() -> None:
    everywhere = torch.ones(1, 4, 4)
    assert pixel_cross_entropy(everywhere, REGION).item() == 0
    assert energy_outside(everywhere, REGION).item() == pytest.approx(0.5)
    assert l1_distance(everywhere, REGION).item() == pytest.approx(0.5)


@every
def test_without_positive_evidence_there_is_no_gradient(name: str) -> None:
    cams = -torch.rand(1, 4, 4).requires_grad_()
    cams.retain_grad()
    FUNCTIONS[name](cams, REGION).backward()
    assert cams.grad is not None
    assert cams.grad.abs().max() == 0
    assert energy_outside(cams, REGION).item() == 0  # no evidence has no share


@every
def test_the_module_takes_the_true_class(name: str) -> None:
    output, batch, cams = case()
    total, ce, term = figures(LOSSES[name](weight=2.0)(output, batch))
    expected = FUNCTIONS[name](of_true_class(cams, batch), batch.saliency, ANNOTATED).item()
    assert term == pytest.approx(expected, abs=1e-6)
    assert total == pytest.approx(ce + 2 * expected, abs=1e-5)
