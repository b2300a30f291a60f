"""Losses of predicted maps against loops, their gradients, and what blank maps do to them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from references import map_losses as slow
from salign.losses.map_losses import MAP_LOSSES

every_loss = pytest.mark.parametrize("name", sorted(MAP_LOSSES))


def made(seed: int = 0, images: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, 5, 6, generator=generator, dtype=torch.float64) * 2
    return logits, torch.rand(images, 5, 6, generator=generator, dtype=torch.float64) ** 3


@every_loss
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_formula(name: str, seed: int) -> None:
    logits, maps = made(seed)
    assert float(MAP_LOSSES[name](logits, maps)) == pytest.approx(getattr(slow, name)(logits, maps), abs=1e-12)


@every_loss
def test_its_gradient_is_right(name: str) -> None:
    logits, maps = made(images=2)
    assert torch.autograd.gradcheck(lambda values: MAP_LOSSES[name](values, maps), logits.requires_grad_())


@every_loss
def test_the_human_map_itself_is_the_best_prediction(name: str) -> None:
    _, maps = made()
    maps = maps.clamp(0.02, 0.98) if name != "dice" else (maps > 0.3).double()
    logits = maps.clamp(1e-6, 1 - 1e-6).logit()
    best = float(MAP_LOSSES[name](logits, maps))
    for seed in range(5):
        noise = torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert float(MAP_LOSSES[name](logits + noise, maps)) > best
    if name != "bce":  # whose smallest value is the entropy of the map
        assert best == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["kl", "cc"])
def test_a_blank_map_does_not_count(name: str) -> None:
    logits, maps = made()
    maps[1] = 0
    kept = [0, 2]
    alone = MAP_LOSSES[name](logits[kept], maps[kept])
    torch.testing.assert_close(MAP_LOSSES[name](logits, maps), alone)
    logits.requires_grad_()
    nothing = MAP_LOSSES[name](logits, torch.zeros_like(maps))
    nothing.backward()
    assert nothing.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", ["mse", "bce", "dice"])
def test_a_blank_map_asks_for_nothing_anywhere(name: str) -> None:
    logits = torch.zeros(1, 4, 4, dtype=torch.float64, requires_grad=True)
    MAP_LOSSES[name](logits, torch.zeros(1, 4, 4, dtype=torch.float64)).backward()
    assert logits.grad is not None
    assert bool((logits.grad > 0).all())


@every_loss
def test_a_constant_prediction_gives_no_nan(name: str) -> None:
    _, maps = made()
    logits = torch.zeros_like(maps, requires_grad=True)
    loss = MAP_LOSSES[name](logits, maps)
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
