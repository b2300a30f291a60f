"""RRR-G against loops, and what its options do."""

from __future__ import annotations

import pytest
import torch

import pixels
from references import cyborg, rrr_grad_cam as slow
from salign.errors import SalignError
from salign.losses import LOSSES, grad_cam_outside
from salign.types import Output


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("clip", [None, 60.0])
def test_equals_the_formula_in_loops(seed: int, clip: float | None) -> None:
    maps, humans = pixels.random_gradients(seed)[:, 0].relu(), pixels.random_humans(seed)
    humans[3] = pixels.random_humans(seed + 1)[0]
    unclipped = slow.outside(maps.double().numpy(), pixels.one_by_one(humans))
    expected = slow.outside(maps.double().numpy(), pixels.one_by_one(humans), clip or float("inf"))
    assert (expected < unclipped) == (clip is not None)
    found = grad_cam_outside(maps, humans, pixels.ANNOTATED, clip=clip)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_gradcheck() -> None:
    humans, maps = pixels.random_humans(), pixels.random_gradients()[:, 0].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: grad_cam_outside(m, humans), maps)


def test_inside_is_free() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    assert grad_cam_outside(human * 5, human).item() == 0
    assert grad_cam_outside(human.flip(1) * 5, human).item() == 8 * 25


def test_beyond_the_clip_an_image_teaches_nothing_and_the_others_still_do() -> None:
    maps = torch.ones(2, 4, 4)
    maps[0] = 10
    human = torch.zeros(2, 4, 4)
    human[:, :2] = 1
    grad_cam_outside(maps.requires_grad_(), human, clip=100.0).backward()
    assert maps.grad is not None
    assert maps.grad[0].abs().max() == 0
    assert maps.grad[1, 2:].min() == 1  # 2 * 1, of two images
    assert maps.grad[1, :2].abs().max() == 0


@pytest.mark.parametrize(("scaled", "clip"), [(False, None), (True, None), (True, 1.0)])
def test_the_module_takes_the_grad_cam_of_the_true_class(scaled: bool, clip: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    features, weight = torch.randn(pixels.B, 5, *pixels.SIZE, generator=generator), torch.randn(3, 5)
    batch = pixels.random_batch()
    output = Output(features.mean((2, 3)) @ weight.T, features, torch.nn.Identity(), weight)
    cams = torch.einsum("bc,bchw->bhw", weight[batch.labels], features).relu().double().numpy() / (6 * 9)
    if scaled:
        cams = torch.stack([torch.from_numpy(cyborg.scaled(cam)) for cam in cams]).numpy()
    humans = pixels.one_by_one(batch.saliency[:, 0])
    expected = slow.outside(cams, humans, clip or float("inf"))
    assert (expected < slow.outside(cams, humans)) == (clip is not None)
    found = LOSSES["rrr_grad_cam"](scaled=scaled, clip=clip)(output, batch).parts["saliency"].item()
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_that_would_stop_all_learning_is_refused(clip: float) -> None:
    with pytest.raises(SalignError, match="clip: expected a number above 0, got"):
        LOSSES["rrr_grad_cam"](clip=clip)
