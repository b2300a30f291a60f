"""GRADIA against a loop over images, its gradient, and that the group alone decides the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import gradia as slow
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.losses.cross_entropy import cross_entropies, cross_entropy
from salign.losses.gradia import gradia, overlap

WEIGHTS = torch.tensor([[[1.0, 1.0], [0.4, 1.6]], [[0.8, 0.2], [1.0, 1.0]]])

REGION = torch.zeros(4, 4)
REGION[:2] = 1
GROUPS = torch.stack([REGION, 1 - REGION, REGION, 1 - REGION]) * torch.tensor([3.0, 1.0, 0.5, 2.0]).view(4, 1, 1)
"""Attention reasonable, not, reasonable, not."""
ANSWERS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
LABELS = torch.tensor([0, 1, 0, 1])
"""Right, right, wrong, wrong."""


def groups(cams: Tensor = GROUPS, **options: object) -> tuple[float, float]:
    answers, attention = gradia(ANSWERS, cams, LABELS, REGION.repeat(4, 1, 1), weights=WEIGHTS, **options)
    return answers.item(), attention.item()


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_loop_over_images(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, generator=generator)
    cams, human = made(seed)
    cams = cams + torch.tensor([8.0, 0, 0, 0]).view(4, 1, 1) * human
    labels = logits.argmax(1) if seed % 2 else torch.tensor([0, 1, 2, 1])
    expected = slow.gradia(
        logits.double().numpy(), cams.double().numpy(), labels.tolist(), slow_maps(human), enough=0.3
    )
    found = gradia(logits, cams, labels, human, ANNOTATED, weights=WEIGHTS, reasonable_overlap=0.3)
    assert [one.item() for one in found] == pytest.approx(list(expected), abs=1e-5)


def test_gradcheck() -> None:
    cams, human = made()
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()

    def total(cams: Tensor) -> Tensor:
        return gradia(logits, cams, torch.tensor([0, 1, 2, 0]), human, weights=WEIGHTS)[1]

    assert torch.autograd.gradcheck(total, cams.double().requires_grad_())


def test_each_group_has_its_weights() -> None:
    """Where attention is all outside its distance is 1, where it is the region itself 0."""
    ce = cross_entropies(ANSWERS, LABELS).tolist()
    answers, attention = groups()
    assert answers == pytest.approx((1.0 * ce[0] + 0.4 * ce[1] + 0.8 * ce[2] + 1.0 * ce[3]) / 4, rel=1e-6)
    assert attention == pytest.approx((1.6 * 1 + 1.0 * 1) / 4, rel=1e-6)


def test_what_is_reasonable_is_an_option() -> None:
    """At 0 everything is: the second image is then right for good reasons, the fourth wrong in spite of them."""
    ce = cross_entropies(ANSWERS, LABELS).tolist()
    answers, attention = groups(reasonable_overlap=0.0)
    assert answers == pytest.approx((ce[0] + ce[1] + 0.8 * ce[2] + 0.8 * ce[3]) / 4, rel=1e-6)
    assert attention == pytest.approx((1.0 + 0.2) / 4, rel=1e-6)


def test_overlap_is_intersection_over_union() -> None:
    shifted = torch.zeros(1, 4, 4)
    shifted[0, 1:3] = 5
    assert overlap(shifted, REGION[None]).item() == pytest.approx(4 / 12)
    assert overlap(torch.zeros(1, 4, 4), REGION[None]).item() == 0
    assert overlap(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)).item() == 0


def test_the_module_takes_grad_cam_of_the_true_class_and_ramps_the_maps_alone() -> None:
    output, batch, cams = case()
    loss = LOSSES["gradia"](weight=2.0, ramp_epochs=1, unreasonable_inaccurate=(0.5, 3.0))
    other = slow.GROUPS | {(False, False): (0.5, 3.0)}
    answers, attention = slow.gradia(
        output.logits.detach().double().numpy(),
        of_true_class(cams, batch).relu().double().numpy(),
        batch.labels.tolist(),
        slow_maps(batch.saliency[:, 0]),
        enough=0.5,
        groups=other,
    )
    total, ce, term = figures(loss(output, batch))
    assert ce == pytest.approx(cross_entropy(output.logits, batch.labels).item())
    assert term == pytest.approx(attention, abs=1e-6)
    assert total == pytest.approx(answers + attention, abs=1e-5)
    loss.epoch = 1
    assert figures(loss(output, batch))[0] == pytest.approx(answers + 2 * attention, abs=1e-5)


def test_without_maps_it_is_the_class_weighted_cross_entropy() -> None:
    output, batch, _ = case(annotated=torch.zeros(4).bool())
    weights = torch.tensor([1.0, 5.0, 0.25])
    total, ce, term = figures(LOSSES["gradia"](class_weights=weights)(output, batch))
    assert term == 0
    assert total == pytest.approx(cross_entropy(output.logits, batch.labels, weights).item(), rel=1e-6)
    assert ce == pytest.approx(total, rel=1e-6)


def test_impossible_weights_are_refused() -> None:
    with pytest.raises(
        SalignError, match=r"reasonable_accurate: map weight: expected a number of 0 or more, got -1\.0"
    ):
        LOSSES["gradia"](reasonable_accurate=(1.0, -1.0))
    with pytest.raises(SalignError, match="reasonable_overlap: expected a number from 0 to 1, got 2"):
        LOSSES["gradia"](reasonable_overlap=2)
