"""The decomposition penalty against loops, that its parts add up to the logits, and what changes it."""

from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor

import pixels
from references import cdep as slow
from salign.losses import LOSSES, decomposition_outside, parts_of_logits
from salign.models import Classifier


def random_cams(seed: int = 0) -> Tensor:
    return torch.randn(pixels.B, pixels.K, *pixels.SIZE, generator=torch.Generator().manual_seed(seed)) * 9


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula_in_loops(seed: int) -> None:
    cams, humans = random_cams(seed), pixels.random_humans(seed)
    expected = slow.decomposition_outside(cams.double().numpy(), pixels.one_by_one(humans))
    assert decomposition_outside(cams, humans, pixels.ANNOTATED).item() == pytest.approx(expected, abs=1e-6)


def test_gradcheck() -> None:
    humans, cams = pixels.random_humans(), random_cams().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: decomposition_outside(c, humans), cams)


def test_parts_and_bias_add_up_to_the_logits_of_a_network() -> None:
    classifier = Classifier("test_resnet", ["a", "b", "c"], image_size=64).eval()
    torch.nn.init.normal_(classifier.backbone.net.get_classifier().bias)
    batch = pixels.random_batch()
    with torch.no_grad():
        output = classifier(torch.rand(2, 3, 64, 64))
        cams = output.cam(torch.arange(3).expand(2, -1))
        outside, inside = parts_of_logits(cams, batch.saliency[:2, 0, :2, :2])
        whole = outside + inside + classifier.backbone.net.get_classifier().bias
    assert torch.allclose(whole, output.logits, atol=1e-5)
    assert outside.abs().min() > 1e-4


def test_equal_parts_are_one_half_and_what_is_inside_alone_can_only_lower_it() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    assert decomposition_outside(torch.full((1, 2, 4, 4), 3.0), human).item() == 0.5
    inside = (4 * human)[:, None].repeat(1, 2, 1, 1)
    assert decomposition_outside(inside, human).item() == pytest.approx(1 / (1 + exp(2)))
    assert decomposition_outside(inside.flip(2), human).item() == pytest.approx(1 / (1 + exp(-2)))


def test_where_in_a_region_the_evidence_lies_does_not_matter() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2] = 1
    cams = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    moved = torch.cat([cams[:, :, :2].flip(2, 3), cams[:, :, 2:].flip(3)], 2)
    expected = decomposition_outside(cams, human).item()
    assert not torch.equal(moved, cams)
    assert decomposition_outside(moved, human).item() == pytest.approx(expected, abs=1e-6)


def test_huge_parts_give_no_nan() -> None:
    cams = (random_cams() * 1e6).requires_grad_()
    found = decomposition_outside(cams, pixels.random_humans())
    found.backward()
    assert 0 <= found.item() <= 1
    assert cams.grad is not None
    assert torch.isfinite(cams.grad).all()


def test_the_module_trains_a_network_towards_the_region() -> None:
    generator = torch.Generator().manual_seed(0)
    classifier = Classifier("test_resnet", ["a", "b", "c"], image_size=64, output_stride=8, seed=1).eval()
    left = (torch.arange(8) < 4).float().expand(pixels.B, 1, 8, 8)
    images = torch.rand(pixels.B, 3, 64, 64, generator=generator)
    images[..., 32:] /= 4  # the sides differ, so that a network can tell them apart
    batch = pixels.random_batch()._replace(images=images, saliency=left)
    optimiser, loss = torch.optim.SGD(classifier.parameters(), lr=0.05), LOSSES["cdep"](weight=5.0)
    shares = []
    for _ in range(12):
        optimiser.zero_grad()
        terms = loss(classifier(batch.images), batch)
        terms.total.backward()
        optimiser.step()
        shares.append(terms.parts["saliency"].item())
    assert shares[-1] < shares[0] - 0.02
