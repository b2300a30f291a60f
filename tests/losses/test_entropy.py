"""Entropy of maps against loops, its gradient, and what the three losses made of it see."""

from __future__ import annotations

import math

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import entropy as slow
from salign.losses import LOSSES
from salign.losses.entropy import entropy_gap, map_entropy


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(seed: int) -> None:
    cams, human = made(seed)
    expected = [slow.map_entropy(cam) for cam in cams.double().numpy()]
    assert map_entropy(cams).tolist() == pytest.approx(expected, rel=1e-5)
    gap = slow.hbcam(cams.double().numpy(), slow_maps(human))
    assert gap > 0.01
    assert entropy_gap(cams, human, ANNOTATED).item() == pytest.approx(gap, rel=1e-4)


def test_gradcheck() -> None:
    cams, human = made()
    cams = cams.double().requires_grad_()
    assert torch.autograd.gradcheck(map_entropy, cams)
    assert torch.autograd.gradcheck(lambda c: entropy_gap(c, human), cams)


def test_one_cell_has_none_and_evenly_spread_cells_the_logarithm_of_their_number() -> None:
    maps = torch.zeros(4, 4, 4)
    maps[0, 1, 2] = 9
    maps[1, :2] = 0.3
    maps[2] = 5  # constant: spread over all cells
    maps[3, 0, 0] = -2  # the lowest is no evidence: spread over the other fifteen
    expected = [0, math.log(8), math.log(16), math.log(15)]
    assert map_entropy(maps).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_constant_map_has_no_gradient_and_cells_at_the_minimum_a_finite_one() -> None:
    maps = torch.ones(2, 4, 4)
    maps[1, :2] = 0
    maps.requires_grad_()
    map_entropy(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad[0].abs().max() == 0
    assert torch.isfinite(maps.grad).all()


def test_the_gap_is_that_of_means_and_not_a_mean_of_gaps() -> None:
    """Two images that exchange how spread out they are leave none."""
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0] = 1
    maps[1, :2] = 1
    assert entropy_gap(maps.flip(0), maps).item() == pytest.approx(0, abs=1e-12)
    assert entropy_gap(maps[:1], maps[1:]).item() == pytest.approx(math.log(8) ** 2, rel=1e-6)


@pytest.mark.parametrize("name", ["droid", "fmmce", "hbcam"])
def test_the_module_takes_the_true_class(name: str) -> None:
    output, batch, cams = case()
    total, ce, term = figures(LOSSES[name](weight=0.5)(output, batch))
    expected = getattr(slow, name)(of_true_class(cams, batch).double().numpy(), slow_maps(batch.saliency[:, 0]))
    assert term == pytest.approx(expected, rel=1e-4)
    assert total == pytest.approx(ce + 0.5 * expected, rel=1e-4)
