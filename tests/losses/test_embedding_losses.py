"""What is learned without labels, number by number."""

from __future__ import annotations

import math

import pytest
import torch

from salign.errors import SalignError
from salign.losses.embedding_losses import contrast, match_teacher

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, TEACHER, KEY = (
    torch.nn.functional.normalize(torch.randn(3, 5, generator=GENERATOR)).double() for _ in range(3)
)
QUEUE = torch.nn.functional.normalize(torch.randn(4, 5, generator=GENERATOR)).double()


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def test_the_teacher_is_matched_as_a_distribution_over_the_numbers_of_an_embedding() -> None:
    expected = 0.0
    for student, teacher in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True):
        own, target = softmax([v / 0.3 for v in student]), softmax([v / 0.3 for v in teacher])
        expected -= sum(p * math.log(q) for p, q in zip(target, own, strict=True)) / 3
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    loss = match_teacher(student, teacher, temperature=0.3)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert match_teacher(TEACHER, TEACHER) < match_teacher(STUDENT, TEACHER)


def test_an_image_is_told_from_the_queue() -> None:
    expected = 0.0
    for query, key in zip(STUDENT.tolist(), KEY.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(query, other, strict=True)) / 0.2 for other in (key, *QUEUE.tolist())]
        expected -= math.log(softmax(scores)[0]) / 3
    key = KEY.clone().requires_grad_()
    loss = contrast(STUDENT.clone().requires_grad_(), key, QUEUE)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert key.grad is None
    same = torch.ones(2, 5).double() / math.sqrt(5)
    assert contrast(same, same, same.repeat(4, 1)).item() == pytest.approx(math.log(9))


def test_arguments_are_checked() -> None:
    with pytest.raises(SalignError, match="temperature"):
        match_teacher(STUDENT, TEACHER, temperature=0)
    with pytest.raises(SalignError, match="teacher: expected"):
        match_teacher(STUDENT, TEACHER[:2])
    with pytest.raises(SalignError, match="queue: expected"):
        contrast(STUDENT, KEY, QUEUE[:, :4])
