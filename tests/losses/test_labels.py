"""Losses where an image may have several labels, or none, against loops over images and classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import pixels
import second_look
from guided_case import K, case, slow_maps
from references import cyborg as slow_distance, divisive as slow_divisive, entropy as slow_entropy, labels as slow
from salign.losses import (
    LOSSES,
    cross_entropy,
    erase,
    erased_score,
    evidence_outside,
    gradient_outside,
    harmonization,
    jensen_shannon,
    swap_consistency,
    timed_cross_entropy,
)
from salign.losses.cross_entropy import cross_entropies
from salign.losses.labels import has_class, mean_over, predicted_class, right, true_class
from salign.losses.swap import partners
from salign.types import Batch, Output

LABELS = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]]).float()
LOGITS = torch.tensor([[2.0, 0.3, 0.5], [0.1, 0.2, -3.0], [1.0, -1.0, 1.0], [-2.0, -4.0, -0.1]])
EVERYONE = torch.ones(4, dtype=torch.bool)


def several(labels: Tensor = LABELS) -> tuple[Output, Batch, np.ndarray, list[np.ndarray | None]]:
    """An output whose images all have a map with a shape but the second; CAMs `(B, K, h, w)`; maps for loops."""
    output, batch, cams = case()
    human = torch.rand(batch.saliency.shape, generator=torch.Generator().manual_seed(9))
    batch = batch._replace(labels=labels, saliency=human, annotated=torch.tensor([True, False, True, True]))
    return output, batch, cams.double().numpy(), slow_maps(human[:, 0], batch.annotated)


def loops(cams: np.ndarray, chosen: Tensor, humans: list[np.ndarray | None]) -> tuple[np.ndarray, list]:
    """The mean maps, and the human maps without those of images that chose no class."""
    means = [slow.mean_map(one, some) for one, some in zip(cams, chosen.bool().numpy(), strict=True)]
    kept = [human if mean is not None else None for human, mean in zip(humans, means, strict=True)]
    return np.stack([np.zeros(cams.shape[2:]) if mean is None else mean for mean in means]), kept


def test_coefficients_are_shares_of_the_images_classes() -> None:
    assert true_class(LABELS).tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0.5, 0, 0.5], [0, 0, 0]]
    assert torch.equal(mean_over(LABELS.bool()), true_class(LABELS.long()))
    assert predicted_class(LOGITS, multi_label=True)[1].tolist() == [0.5, 0.5, 0]
    assert has_class(true_class(LABELS)).tolist() == [True, True, True, False]
    assert right(LOGITS, LABELS).tolist() == [False, False, True, True]
    one = torch.tensor([0, 2, 1, 1])
    assert true_class(one) is one
    assert has_class(one).all()


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 0.25]])
def test_cross_entropy_is_the_mean_of_the_binary_ones(weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights)
    expected = slow.binary(LOGITS.double().numpy(), LABELS.numpy(), weights)
    assert cross_entropies(LOGITS, LABELS, given).tolist() == pytest.approx(expected, abs=1e-6)
    assert cross_entropy(LOGITS, LABELS, given).item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_cyborg_compares_the_mean_map_of_the_true_or_the_predicted_classes() -> None:
    output, batch, cams, humans = several()
    distances = {}
    for name, chosen in (("true", LABELS), ("predicted", output.logits > 0)):
        terms = LOSSES["cyborg"](cam_class=name)(output, batch)
        distances[name] = terms.parts["saliency"].item()
        assert distances[name] == pytest.approx(slow_distance.distance(*loops(cams, chosen, humans)), abs=1e-5)
    assert distances["true"] != distances["predicted"]
    found = LOSSES["cyborg"](cam_class="true_vs_rest")(output, batch).parts["saliency"].item()
    (true, kept), (rest, _) = loops(cams, LABELS, humans), loops(cams, 1 - LABELS, humans)
    assert found == pytest.approx(slow_distance.distance(true - rest, kept), abs=1e-5)
    ce = slow.binary(output.logits.detach().double().numpy(), LABELS.numpy())
    assert terms.total.item() == pytest.approx(0.5 * np.mean(ce) + 0.5 * distances["predicted"], abs=1e-5)


def test_an_image_with_every_label_has_no_rest_to_take_away() -> None:
    output, batch, _, _ = several(torch.ones(4, K))
    both = [LOSSES["cyborg"](cam_class=name)(output, batch).total for name in ("true", "true_vs_rest")]
    assert torch.equal(*both)


def test_divisive_sets_the_true_classes_against_the_strongest_of_the_others() -> None:
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1], [1, 0, 0]]).float()
    output, batch, cams, humans = several(labels)
    true, _ = loops(cams, labels, humans)
    humans[2] = None  # no class is wrong there
    logits = output.logits.detach().double().masked_fill(labels > 0, -torch.inf).numpy()
    false = np.stack([cam[row.argmax()] for cam, row in zip(cams, logits, strict=True)])
    expected = slow_divisive.agreement_inside(true, false, humans)
    assert LOSSES["divisive"]()(output, batch).parts["saliency"].item() == pytest.approx(expected, abs=1e-5)


def test_entropy_is_of_the_images_that_have_a_class() -> None:
    output, batch, cams, _ = several()
    true, _ = loops(cams, LABELS, [None] * 4)
    expected = np.mean([slow_entropy.map_entropy(one) for one in true[:3]])
    assert LOSSES["fmmce"]()(output, batch).parts["saliency"].item() == pytest.approx(expected, abs=1e-5)


def test_the_erased_score_is_the_mean_sigmoid_of_the_true_classes() -> None:
    expected = [
        np.mean([slow.sigmoid(z) for z, yes in zip(row, told, strict=True) if yes])
        for row, told in zip(LOGITS.tolist()[:3], LABELS.tolist()[:3], strict=True)
    ]
    found = erased_score(LOGITS, LABELS, has_class(true_class(LABELS)))
    assert found.item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_evidence_keeps_what_all_classes_share() -> None:
    _, batch, cams, humans = several()
    shown = [
        slow.energy_outside(cam, slow_distance.scaled(human))
        for cam, human in zip(cams, humans, strict=True)
        if human is not None
    ]
    found = evidence_outside(torch.from_numpy(cams), batch.saliency, batch.annotated, multi_label=True)
    assert found.item() == pytest.approx(np.mean(shown), abs=1e-6)


def test_swap_and_sage_take_each_class_for_a_question_of_its_own() -> None:
    second = LOGITS.flip(0)
    one, other, told = LOGITS.double().numpy(), second.double().numpy(), LABELS.numpy()
    expected = np.mean([slow.divergence(*pair) for pair in zip(one, other, strict=True)])
    assert swap_consistency(second, LABELS, EVERYONE, LOGITS).item() == pytest.approx(expected, abs=1e-6)
    weights = [1.0, 5.0, 0.25]
    weighed = swap_consistency(second, LABELS, EVERYONE, class_weights=torch.tensor(weights)).item()
    assert weighed == pytest.approx(np.mean(slow.binary(other, told, weights)), abs=1e-6)
    expected = np.mean([slow.jensen_shannon(*pair) for pair in zip(one, other, strict=True)])
    assert jensen_shannon(LOGITS, second, EVERYONE, multi_label=True).item() == pytest.approx(expected, abs=1e-6)


def test_partners_have_other_labels() -> None:
    labels = torch.tensor([[1, 0], [1, 1], [0, 0], [1, 0], [1, 1], [0, 0]]).float()
    chosen = partners(labels, torch.arange(6))
    assert (labels[chosen] != labels).any(1).all()
    assert torch.equal(chosen, partners(torch.tensor([1, 2, 0, 1, 2, 0]), torch.arange(6)))


def test_reaction_time_takes_an_answer_for_wrong_that_is_wrong_about_any_class() -> None:
    each = slow.binary(LOGITS.double().numpy(), LABELS.numpy())
    expected = np.mean([3 * each[0], 0.5 * each[1], each[2], each[3]])
    seconds = torch.tensor([30.0, 5.0, 9.0, 9.0])
    assert timed_cross_entropy(LOGITS, LABELS, seconds).item() == pytest.approx(expected, abs=1e-6)


def test_input_gradients_are_of_all_answers_and_of_the_mean_of_the_true_logits() -> None:
    weight, batch = pixels.random_weight(), pixels.random_batch()
    batch = batch._replace(labels=LABELS, annotated=EVERYONE, saliency=batch.saliency.roll(1, 0))
    logits = torch.einsum("kcij,bcij->bk", weight, batch.images)
    gradient = torch.einsum("bk,kcij->bcij", 1 - 2 * logits.sigmoid(), weight)
    found = pixels.terms(LOSSES["rrr"](), weight, batch).parts["saliency"].item()
    assert found == pytest.approx(gradient_outside(gradient, batch.saliency).item(), rel=1e-5)
    gradient = torch.einsum("bk,kcij->bcij", mean_over(LABELS), weight)
    found = pixels.terms(LOSSES["harmonization"](), weight, batch).parts["saliency"].item()
    assert found == pytest.approx(harmonization(gradient, batch.saliency, LABELS.any(1)).item(), rel=1e-5)


def test_modules_that_look_again_ask_about_every_class() -> None:
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]]).double()
    batch, network = second_look.make_batch()._replace(labels=labels), second_look.Small()
    output = network(batch.images)
    network.seen.clear()
    found = LOSSES["sage"](consistency=1.0)(output, batch).parts["consistency"].item()
    kept = network(network.seen[0][:5]).logits
    counts = torch.tensor([True, True, False, True, False])
    assert found == pytest.approx(jensen_shannon(output.logits, kept, counts, multi_label=True).item(), rel=1e-6)
    network.seen.clear()
    maps = torch.einsum("bk,kc,bchw->bhw", mean_over(labels).double(), network.weight, output.features).relu()
    found = LOSSES["gain"]()(output, batch).parts["saliency"].item()
    assert torch.allclose(network.seen[0], erase(batch.images, maps.float()), atol=1e-5)
    left, shown = network(network.seen[0]).logits.sigmoid(), maps.flatten(1).amax(1) > 0
    assert 1 < shown.sum() < 5
    expected = [left[k, labels[k].bool()].mean().item() for k in torch.nonzero(shown)[:, 0].tolist()]
    assert found == pytest.approx(np.mean(expected), rel=1e-5)
