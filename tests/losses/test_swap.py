"""The swap loss against loops, whose surroundings are taken, and which networks it finds no fault with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from references import swap as slow
from salign.errors import SalignError
from salign.losses import LOSSES, swap_consistency, swap_regions
from salign.losses.swap import partners
from salign.types import Output
from second_look import SIZE, Small, make_batch, maps_of


@pytest.mark.parametrize("form", ["ce", "kl"])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula_in_loops(form: str, seed: int) -> None:
    batch, network = make_batch(seed), Small(seed)
    humans, labels = maps_of(batch), batch.labels.tolist()
    views = slow.swapped(batch.images.numpy(), labels, humans, batch.index.tolist())
    output = network(batch.images)
    terms = LOSSES["swap"](weight=0.7, form=form)(output, batch)
    assert len(network.seen) == 2
    torch.testing.assert_close(network.seen[1], torch.from_numpy(views), atol=1e-6, rtol=0)
    first = output.logits.detach().numpy() if form == "kl" else None
    expected = slow.term(network(torch.from_numpy(views)).logits.detach().numpy(), labels, humans, first)
    assert terms.parts["saliency"].item() == pytest.approx(expected, abs=1e-5)
    assert terms.total.item() == pytest.approx(terms.parts["ce"].item() + 0.7 * expected, abs=1e-5)


@pytest.mark.parametrize("form", ["ce", "kl"])
def test_gradcheck(form: str) -> None:
    batch = make_batch()
    first = torch.randn(5, 3).double() if form == "kl" else None
    second = torch.randn(5, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: swap_consistency(z, batch.labels, batch.annotated, first), second)


@pytest.mark.parametrize(
    ("counts", "others"),
    [([4, 4], 8), ([3, 3, 2], 8), ([2, 2, 1], 5), ([2, 3], 4), ([5, 1], 2), ([1], 0)],
)
def test_surroundings_are_of_another_class_as_far_as_there_are_any(counts: list[int], others: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    for first in range(5):
        index = torch.arange(len(labels)) + first
        found = partners(labels, index)
        assert found.tolist() == [slow.partner(labels.tolist(), index.tolist(), i) for i in range(len(labels))]
        assert (labels[found] != labels).sum().item() == others
        assert sorted(found.tolist()) == list(range(len(labels)))


def test_over_the_batches_every_class_meets_every_other() -> None:
    generator, meetings = torch.Generator().manual_seed(0), torch.zeros(5, 5)
    for _ in range(400):
        labels = torch.arange(20) % 5
        found = partners(labels, torch.randperm(5000, generator=generator)[:20])
        meetings.index_put_((labels, labels[found]), torch.ones(20), accumulate=True)
    assert meetings.diagonal().sum() == 0
    rest = meetings[~torch.eye(5, dtype=torch.bool)] / 400
    assert rest.min() > 0.6  # 1 on average; classes that are neighbours meet somewhat more rarely
    assert rest.max() < 1.4


def test_the_region_stays_and_an_image_without_a_region_is_as_it_was() -> None:
    batch = make_batch()
    region = torch.zeros(5, 1, SIZE, SIZE)
    region[:, :, :4, 2:6] = 0.6
    views, counts = swap_regions(batch.images, batch.labels, region, batch.annotated, batch.index)
    others = batch.images[partners(batch.labels, batch.index)]
    assert counts.tolist() == [True, True, False, True, True]
    assert torch.equal(views[2], batch.images[2])
    for i in (0, 1, 3, 4):
        assert torch.equal(views[i, :, :4, 2:6], batch.images[i, :, :4, 2:6])
        assert torch.equal(views[i, :, 4:], others[i, :, 4:])


class Looks:
    """A network that answers from the rows given and from nothing else."""

    def __init__(self, rows: slice) -> None:
        self.rows = rows

    def __call__(self, images: Tensor) -> Output:
        features = images[:, :, self.rows] * 9
        return Output(self.head(features), features, self.head, again=self)

    def head(self, features: Tensor) -> Tensor:
        return features.mean((2, 3)).requires_grad_()


def test_who_answers_from_the_region_alone_is_right_and_who_answers_from_elsewhere_gives_the_partners_answer() -> None:
    batch = make_batch()
    region = torch.zeros(5, 1, SIZE, SIZE)
    region[:, :, :4] = 1
    batch = batch._replace(saliency=region, annotated=torch.ones(5, dtype=torch.bool))
    loss = LOSSES["swap"](form="kl")
    inside, outside = Looks(slice(0, 4))(batch.images), Looks(slice(4, 8))(batch.images)
    assert loss(inside, batch).parts["saliency"].item() == pytest.approx(0, abs=1e-7)
    partner = outside.logits[partners(batch.labels, batch.index)]
    expected = slow.term(partner.detach().numpy(), [], [region[0, 0].numpy()] * 5, outside.logits.detach().numpy())
    assert expected > 0.05
    assert loss(outside, batch).parts["saliency"].item() == pytest.approx(expected, abs=1e-5)


def test_the_first_answer_is_held_fixed() -> None:
    first, second = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    swap_consistency(second, torch.zeros(4).long(), torch.ones(4).bool(), first).backward()
    assert first.grad is None
    assert second.grad is not None
    assert second.grad.abs().min() > 0


def test_saturated_logits_give_no_nan() -> None:
    second = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    for first in (None, second.detach().flip(1)):
        swap_consistency(second, torch.tensor([1, 0]), torch.ones(2).bool(), first).backward()
    assert second.grad is not None
    assert torch.isfinite(second.grad).all()


def test_class_weights_weigh_the_term_too() -> None:
    second, labels, counts = torch.randn(4, 3), torch.tensor([0, 1, 2, 1]), torch.ones(4).bool()
    doubled = swap_consistency(second, labels, counts, class_weights=torch.full((3,), 2.0))
    assert doubled.item() == pytest.approx(2 * swap_consistency(second, labels, counts).item(), rel=1e-6)
    zero = swap_consistency(second, labels, counts, class_weights=torch.tensor([0.0, 1.0, 1.0]))
    alone = swap_consistency(second[1:], labels[1:], counts[1:])
    assert zero.item() == pytest.approx(alone.item() * 3 / 4, rel=1e-6)


def test_wrong_options_and_an_output_without_its_network_are_refused() -> None:
    for options, message in (
        ({"form": "mse"}, "form: expected ce or kl"),
        ({"weight": -1.0}, "weight: expected a number of 0 or more"),
    ):
        with pytest.raises(SalignError, match=message):
            LOSSES["swap"](**options)
    batch = make_batch()
    output = replace(Small()(batch.images), again=None)
    with pytest.raises(SalignError, match=r"swap looks at changed images.*again=network"):
        LOSSES["swap"]()(output, batch)
