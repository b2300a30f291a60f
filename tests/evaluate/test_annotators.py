"""Several annotators: figures worked out by hand, and what must hold for any group of people."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import spearmanr

from salign.errors import SalignError
from salign.evaluate.agreement import METRICS, iou
from salign.evaluate.annotators import against_annotators, ceiling, normalise
from salign.maps import resize


def people(seed: int, annotators: int, noise: float) -> torch.Tensor:
    """Maps that share one core, each with its own noise: `(A, 12, 12)`."""
    generator = torch.Generator().manual_seed(seed)
    core = resize(torch.rand(1, 3, 3, generator=generator) ** 3, (12, 12))
    return core + noise * torch.rand(annotators, 12, 12, generator=generator)


def test_against_annotators_is_the_mean_over_those_who_marked_something() -> None:
    humans = people(0, 4, 0.5)
    model = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    fitted = resize(model.double()[None], (12, 12)).ravel()
    expected = sum(spearmanr(fitted, one.ravel())[0] for one in humans) / 4
    assert against_annotators(model, humans, "spearman") == pytest.approx(expected, abs=1e-9)
    with_blank = torch.cat([humans, torch.zeros(1, 12, 12)])
    assert against_annotators(model, with_blank, "spearman") == pytest.approx(expected, abs=1e-9)
    assert math.isnan(against_annotators(model, torch.zeros(2, 12, 12), "spearman"))


def test_ceiling_predicts_each_from_the_mean_of_the_others() -> None:
    humans = people(2, 3, 0.8)
    by_hand = []
    for left_out in range(3):
        others = (humans.sum(0) - humans[left_out]) / 2
        by_hand.append(METRICS["energy"](others[None], humans[left_out][None]).item())
    assert ceiling(humans, "energy") == pytest.approx(sum(by_hand) / 3)
    assert ceiling(humans, lambda model, human: iou(model, human, 0.1)) < 1


def test_ceiling_is_one_for_equal_people_and_falls_with_their_noise() -> None:
    ceilings = [ceiling(people(3, 5, noise), "cc") for noise in (0.0, 0.2, 1.0, 5.0)]
    assert ceilings[0] == pytest.approx(1)
    assert ceilings == sorted(ceilings, reverse=True)
    assert math.isnan(ceiling(people(3, 1, 0.0), "cc"))


def test_the_share_of_the_ceiling_is_a_ratio_of_means_over_the_images_that_have_both() -> None:
    assert normalise([0.2, 0.4], [0.5, 1.0]) == pytest.approx(0.6 / 1.5)
    assert normalise([0.2, math.nan, 0.9], [0.5, 1.0, math.nan]) == pytest.approx(0.4)
    assert math.isnan(normalise([0.3], [-0.1]))
    assert math.isnan(normalise([], []))


def test_a_model_that_knows_the_shared_core_reaches_the_ceiling_of_noisy_people() -> None:
    core, humans = people(4, 1, 0.0)[0], people(4, 8, 1.0)
    share = normalise([against_annotators(core, humans, "spearman")], [ceiling(humans, "spearman")])
    assert 1.0 < share < 1.3  # above 1, since the mean of seven people is still noisy
    noise = torch.rand(12, 12, generator=torch.Generator().manual_seed(5))
    assert normalise([against_annotators(noise, humans, "spearman")], [ceiling(humans, "spearman")]) < 0.2


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(SalignError, match=r"metric: expected cc, spearman, .* got 'pearson'"):
        ceiling(people(0, 3, 0.1), "pearson")
