"""The reaction-time loss against a loop, its gradient, and when seconds count."""

from __future__ import annotations

import math

import pytest
import torch

from guided_case import case, figures, of_true_class, slow_maps
from references import cyborg as slow_distance, reaction_time as slow
from salign.errors import SalignError
from salign.losses import LOSSES, cross_entropy
from salign.losses.reaction_time import timed_cross_entropy

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0], [1.0, 3.0, 1.0], [-2.0, 4.0, 0.0]])
LABELS = torch.tensor([0, 2, 0, 0])
SECONDS = torch.tensor([7.0, 3.0, math.nan, 25.0])
"""Of a right answer, a wrong one, a wrong one of unknown time, a wrong one."""


def test_equals_a_loop_over_images() -> None:
    for factor in (0.1, 0.5):
        expected = slow.timed_cross_entropy(LOGITS.double().numpy(), LABELS.tolist(), SECONDS.tolist(), factor)
        assert timed_cross_entropy(LOGITS, LABELS, SECONDS, factor=factor).item() == pytest.approx(expected, rel=1e-6)


def test_gradcheck() -> None:
    """It is float32 inside, so the differences are taken over wider steps."""
    logits = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: timed_cross_entropy(z, LABELS, SECONDS), logits, eps=1e-2, atol=1e-3)


def test_seconds_scale_the_gradient_of_wrong_answers_alone() -> None:
    """And an unknown time leaves it as it is, where NaN would spread."""
    timed, plain = (LOGITS.clone().requires_grad_() for _ in range(2))
    timed_cross_entropy(timed, LABELS, SECONDS).backward()
    cross_entropy(plain, LABELS).backward()
    assert timed.grad is not None
    assert plain.grad is not None
    assert (timed.grad / plain.grad).mean(1).tolist() == pytest.approx([1.0, 0.3, 1.0, 2.5], rel=1e-5)


def test_a_right_answer_costs_the_same_however_long_people_looked() -> None:
    quick = timed_cross_entropy(LOGITS[:1], LABELS[:1], torch.tensor([0.1]))
    assert quick.item() == timed_cross_entropy(LOGITS[:1], LABELS[:1], torch.tensor([99.0])).item()


def test_class_weights_stay_those_of_cross_entropy() -> None:
    weights = torch.tensor([1.0, 5.0, 0.25])
    assert timed_cross_entropy(LOGITS, LABELS, class_weights=weights).item() == pytest.approx(
        cross_entropy(LOGITS, LABELS, weights).item(), rel=1e-6
    )
    ten = torch.full((4,), 10.0)  # times 0.1: as if there were no time
    assert timed_cross_entropy(LOGITS, LABELS, ten, class_weights=weights).item() == pytest.approx(
        cross_entropy(LOGITS, LABELS, weights).item(), rel=1e-6
    )


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_module_is_cyborg_with_that_cross_entropy(alpha: float) -> None:
    output, batch, cams = case()
    answers = slow.timed_cross_entropy(output.logits.detach().double().numpy(), batch.labels.tolist(), SECONDS.tolist())
    apart = slow_distance.distance(of_true_class(cams, batch).double().numpy(), slow_maps(batch.saliency[:, 0]))
    loss = LOSSES["reaction_time"](alpha=alpha)
    total, ce, term = figures(loss(output, batch._replace(seconds=SECONDS)))
    assert ce == pytest.approx(cross_entropy(output.logits, batch.labels).item(), rel=1e-6)
    assert term == pytest.approx(apart, abs=1e-6)
    assert total == pytest.approx(alpha * answers + (1 - alpha) * apart, rel=1e-5)
    assert abs(answers - ce) > 0.05
    untimed = figures(loss(output, batch))[0]
    assert untimed == pytest.approx(LOSSES["cyborg"](alpha=alpha)(output, batch).total.item(), rel=1e-6)


def test_endless_seconds_are_refused() -> None:
    with pytest.raises(SalignError, match="seconds: expected values"):
        timed_cross_entropy(LOGITS, LABELS, torch.tensor([1.0, torch.nan, torch.inf, 2.0]))


def test_bad_options_are_refused() -> None:
    with pytest.raises(SalignError, match="factor: expected a number of 0 or more, got -1"):
        LOSSES["reaction_time"](factor=-1)
    with pytest.raises(SalignError, match="alpha: expected a number from 0 to 1, got 2"):
        LOSSES["reaction_time"](alpha=2)
