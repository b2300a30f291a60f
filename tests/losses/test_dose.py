"""A dose: the weight follows from how hard cross-entropy and the term pull at the last feature maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from guided_case import case
from references import dose as reference
from salign.errors import SalignError
from salign.losses import Cyborg, Energy, GuidedLoss, Hint, Swap, saliency_distance
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.losses.dose import Dose
from salign.train.objective import Objective
from salign.types import Batch, Output
from second_look import Small, make_batch


class Pull(GuidedLoss):
    """Its gradient at the features is the features, times how much the image is annotated."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def term(self, output: Output, batch: Batch) -> Tensor:
        return self.scale * (output.features.square() / 2 * batch.annotated.view(-1, 1, 1, 1)).sum()


def with_dose(loss: GuidedLoss, dose: float) -> GuidedLoss:
    loss.dose = Dose(dose)
    return loss


def norms_of(output: Output, batch: Batch) -> tuple[float, float]:
    """What the slow version finds for `Pull`."""
    features, weight = output.features.detach().double().numpy(), output.weight.double().numpy()
    of_ce = reference.gradient_of_cross_entropy(features, weight, batch.labels.tolist())
    return reference.norm([of_ce]), reference.norm([features[batch.annotated.numpy()]])


def test_the_weight_is_the_dose_times_the_ratio_of_running_means_of_the_norms() -> None:
    nobody = torch.zeros(4, dtype=torch.bool)
    cases = [case(seed, nobody) if seed in (0, 3) else case(seed) for seed in range(6)]
    loss = with_dose(Pull(), 0.7)
    got = []
    for output, batch, _ in cases:
        terms = loss(output, batch)
        got.append(terms.parts["saliency_weight"].item())
        ce = cross_entropy(output.logits, batch.labels)
        assert terms.total.item() == pytest.approx((ce + got[-1] * terms.parts["saliency"]).item(), rel=1e-6)
    expected = reference.weights(0.7, [norms_of(output, batch) for output, batch, _ in cases])
    assert expected[0] == 0
    assert expected[3] == expected[2] > 0
    assert got == pytest.approx(expected, rel=1e-5)


def test_after_a_hundred_steps_the_means_forget() -> None:
    dose, norms = Dose(1.0), [(1.0, 2.0)] * 150 + [(3.0, 1.0)] * 150
    for ce, term in norms:
        dose._learn(torch.tensor([ce, term]))
    assert (dose.norms[0] / dose.norms[1]).item() == pytest.approx(reference.weights(1.0, norms)[-1], rel=1e-4)
    assert dose.steps == 300


def test_a_dose_takes_the_unit_of_a_term_away() -> None:
    totals = []
    for scale in (1.0, 1000.0, 1e-4):
        output, batch, _ = case()
        totals.append(with_dose(Pull(scale), 0.5)(output, batch).total.item())
    assert totals[1:] == pytest.approx(totals[:1] * 2, rel=1e-5)


def test_features_of_a_second_look_count() -> None:
    """The term of `swap` has no gradient at the features of the first look."""
    loss, network, batch = with_dose(Swap(), 0.4), Small(), make_batch()
    seen: list[Tensor] = []

    def again(images: Tensor) -> Output:
        features = network(images).features.detach().requires_grad_()
        seen.append(features)
        return Output(network.head(features), features, network.head, network.weight)

    first = again(batch.images)
    output = Output(first.logits, first.features, first.head, first.weight, again=again)
    weight = loss(output, batch).parts["saliency_weight"].item()
    (term,) = [value for _, value in Swap().terms(output, batch).values()]
    (by_second,) = torch.autograd.grad(term, seen[-1])
    of_ce = reference.gradient_of_cross_entropy(
        first.features.detach().numpy(), network.weight.detach().numpy(), batch.labels.tolist()
    )
    assert weight == pytest.approx(0.4 * reference.norm([of_ce]) / reference.norm([by_second.numpy()]), rel=1e-5)


def test_nothing_is_measured_where_nothing_is_learned() -> None:
    output, batch, _ = case()
    loss = with_dose(Pull(), 1.0)
    weight = loss(output, batch).parts["saliency_weight"]
    with torch.no_grad():
        assert loss(case(1)[0], batch).parts["saliency_weight"] == weight
    assert loss.dose.steps == 1


def test_a_training_that_goes_on_has_the_same_weights() -> None:
    whole, begun = with_dose(Energy(), 2.0), with_dose(Energy(), 2.0)
    for seed in range(3):
        output, batch, _ = case(seed)
        for loss in (whole, begun):
            loss(output, batch)
    gone_on = with_dose(Energy(), 2.0)
    gone_on.load_state_dict(begun.state_dict())
    output, batch, _ = case(3)
    assert torch.equal(gone_on(output, batch).total, whole(output, batch).total)
    assert set(begun.state_dict()) == {"dose.norms", "dose.steps"}
    assert not Energy().state_dict()


def test_cyborg_with_a_dose_is_cross_entropy_plus_the_weighted_distance() -> None:
    output, batch, _ = case()
    total, parts = with_dose(Cyborg(ramp_epochs=1), 0.3)(output, batch)
    distance = saliency_distance(output.cam(batch.labels), batch.saliency, batch.annotated)
    by_ce, by_distance = (
        torch.autograd.grad(scalar, output.features, retain_graph=True)[0].norm().item()
        for scalar in (cross_entropy(output.logits, batch.labels), distance)
    )
    expected = 0.3 * by_ce / by_distance / 2  # the first of two epochs of the ramp
    assert parts["saliency_weight"].item() == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(parts["ce"].item() + expected * distance.item(), rel=1e-5)


def test_an_added_term_has_a_dose_of_its_own() -> None:
    output, batch, _ = case()
    objective = Objective(CrossEntropy(), {"hint": with_dose(Hint(form="mse"), 0.6)})
    alone = with_dose(Hint(form="mse"), 0.6)(output, batch)
    total, parts = objective(output, batch)
    assert torch.equal(total, alone.total)
    assert parts["hint_weight"] == alone.parts["saliency_weight"] > 0


def test_the_norms_are_those_of_float32_under_autocast() -> None:
    weights = []
    for autocast in (False, True):
        output, batch, _ = case()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            weights.append(with_dose(Energy(), 1.0)(output, batch).parts["saliency_weight"])
    assert weights[1].dtype == torch.float32
    assert weights[1].item() == pytest.approx(weights[0].item(), rel=0.02)


@pytest.mark.parametrize("dose", [0, -1, np.nan])
def test_a_dose_is_above_zero(dose: float) -> None:
    with pytest.raises(SalignError, match="dose: expected"):
        Dose(dose)
