"""HAICS against loops, its gradient, and which cells it looks at."""

from __future__ import annotations

import math

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import haics as slow
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.losses.haics import cell_cross_entropy

both = pytest.mark.parametrize("cells", ["all", "marked"])

REGION = torch.zeros(1, 4, 4)
REGION[0, :2] = 1


@both
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(cells: str, seed: int) -> None:
    cams, human = made(seed)
    expected = slow.cell_cross_entropy(cams.double().numpy(), slow_maps(human), only_marked=cells == "marked")
    assert expected > 0.5
    assert cell_cross_entropy(cams, human, ANNOTATED, cells=cells).item() == pytest.approx(expected, rel=1e-5)


@both
def test_gradcheck(cells: str) -> None:
    cams, human = made()
    assert torch.autograd.gradcheck(lambda c: cell_cross_entropy(c, human, cells=cells), cams.double().requires_grad_())


@both
def test_the_region_is_nearly_free_and_its_inverse_costs_what_the_cut_allows(cells: str) -> None:
    assert cell_cross_entropy(REGION * 3, REGION, cells=cells).item() == pytest.approx(0.001, abs=1e-5)
    assert cell_cross_entropy(1 - REGION, REGION, cells=cells).item() == pytest.approx(-math.log(1e-3), rel=1e-5)


def test_cells_that_nobody_marked_count_unless_told_otherwise() -> None:
    cam = REGION.clone()
    cam[0, 3] = 0.7
    further = cam.clone()
    further[0, 3] = 0.9
    assert cell_cross_entropy(further, REGION, cells="marked").item() == pytest.approx(
        cell_cross_entropy(cam, REGION, cells="marked").item()
    )
    assert cell_cross_entropy(further, REGION).item() - cell_cross_entropy(cam, REGION).item() == pytest.approx(
        4 / 16 * math.log(3), rel=1e-4
    )


@both
def test_the_module_takes_grad_cam_of_the_true_class(cells: str) -> None:
    output, batch, cams = case()
    total, ce, term = figures(LOSSES["haics"](cells=cells, weight=0.5)(output, batch))
    positive = of_true_class(cams, batch).relu().double().numpy()
    expected = slow.cell_cross_entropy(positive, slow_maps(batch.saliency[:, 0]), only_marked=cells == "marked")
    assert term == pytest.approx(expected, rel=1e-5)
    assert total == pytest.approx(ce + 0.5 * expected, rel=1e-5)
    with pytest.raises(SalignError, match="cells: expected all or marked, got 'some'"):
        LOSSES["haics"](cells="some")
