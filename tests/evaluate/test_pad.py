"""ISO/IEC 30107-3 figures against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from references import figures
from salign.errors import SalignError
from salign.evaluate import (
    acer,
    apcer,
    apcer_per_species,
    bpcer,
    bpcer_at_apcer,
    reached_apcer,
    threshold_at_apcer,
    threshold_at_eer,
)

PRESENTATIONS = st.lists(
    st.tuples(st.integers(0, 8), st.booleans(), st.sampled_from(["print", "replay", "mask"])), min_size=2, max_size=40
)


def unpack(rows):
    scores, attack = np.array([r[0] / 8 for r in rows]), np.array([r[1] for r in rows])
    return scores, attack, np.array([r[2] for r in rows])


@given(PRESENTATIONS, st.integers(0, 9))
def test_rates_at_a_threshold(rows, eighth: int) -> None:
    scores, attack, species = unpack(rows)
    if attack.all() or not attack.any():
        return
    missed, alarms = figures.error_rates(scores.tolist(), attack.tolist(), species.tolist(), eighth / 8)
    assert apcer(scores, attack, eighth / 8, species) == pytest.approx(missed)
    assert bpcer(scores, attack, eighth / 8) == pytest.approx(alarms)
    assert acer(scores, attack, eighth / 8, species) == pytest.approx((missed + alarms) / 2)


@given(PRESENTATIONS, st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.5]))
def test_bpcer_at_apcer_is_the_best_allowed_point(rows, target: float) -> None:
    scores, attack, species = unpack(rows)
    if attack.all() or not attack.any():
        assert np.isnan(bpcer_at_apcer(scores, attack, target, species))
        return
    expected = figures.bpcer_at_apcer(scores.tolist(), attack.tolist(), species.tolist(), target)
    assert bpcer_at_apcer(scores, attack, target, species) == pytest.approx(expected)
    assert reached_apcer(scores, attack, target, species) <= target
    threshold = threshold_at_apcer(scores, attack, target, species)
    assert apcer(scores, attack, threshold, species) <= target
    assert bpcer(scores, attack, threshold) == pytest.approx(expected)


@given(PRESENTATIONS)
def test_the_eer_threshold_gives_the_eer(rows) -> None:
    scores, attack, _ = unpack(rows)
    if attack.all() or not attack.any():
        with pytest.raises(SalignError, match="both kinds"):
            threshold_at_eer(scores, attack)
        return
    threshold = threshold_at_eer(scores, attack)
    found = (apcer(scores, attack, threshold) + bpcer(scores, attack, threshold)) / 2
    assert found == pytest.approx(figures.eer(scores.tolist(), attack.tolist()))


def test_resampled_operating_points_equal_repeated_images() -> None:
    rng = np.random.default_rng(3)
    scores, attack = rng.random(60).round(1), np.arange(60) % 2 == 0
    species = np.where(np.arange(60) % 3 == 0, "print", "replay")
    weights = rng.integers(0, 4, (8, 60)).astype(float)
    found = bpcer_at_apcer(scores, attack, 0.1, species, weights)
    at_half = apcer(scores, attack, 0.5, species, weights)
    alarms = bpcer(scores, attack, 0.5, weights)
    for row, drawn in enumerate(weights):
        again = np.repeat(np.arange(60), drawn.astype(int))
        assert alarms[row] == pytest.approx(np.mean(scores[again][~attack[again]] >= 0.5))
        parts = scores[again].tolist(), attack[again].tolist(), species[again].tolist()
        assert found[row] == pytest.approx(figures.bpcer_at_apcer(*parts, 0.1))
        assert at_half[row] == pytest.approx(figures.error_rates(*parts, 0.5)[0])


def test_worked_example() -> None:
    """Ten attacks of two kinds and four bona fide, by hand."""
    scores = [0.9, 0.8, 0.7, 0.6, 0.2, 0.9, 0.9, 0.9, 0.4, 0.3, 0.1, 0.25, 0.5, 0.65]
    attack = [True] * 10 + [False] * 4
    species = ["print"] * 5 + ["replay"] * 5 + [""] * 4
    rates = apcer_per_species(scores, attack, 0.5, species)
    assert {name: float(rate) for name, rate in rates.items()} == {"print": 0.2, "replay": 0.4}
    assert apcer(scores, attack, 0.5, species) == 0.4
    assert bpcer(scores, attack, 0.5) == 0.5
    assert acer(scores, attack, 0.5, species) == pytest.approx(0.45)
    # one in five of each kind may pass: 0.2 (print) and 0.3 (replay), so the threshold is 0.4
    assert bpcer_at_apcer(scores, attack, 0.2, species) == 0.5
    # none may pass: the threshold is the lowest attack, 0.2
    assert bpcer_at_apcer(scores, attack, 0.05, species) == 0.75
    assert reached_apcer(scores, attack, 0.05, species) == 0.0


def test_separated_kinds_are_split_in_the_middle() -> None:
    assert threshold_at_eer([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == pytest.approx(0.5)
    assert threshold_at_apcer([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.05) == pytest.approx(0.5)


def test_rates_of_nobody_have_no_value() -> None:
    assert np.isnan(apcer([0.1], [False], 0.5))
    assert np.isnan(bpcer([0.1], [True], 0.5))
    assert np.isnan(apcer([0.1], [False], 0.5, None, np.ones((3, 1)))).tolist() == [True] * 3


def test_an_impossible_target_is_refused() -> None:
    with pytest.raises(SalignError, match="target: expected a number of 0 or more and below 1, got 5"):
        bpcer_at_apcer([0.1, 0.2], [True, False], 5)
