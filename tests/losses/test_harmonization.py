"""Harmonization against loops, a network differentiated by hand, and what must not change it."""

from __future__ import annotations

import pytest
import torch

import pixels
from references import harmonization as slow
from salign.errors import SalignError
from salign.losses import LOSSES, harmonization
from salign.losses.harmonization import pyramid

every_way = pytest.mark.parametrize("colours", ["mean", "absolute"])


@every_way
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula_in_loops(colours: str, seed: int) -> None:
    gradients, humans = pixels.random_gradients(seed), pixels.random_humans(seed)
    expected = slow.harmonization(gradients.double().numpy(), pixels.one_by_one(humans), colours)
    found = harmonization(gradients, humans, pixels.ANNOTATED, colours=colours)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@every_way
def test_gradcheck(colours: str) -> None:
    humans, gradients = pixels.random_humans(), pixels.random_gradients().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda g: harmonization(g, humans, colours=colours), gradients)


@every_way
def test_the_module_differentiates_the_true_class_s_logit(colours: str) -> None:
    """Logits are linear in the pixels here, so the gradient is the class's weight, whatever the image."""
    batch, weight = pixels.random_batch(), pixels.random_weight()
    gradients = weight[batch.labels].double().numpy()
    expected = slow.harmonization(gradients, pixels.one_by_one(batch.saliency[:, 0]), colours)
    terms = pixels.terms(LOSSES["harmonization"](weight=2.0, colours=colours), weight, batch)
    assert terms.parts["saliency"].item() == pytest.approx(expected, rel=1e-5)
    assert terms.total.item() == pytest.approx(terms.parts["ce"].item() + 2 * expected, rel=1e-5)


def test_a_gradient_like_the_human_map_costs_nothing_whatever_its_scale() -> None:
    humans = pixels.random_humans()[:3]
    for scale, shift in ((1.0, 0.0), (1e-12, 0.0), (40.0, 3.0)):
        alike = (humans * scale + shift)[:, None].repeat(1, 3, 1, 1)
        assert harmonization(alike, humans).item() == pytest.approx(0, abs=1e-8)
    assert harmonization(-humans[:, None].repeat(1, 3, 1, 1), humans).item() > 0.1


@every_way
def test_sign_matters_for_the_mean_of_the_colours_alone(colours: str) -> None:
    gradients, humans = pixels.random_gradients(), pixels.random_humans()
    one, other = (harmonization(sign * gradients, humans, colours=colours).item() for sign in (1, -1))
    assert (one == pytest.approx(other, abs=1e-6)) == (colours == "absolute")


def test_a_small_shift_costs_less_than_a_large_one_only_because_of_the_coarse_levels() -> None:
    human = torch.zeros(1, 32, 32)
    human[0, 4:6, 4:6] = 1
    near, far = (torch.roll(human, by, 2)[:, None].repeat(1, 3, 1, 1) for by in (3, 22))
    assert harmonization(near, human).item() < 0.97 * harmonization(far, human).item()
    finest = [(human - other[:, 0]).square().mean().item() for other in (near, far)]
    assert finest[0] == finest[1]


def test_the_pyramid_halves_and_keeps_the_brightness_away_from_the_edge() -> None:
    levels = pyramid(torch.ones(1, 64, 48))
    assert [tuple(level.shape[1:]) for level in levels] == [(64, 48), (32, 24), (16, 12), (8, 6), (4, 3)]
    assert [round(level[0, level.shape[1] // 2, level.shape[2] // 2].item(), 6) for level in levels[:4]] == [1.0] * 4


def test_a_gradient_without_shape_is_a_map_of_zeros_and_gives_no_nan() -> None:
    humans = pixels.random_humans()[:1]
    gradient = torch.zeros(1, 3, *pixels.SIZE, requires_grad=True)
    found = harmonization(gradient, humans)
    found.backward()
    assert gradient.grad is not None
    assert gradient.grad.abs().max() == 0
    assert found.item() > 0.1  # the image still counts


def test_an_unknown_way_with_colours_is_refused() -> None:
    with pytest.raises(SalignError, match="colours: expected mean or absolute, got 'max'"):
        LOSSES["harmonization"](colours="max")
