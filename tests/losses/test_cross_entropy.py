"""Cross-entropy against the formula, image by image."""

from __future__ import annotations

import math

import pytest
import torch

from references import cyborg as slow
from salign.errors import SalignError
from salign.losses import CrossEntropy, cross_entropy
from salign.types import Batch, Output

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0], [1.0, 1.0, 1.0], [-2.0, 4.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 0.25]])
def test_equals_the_formula(weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights)
    expected = slow.cross_entropy(LOGITS.numpy().astype("float64"), LABELS.tolist(), weights)
    assert cross_entropy(LOGITS, LABELS, given).item() == pytest.approx(expected, abs=1e-6)


def test_bfloat16_logits_are_summed_in_float32() -> None:
    loss = cross_entropy(LOGITS.bfloat16(), LABELS)
    assert loss.dtype == torch.float32
    expected = slow.cross_entropy(LOGITS.bfloat16().double().numpy(), LABELS.tolist())
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_module_looks_at_logits_and_labels_only() -> None:
    module = CrossEntropy(class_weights=torch.tensor([1.0, 5.0, 0.25]))
    nothing = torch.empty(0)
    terms = module(Output(LOGITS, nothing, torch.nn.Identity()), Batch(nothing, LABELS, nothing, nothing, nothing))
    expected = slow.cross_entropy(LOGITS.numpy().astype("float64"), LABELS.tolist(), [1.0, 5.0, 0.25])
    assert terms.total.item() == pytest.approx(expected, abs=1e-6)
    assert set(terms.parts) == {"ce"}


def test_class_weights_move_with_the_module_and_are_not_saved() -> None:
    module = CrossEntropy(class_weights=torch.ones(3))
    assert module.double().class_weights.dtype == torch.float64
    assert module.state_dict() == {}


TARGETS = torch.tensor([[0.7, 0.1, 0.2], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 0.25]])
def test_soft_targets_equal_the_formula_and_labels_are_not_looked_at(weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights)
    expected = slow.soft_cross_entropy(LOGITS.numpy().astype("float64"), TARGETS.tolist(), weights)
    for labels in (LABELS, LABELS.flip(0)):
        assert cross_entropy(LOGITS, labels, given, TARGETS).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.25])])
def test_targets_that_are_certain_are_labels(weights: torch.Tensor | None) -> None:
    certain = torch.nn.functional.one_hot(LABELS, 3).float()
    hard = cross_entropy(LOGITS, LABELS, weights).item()
    assert cross_entropy(LOGITS, LABELS.flip(0), weights, certain).item() == pytest.approx(hard, abs=1e-6)
    several = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).float()
    hard = cross_entropy(LOGITS, several, weights).item()
    assert cross_entropy(LOGITS, several.flip(0), weights, several).item() == pytest.approx(hard, abs=1e-6)


def test_of_several_labels_each_target_is_a_yes_or_no_by_itself() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    loss = cross_entropy(logits, torch.tensor([[1.0, 1.0]]), None, torch.tensor([[0.25, 0.5]]))
    no, yes = -math.log(1 / (1 + math.exp(2.0))), -math.log(1 / (1 + math.exp(-2.0)))
    assert loss.item() == pytest.approx((math.log(2) + (no + yes) / 2) / 2, abs=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.25]).double()])
def test_the_gradient_of_soft_targets_is_exact(weights: torch.Tensor | None) -> None:
    logits = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda each: cross_entropy(each, LABELS, weights, TARGETS.double()).double(), logits, eps=1e-3, atol=1e-3
    )


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(SalignError, match=r"targets: expected .*\(4, 3\)|targets: expected"):
        cross_entropy(LOGITS, LABELS, None, TARGETS[:, :2])
