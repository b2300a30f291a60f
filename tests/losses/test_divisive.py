"""Divisive Decisions against loops, its gradient, and that it concerns the human region alone."""

from __future__ import annotations

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, slow_maps
from references import divisive as slow
from salign.losses import LOSSES
from salign.losses.divisive import agreement_inside, strongest_false

REGION = torch.zeros(1, 4, 4)
REGION[0, :2] = 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(seed: int) -> None:
    (true, human), (false, _) = made(seed), made(seed + 10)
    expected = slow.agreement_inside(true.double().numpy(), false.double().numpy(), slow_maps(human))
    assert expected > 0.3
    assert agreement_inside(true, false, human, ANNOTATED).item() == pytest.approx(expected, abs=1e-6)


def test_gradcheck() -> None:
    (true, human), (false, _) = made(0), made(10)
    both = (true.double().requires_grad_(), false.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda t, f: agreement_inside(t, f, human), both)


def test_all_for_the_true_class_is_zero_the_same_is_a_half_all_for_the_false_class_is_one() -> None:
    inside, outside = REGION * 3 - 1, (1 - REGION) * 0.5
    assert agreement_inside(inside, outside, REGION).item() == 0
    assert agreement_inside(inside, inside, REGION).item() == 0.5
    assert agreement_inside(outside, inside, REGION).item() == 1


def test_what_happens_outside_does_not_matter_between_the_extremes() -> None:
    true, false = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    true[0, 0, :2] = false[0, 0, :2] = torch.tensor([0.0, 1.0])
    changed = torch.where(REGION > 0, true, 1 - true)
    assert agreement_inside(changed, false, REGION).item() == agreement_inside(true, false, REGION).item()


def test_the_module_sets_the_true_class_against_the_strongest_false_one() -> None:
    output, batch, cams = case()
    labels = batch.labels.tolist()
    false = slow.strongest_false(output.logits.tolist(), labels)
    assert strongest_false(output.logits, batch.labels).tolist() == false
    assert len({(label, other) for label, other in zip(labels, false, strict=True)}) > 2
    true_cams, false_cams = (
        torch.stack([cams[k, one] for k, one in enumerate(classes)]).double().numpy() for classes in (labels, false)
    )
    expected = slow.agreement_inside(true_cams, false_cams, slow_maps(batch.saliency[:, 0]))
    total, ce, term = figures(LOSSES["divisive"](weight=2.0)(output, batch))
    assert term == pytest.approx(expected, abs=1e-6)
    assert total == pytest.approx(ce + 2 * expected, rel=1e-5)
