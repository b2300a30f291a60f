"""Right for the Right Reasons against loops, a network differentiated by hand, and what must not change it."""

from __future__ import annotations

import pytest
import torch

import pixels
from references import cyborg, rrr as slow
from salign.errors import SalignError
from salign.losses import LOSSES, gradient_outside

every_form = pytest.mark.parametrize("form", ["squared", "l1", "cosine"])


@every_form
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula_in_loops(form: str, seed: int) -> None:
    gradients, humans = pixels.random_gradients(seed), pixels.random_humans(seed)
    expected = slow.outside(gradients.double().numpy(), pixels.one_by_one(humans), form)
    found = gradient_outside(gradients, humans, pixels.ANNOTATED, form=form)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@every_form
def test_gradcheck(form: str) -> None:
    humans, gradients = pixels.random_humans(), pixels.random_gradients().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda g: gradient_outside(g, humans, form=form), gradients)


def test_the_module_differentiates_all_log_probabilities_by_the_pixels() -> None:
    batch, weight = pixels.random_batch(), pixels.random_weight()
    images = batch.images.double().numpy()
    gradients = slow.all_log_probabilities_by_pixels(weight.double().numpy(), images)
    expected = slow.outside(gradients, pixels.one_by_one(batch.saliency[:, 0]), "squared")
    logits = [[float((row * image).sum()) for row in weight.double().numpy()] for image in images]
    ce = cyborg.cross_entropy(torch.tensor(logits).numpy(), batch.labels.tolist())
    terms = pixels.terms(LOSSES["rrr"](weight=0.25), weight, batch)
    assert expected > 1
    assert terms.parts["saliency"].item() == pytest.approx(expected, rel=1e-5)
    assert terms.total.item() == pytest.approx(ce + 0.25 * expected, rel=1e-5)


@every_form
def test_a_step_down_the_term_makes_the_answer_depend_less_on_what_is_outside(form: str) -> None:
    batch, weight = pixels.random_batch(), pixels.random_weight().double().requires_grad_()
    batch, loss = batch._replace(images=batch.images.double()), LOSSES["rrr"](form=form)
    before = pixels.terms(loss, weight, batch)
    ce = pixels.terms(LOSSES["ce"](), weight, batch).total
    (slope,) = torch.autograd.grad(before.total - ce, weight)
    step = 1e-6 / slope.norm()
    after = pixels.terms(loss, (weight - step * slope).detach(), batch).parts["saliency"].item()
    assert before.parts["saliency"].item() - after == pytest.approx(1e-6 * slope.norm().item(), rel=1e-3)


@every_form
def test_inside_is_free_and_soft_edges_count_in_part(form: str) -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    gradient = torch.zeros(1, 3, 4, 4)
    gradient[0, :, :2] = 7
    assert gradient_outside(gradient, human, form=form).item() == 0
    gradient[0, 1, 3, 0] = -2
    assert gradient_outside(gradient, human, form=form).item() > 0
    soft = human.clone()
    soft[0, 3, 0] = 0.5
    expected = {"squared": (4, 1), "l1": (2, 1)}
    if form in expected:
        found = tuple(gradient_outside(gradient, one, form=form).item() for one in (human, soft))
        assert found == expected[form]


def test_the_cosine_is_one_where_all_lies_outside_alike_and_does_not_see_the_size() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    alike = (1 - human)[:, None].repeat(1, 3, 1, 1)
    assert gradient_outside(alike, human, form="cosine").item() == pytest.approx(1, abs=1e-6)
    gradients, humans = pixels.random_gradients(), pixels.random_humans()
    expected = gradient_outside(gradients, humans, form="cosine").item()
    for factor in (-1.0, 1e-25, 1e25):
        assert gradient_outside(factor * gradients, humans, form="cosine").item() == pytest.approx(expected, abs=1e-6)


@every_form
def test_a_network_that_looks_at_nothing_gives_zero_and_no_nan(form: str) -> None:
    gradients = torch.zeros(pixels.B, 3, *pixels.SIZE, requires_grad=True)
    found = gradient_outside(gradients, pixels.random_humans(), form=form)
    found.backward()
    assert found.item() == 0
    assert gradients.grad is not None
    assert torch.isfinite(gradients.grad).all()


def test_saturated_logits_give_no_nan() -> None:
    weight = (pixels.random_weight() * 1e4).requires_grad_()
    total = pixels.terms(LOSSES["rrr"](), weight, pixels.random_batch()).total
    total.backward()
    assert torch.isfinite(total)
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(SalignError, match="form: expected squared, l1 or cosine, got 'l2'"):
        LOSSES["rrr"](form="l2")
