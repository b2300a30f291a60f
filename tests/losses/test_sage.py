"""The SAGE-style loss against loops, and what the order of nearness asks of a network."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from references import sage as slow
from salign.errors import SalignError
from salign.losses import LOSSES, jensen_shannon, keep_and_destroy, saliency_triplet
from second_look import SIZE, Small, make_batch, maps_of

COUNTS = torch.tensor([True, True, False, True, False])


def test_equals_the_formula_in_loops() -> None:
    batch, network = make_batch(), Small()
    pairs = [slow.copies(x, h, 0.25 * SIZE) for x, h in zip(batch.images.numpy(), maps_of(batch), strict=True)]
    kept, destroyed = (torch.stack([torch.from_numpy(pair[i]) for pair in pairs]) for i in (0, 1))
    output = network(batch.images)
    terms = LOSSES["sage"](weight=2.0, margin=0.3, sigma=0.25, consistency=3.0)(output, batch)
    assert len(network.seen) == 2
    torch.testing.assert_close(network.seen[1], torch.cat([kept, destroyed]), atol=1e-6, rtol=0)

    outputs = [output, network(kept), network(destroyed)]
    pooled = [each.features.mean((2, 3)).detach().numpy() for each in outputs]
    counts = [True, True, False, True, False]
    triplet = slow.triplet(*pooled, counts, 0.3)
    apart = slow.jensen_shannon(*(each.logits.detach().numpy() for each in outputs[:2]), counts)
    assert terms.parts["saliency"].item() == pytest.approx(triplet, abs=1e-5)
    assert terms.parts["consistency"].item() == pytest.approx(apart, abs=1e-5)
    assert terms.total.item() == pytest.approx(terms.parts["ce"].item() + 2 * triplet + 3 * apart, abs=1e-5)


def test_gradcheck() -> None:
    vectors = [torch.randn(5, 4).double().requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(lambda a, p, n: saliency_triplet(a, p, n, COUNTS, margin=1.0), vectors)
    assert torch.autograd.gradcheck(lambda a, b: jensen_shannon(a, b, COUNTS), vectors[:2])


def test_the_order_asked_for_costs_nothing_and_its_reverse_more_than_the_margin() -> None:
    image, other = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    counts = torch.tensor([True])
    assert saliency_triplet(image, image * 7, other, counts, margin=0.2).item() == 0
    assert saliency_triplet(image, other, image * 7, counts, margin=0.2).item() == pytest.approx(2.2)
    assert saliency_triplet(image, other, other, counts, margin=0.2).item() == pytest.approx(0.2)


def test_the_divergence_is_symmetric_and_ends_at_the_logarithm_of_two() -> None:
    first, second = torch.randn(5, 3), torch.randn(5, 3)
    there, back = jensen_shannon(first, second, COUNTS).item(), jensen_shannon(second, first, COUNTS).item()
    assert there == pytest.approx(back, abs=1e-6)
    assert jensen_shannon(first, first + 4, COUNTS).item() == pytest.approx(0, abs=1e-6)
    sure = torch.tensor([[1e4, 0.0]], requires_grad=True)
    found = jensen_shannon(sure, sure.flip(1), torch.tensor([True]))
    found.backward()
    assert found.item() == pytest.approx(math.log(2), abs=1e-5)
    assert sure.grad is not None
    assert torch.isfinite(sure.grad).all()


def test_the_copies_keep_and_destroy_the_region_and_leave_images_without_one() -> None:
    batch = make_batch()
    region = torch.zeros(5, SIZE, SIZE)
    region[:4, 2:6, 2:6] = 0.5
    kept, destroyed, counts = keep_and_destroy(batch.images, region, batch.annotated, sigma=2.0)
    assert counts.tolist() == [True, True, False, True, False]
    for i in (0, 1, 3):
        assert torch.equal(kept[i, :, 2:6, 2:6], batch.images[i, :, 2:6, 2:6])
        assert torch.equal(destroyed[i, :, :2], batch.images[i, :, :2])
        for copy, changed in ((kept, slice(0, 2)), (destroyed, slice(2, 6))):
            assert copy[i, :, changed, 2:6].std() < 0.5 * batch.images[i, :, changed, 2:6].std()
    for i in (2, 4):
        assert torch.equal(kept[i], batch.images[i])
        assert torch.equal(destroyed[i], batch.images[i])


def test_features_that_vanish_give_no_nan() -> None:
    zero = torch.zeros(1, 4, requires_grad=True)
    saliency_triplet(zero, torch.ones(1, 4), torch.ones(1, 4), torch.tensor([True]), margin=0.2).backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("options", [{"margin": -1.0}, {"consistency": -1.0}, {"sigma": 0.0}, {"sigma": 2.0}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SalignError, match=f"{next(iter(options))}.*: expected"):
        LOSSES["sage"](**options)


def test_an_output_without_its_network_is_refused() -> None:
    batch = make_batch()
    with pytest.raises(SalignError, match="sage looks at changed images"):
        LOSSES["sage"]()(replace(Small()(batch.images), again=None), batch)
