"""Distillation on changed images, against the formula; nothing of it depends on the batch or on chance."""

from __future__ import annotations

import pytest
import torch

from references import distill as slow
from salign.errors import SalignError
from salign.losses import LOSSES, change_images, swap_regions
from salign.losses.changes import add_noise, cutmix, mixup, neighbours, random_numbers
from second_look import Small, make_batch

DRAWS = torch.tensor([4, 2, 9, 7, 1])


def teach(images: torch.Tensor) -> torch.Tensor:
    return 5 * images.mean((2, 3))


@pytest.mark.parametrize("change", ["cutmix", "fused", "noise", "swap"])
def test_equals_the_formula(change: str) -> None:
    batch, network = make_batch()._replace(draw=DRAWS), Small()
    loss = LOSSES["okd"](change=change, temperature=2.0, weight=3.0, changed_weight=0.5)
    loss.teacher = teach
    total, parts = loss(network(batch.images), batch)
    changed = change_images(batch, change)
    assert torch.equal(network.seen[1], changed)
    for part, images in (("saliency", batch.images), ("changed", changed)):
        student = network(images).logits
        expected = slow.distillation(student.tolist(), teach(images).tolist(), 2.0)
        assert expected > 0.001
        assert parts[part].item() == pytest.approx(expected, rel=1e-6)
    expected = parts["ce"] + 3 * parts["saliency"] + 0.5 * parts["changed"]
    assert total.item() == pytest.approx(expected.item(), rel=1e-9)


def test_changes_are_what_they_are_called() -> None:
    batch = make_batch()._replace(draw=DRAWS)
    images, numbers = batch.images, random_numbers(DRAWS, 4)
    boxes = cutmix(images, images[neighbours(DRAWS)], numbers[:, :3])
    assert torch.equal(change_images(batch, "cutmix"), boxes)
    assert torch.equal(change_images(batch, "fused"), mixup(boxes, images[neighbours(DRAWS, 2)], numbers[:, 3]))
    assert torch.equal(change_images(batch, "noise"), add_noise(images, DRAWS, 0.15))
    regions, _ = swap_regions(images, batch.labels, batch.saliency, batch.annotated, batch.index)
    assert torch.equal(change_images(batch, "swap"), regions)


def test_where_nothing_was_drawn_the_rows_of_the_manifest_decide() -> None:
    batch = make_batch()
    assert torch.equal(change_images(batch, "cutmix"), change_images(batch._replace(draw=batch.index), "cutmix"))


def test_the_student_learns_and_the_teacher_does_not() -> None:
    batch, network, teacher = make_batch()._replace(draw=DRAWS), Small(), Small(seed=1)
    loss = LOSSES["okd"]()
    loss.teacher = lambda images: teacher(images).logits
    loss(network(batch.images), batch).total.backward()
    assert network.patches.grad is not None
    assert network.patches.grad.abs().max() > 0
    assert teacher.patches.grad is None


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(SalignError, match="change: expected cutmix, fused, noise or swap, got 'mixup'"):
        LOSSES["okd"](change="mixup")
    with pytest.raises(SalignError, match=r"okd needs a teacher: loss\.teacher: RUN"):
        LOSSES["okd"]()(Small()(make_batch().images), make_batch())


def test_maps_are_looked_at_for_surroundings_alone() -> None:
    assert [LOSSES["okd"](change=change).guided for change in ("cutmix", "fused", "noise", "swap")] == [
        False,
        False,
        False,
        True,
    ]
    assert not LOSSES["okd"](change="swap", changed_weight=0).guided
