"""VISER against loops, its gradient, and what its alpha does to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from guided_case import ANNOTATED, case, figures, made, slow_maps
from references import viser as slow
from salign.errors import SalignError
from salign.losses import LOSSES, cross_entropy
from salign.losses.viser import blend_terms, smoothed_distance


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_distance_equals_the_formula_in_loops(seed: int) -> None:
    cams, human = made(seed)
    expected = slow.smoothed_distance(cams.double().numpy(), slow_maps(human))
    assert smoothed_distance(cams, human, ANNOTATED).item() == pytest.approx(expected, abs=1e-6)


def test_gradcheck() -> None:
    cams, human = made()
    ce = torch.tensor(0.7).double().requires_grad_()

    def total(cams: Tensor, ce: Tensor) -> Tensor:
        return blend_terms(ce, smoothed_distance(cams, human))[0]

    assert torch.autograd.gradcheck(total, (cams.double().requires_grad_(), ce))


def test_the_smoothed_map_is_perfect_and_the_sharp_one_is_not() -> None:
    human = torch.zeros(1, 5, 5)
    human[0, 2, 2] = 1
    soft = torch.zeros(1, 5, 5)
    soft[0, 1:4, 1:4] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    assert smoothed_distance(soft - 3, human).item() == pytest.approx(0, abs=1e-12)
    assert smoothed_distance(human, human).item() == pytest.approx((4 * 0.25 + 4 * 0.0625) / 25)


@pytest.mark.parametrize(("apart", "sign"), [(0.40, -1), (0.43, 1)])
def test_alpha_pushes_maps_away_while_the_answer_is_much_worse_than_the_map(apart: float, sign: int) -> None:
    """Unless it is detached: the gradient by the distance changes its sign at sqrt(2) - 1 times the cross-entropy."""
    ce = torch.tensor(1.0)
    attached, detached = torch.tensor([apart] * 2).requires_grad_().unbind()
    (by_attached,) = torch.autograd.grad(blend_terms(ce, attached)[0], attached)
    (by_detached,) = torch.autograd.grad(blend_terms(ce, detached, detach=True)[0], detached)
    assert by_attached.item() * sign > 0.01
    assert by_detached.item() == pytest.approx(apart / (1 + apart), rel=1e-5)
    assert blend_terms(ce, attached)[0].item() == pytest.approx(slow.blended(1.0, apart), rel=1e-6)


@pytest.mark.parametrize("cam_class", ["true", "predicted"])
def test_the_module_takes_the_class_asked_for(cam_class: str) -> None:
    output, batch, cams = case()
    classes = batch.labels if cam_class == "true" else output.logits.argmax(1)
    assert not torch.equal(output.logits.argmax(1), batch.labels)
    asked = torch.stack([cams[k, one] for k, one in enumerate(classes.tolist())])
    apart = slow.smoothed_distance(asked.double().numpy(), slow_maps(batch.saliency[:, 0]))
    terms = LOSSES["viser"](cam_class=cam_class)(output, batch)
    total, ce, term = figures(terms)
    assert term == pytest.approx(apart, abs=1e-6)
    assert total == pytest.approx(slow.blended(ce, apart), rel=1e-5)
    assert terms.parts["share"].item() == pytest.approx(apart / (ce + apart), rel=1e-4)
    with pytest.raises(SalignError, match="cam_class: expected true or predicted, got 'all'"):
        LOSSES["viser"](cam_class="all")


def test_without_maps_loss_and_gradient_are_those_of_cross_entropy() -> None:
    output, batch, _ = case(annotated=torch.zeros(4).bool())
    weights = torch.tensor([1.0, 5.0, 0.25])
    plain = cross_entropy(output.logits, batch.labels, weights)
    loss = LOSSES["viser"](class_weights=weights)(output, batch).total
    assert torch.equal(loss, plain)
    (expected,) = torch.autograd.grad(plain, output.features, retain_graph=True)
    (found,) = torch.autograd.grad(loss, output.features)
    assert torch.equal(found, expected)
