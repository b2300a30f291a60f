"""Cross-entropy against the formula, image by image."""

from __future__ import annotations

import pytest
import torch

from references import cyborg as slow
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
