from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from salign.errors import SalignError
from salign.evaluate.attack import pgd
from salign.maps.region import region
from salign.models import Classifier
from salign.train.recipe import Recipe
from salign.train.steps import STEPS
from salign.types import Batch

B, SIZE = 4, 32


def classifier():
    return Classifier("test_resnet", ["a", "b", "c"], image_size=SIZE).eval()


def batch_of(**changed):
    generator = torch.Generator().manual_seed(0)
    saliency = torch.zeros(B, 1, SIZE, SIZE)
    saliency[:2, :, 8:16, 8:16] = 1  # the third is blank, the fourth has none
    fields = {
        "images": torch.rand(B, 3, SIZE, SIZE, generator=generator) * 0.8 + 0.1,
        "labels": torch.tensor([0, 1, 2, 0]),
        "saliency": saliency,
        "annotated": torch.tensor([True, True, True, False]),
        "index": torch.arange(B),
        "draw": torch.tensor([5, 6, 7, 8]),
    }
    return Batch(**{**fields, **changed})


def cross_entropies(network, images, labels):
    return functional.cross_entropy(network(images).logits, labels, reduction="none")


@pytest.mark.parametrize("targets", [None, torch.tensor([[0.5, 0.5, 0], [0, 1, 0], [0.2, 0, 0.8], [1, 0, 0]])])
def test_it_climbs_the_cross_entropy_of_the_labels_or_of_soft_targets(targets):
    network, batch = classifier(), batch_of(targets=targets)
    answers = batch.labels if targets is None else targets
    attacked = STEPS["attack"](epsilon=6, steps=3, step_size=3, random_start=False)(batch, network, 0).images
    expected = pgd(
        lambda images: cross_entropies(network, images, answers), batch.images, epsilon=6, steps=3, step_size=3
    )
    torch.testing.assert_close(attacked, expected)
    change = attacked - batch.images
    assert float(change.abs().max()) == pytest.approx(6 / 255, abs=1e-6)
    costs, before = (cross_entropies(network, images, answers) for images in (attacked, batch.images))
    assert (costs > before).all()


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_only_the_side_is_attacked_and_nothing_of_an_image_whose_region_nobody_marked(side):
    batch = batch_of()
    change = (STEPS["attack"](region=side)(batch, classifier(), 0).images - batch.images).abs().amax(1)
    inside = region(batch.saliency)[:, 0] > 0
    allowed = inside if side == "inside" else ~inside
    for k in (0, 1):
        assert (change[k][~allowed[k]] == 0).all()
        assert (change[k][allowed[k]] > 0).float().mean() > 0.95
    assert not change[2:].any()


def test_the_start_follows_from_the_draw_of_the_image_alone():
    batch, network = batch_of(), classifier()
    step = STEPS["attack"](steps=1, step_size=1e-6)
    first = step(batch, network, 0).images
    assert torch.equal(first, step(batch, network, 9).images)
    other = step(batch._replace(draw=torch.tensor([5, 6, 7, 1])), network, 0).images
    assert torch.equal(first[:3], other[:3])
    assert not torch.equal(first[3], other[3])
    start = torch.rand(3 * SIZE * SIZE, generator=torch.Generator().manual_seed(8)).view(3, SIZE, SIZE)
    torch.testing.assert_close(first[3] - batch.images[3], 8 / 255 * (2 * start - 1), rtol=0, atol=1e-6)


def test_the_last_look_tells_which_answers_are_wrong():
    batch, network = batch_of(), classifier()
    step = STEPS["attack"](steps=1, random_start=False)  # so that its only look is at the images themselves
    answers = network(batch.images).logits.argmax(1)
    assert step(batch._replace(labels=answers), network, 0).fooled.tolist() == [False] * B
    assert step(batch._replace(labels=(answers + 1) % 3), network, 0).fooled.tolist() == [True] * B
    half = functional.one_hot(answers, 3) / 2 + functional.one_hot((answers + 1) % 3, 3) / 2
    mixed = batch._replace(labels=(answers + 1) % 3, targets=half)
    assert step(mixed, network, 0).fooled.tolist() == [False] * B  # either of its classes is right
    assert step(mixed._replace(targets=half.roll(2, 1)), network, 0).fooled.tolist() == [False] * B
    assert step(mixed._replace(targets=half.roll(1, 1)), network, 0).fooled.tolist() == [True] * B


def test_what_is_no_attack_is_refused():
    with pytest.raises(SalignError, match="epsilon: expected a number above 0, got 0"):
        STEPS["attack"](epsilon=0)
    with pytest.raises(SalignError, match="step_size: expected a number above 0"):
        STEPS["attack"](step_size=0)


def test_a_net_that_draws_maps_has_no_classes_to_attack():
    steps = [{"name": "blur"}, {"name": "attack"}]
    with pytest.raises(
        SalignError, match="the step attack needs a classifier, and a net that draws maps has no classes"
    ):
        Recipe.build({"name": "r", "task": "maps", "data": {"manifest": "m.csv"}, "steps": steps})
