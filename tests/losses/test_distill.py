"""Distillation against the formula, image by image."""

from __future__ import annotations

import pytest
import torch

from references import distill as slow
from salign.errors import SalignError
from salign.losses import LOSSES, distillation
from second_look import Small, make_batch

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, TEACHER = (3 * torch.randn(5, 3, generator=GENERATOR).double() for _ in range(2))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("multi_label", [False, True])
def test_equals_the_formula(temperature: float, multi_label: bool) -> None:
    got = distillation(STUDENT, TEACHER, temperature=temperature, multi_label=multi_label)
    expected = slow.distillation(STUDENT.tolist(), TEACHER.tolist(), temperature, multi_label)
    assert expected > 0.01
    assert got.item() == pytest.approx(expected, rel=1e-9)
    assert distillation(TEACHER, TEACHER, multi_label=multi_label).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_gradient_is_exact_and_none_flows_into_the_teacher(multi_label: bool) -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda own: distillation(own, teacher, multi_label=multi_label), student)
    distillation(student, teacher, multi_label=multi_label).backward()
    assert teacher.grad is None


def test_the_factor_keeps_the_size_of_the_gradient_at_high_temperatures() -> None:
    """Hinton et al.: with zero-mean logits it is `(student - teacher) / classes` in the limit, divided by the batch."""
    student = (STUDENT - STUDENT.mean(1, keepdim=True)).requires_grad_()
    teacher = TEACHER - TEACHER.mean(1, keepdim=True)
    distillation(student, teacher, temperature=1e4).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 3 / 5, rtol=1e-3, atol=1e-6)


def test_the_term_is_that_of_the_images_that_the_network_sees() -> None:
    batch, network, loss = make_batch(), Small(), LOSSES["distill"](temperature=2.0, weight=3.0)
    loss.teacher = lambda images: 5 * images.mean((2, 3))
    output = network(batch.images)
    total, parts = loss(output, batch)
    told = (5 * batch.images.mean((2, 3))).tolist()
    expected = slow.distillation(output.logits.tolist(), told, 2.0)
    assert parts["saliency"].item() == pytest.approx(expected, rel=1e-6)
    assert total.item() == pytest.approx(parts["ce"].item() + 3 * expected, rel=1e-6)


def test_without_a_teacher_it_says_how_to_give_one() -> None:
    batch = make_batch()
    with pytest.raises(SalignError, match=r"distill needs a teacher: loss.teacher: RUN"):
        LOSSES["distill"]()(Small()(batch.images), batch)
    with pytest.raises(SalignError, match="temperature: expected a number above 0, got 0"):
        LOSSES["distill"](temperature=0)
