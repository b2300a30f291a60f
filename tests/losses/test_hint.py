"""HINT against loops over pairs, its gradient, and that order alone counts."""

from __future__ import annotations

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import cyborg as slow_distance, hint as slow
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.losses.hint import ranking_violation


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(seed: int) -> None:
    cams, human = made(seed)
    expected = slow.ranking_violation(cams.double().numpy(), slow_maps(human))
    assert expected > 0.5
    assert ranking_violation(cams, human, ANNOTATED).item() == pytest.approx(expected, rel=1e-5)


def test_gradcheck() -> None:
    cams, human = made()
    assert torch.autograd.gradcheck(lambda c: ranking_violation(c, human), cams.double().requires_grad_())


def test_any_map_in_people_s_order_is_perfect_and_its_reverse_is_not() -> None:
    _, human = made()
    assert ranking_violation(human[:2] ** 3 * 9 - 4, human[:2]).item() == 0
    assert ranking_violation(-human[:2], human[:2]).item() > 0.3


def test_nothing_is_asked_of_cells_that_people_rank_alike() -> None:
    """Nor of those that differ by what rounding in the resizing leaves."""
    human = torch.zeros(1, 224, 224)
    human[:, 112:] = 0.3  # cells of different sizes, whose averages differ in the last digit
    cam = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0))
    cam[:, :3] -= 9
    assert ranking_violation(cam, human).item() == 0


def test_one_pair_in_the_wrong_order_costs_its_difference() -> None:
    human = torch.tensor([[[0.0, 0.5, 1.0]]])
    assert ranking_violation(torch.tensor([[[0.0, 3.0, 1.0]]]), human).item() == pytest.approx(2 / 3)


def test_the_module_ranks_the_raw_map_of_the_true_class() -> None:
    output, batch, cams = case()
    total, ce, term = figures(LOSSES["hint"](weight=2.0)(output, batch))
    expected = slow.ranking_violation(of_true_class(cams, batch).double().numpy(), slow_maps(batch.saliency[:, 0]))
    assert term == pytest.approx(expected, rel=1e-5)
    assert total == pytest.approx(ce + 2 * expected, rel=1e-5)


def test_its_other_form_is_the_distance_of_grad_cam() -> None:
    output, batch, cams = case()
    _, _, term = figures(LOSSES["hint"](form="mse")(output, batch))
    positive = of_true_class(cams, batch).relu().double().numpy()
    assert term == pytest.approx(slow_distance.distance(positive, slow_maps(batch.saliency[:, 0])), abs=1e-6)
    with pytest.raises(SalignError, match="form: expected ranking or mse, got 'order'"):
        LOSSES["hint"](form="order")
