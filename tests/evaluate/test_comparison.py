"""Comparisons of arms against scipy, plain loops, known coverage, and the cases that have no answer."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from references import comparison as slow
from salign.errors import SalignError
from salign.evaluate import accuracy, auroc, one_vs_rest
from salign.evaluate.comparison import Comparison, compare, compare_images, describe, holm, seeds_needed

pytestmark = pytest.mark.filterwarnings("error")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def arms(seeds: int, gain: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = rng(seed)
    shared = generator.normal(0.7, 0.05, seeds)
    return shared + generator.normal(gain, 0.03, seeds), shared + generator.normal(0, 0.03, seeds)


# --- Over seeds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
def test_intervals_and_t_tests_equal_scipy(seeds: int) -> None:
    first, second = arms(seeds)
    found = compare(first, second, generator=rng(), confidence=0.9)
    paired = stats.ttest_rel(first, second)
    assert (found.n, found.first, found.second) == (seeds, pytest.approx(first.mean()), pytest.approx(second.mean()))
    assert found.difference == pytest.approx((first - second).mean())
    assert (found.low, found.high) == pytest.approx(tuple(paired.confidence_interval(0.9)))
    assert found.paired_t_p == pytest.approx(paired.pvalue)
    assert found.welch_p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert found.sd == pytest.approx(np.std(first - second, ddof=1))
    assert found.effect == pytest.approx(paired.statistic / math.sqrt(seeds))


@pytest.mark.parametrize("seeds", [2, 5, 10])
def test_flips_and_pairs_equal_loops(seeds: int) -> None:
    first, second = (values.round(2) for values in arms(seeds, 0.02))  # with ties
    found = compare(first, second, generator=rng())
    assert found.permutation_p == pytest.approx(slow.sign_flip(first - second))
    assert found.improvement == pytest.approx(slow.improvement(first, second))


def test_many_pairs_are_flipped_at_random_and_the_generator_decides() -> None:
    first, second = arms(15, 0.015)
    signs = 1 - 2 * (np.arange(2**15)[:, None] >> np.arange(15) & 1)
    means = np.abs(signs @ (first - second))
    every = float((means >= means[0]).mean())
    found = [compare(first, second, generator=rng(seed), resamples=50) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0].permutation_p != found[2].permutation_p
    assert (found[0].boot_low, found[0].boot_high) != (found[2].boot_low, found[2].boot_high)
    assert found[0].permutation_p == pytest.approx(every, abs=4 * math.sqrt(every * (1 - every) / 2**14))


def test_bootstrap_over_seeds_equals_scipy() -> None:
    first, second = arms(10)
    found = compare(first, second, generator=rng(), resamples=20_000)
    expected = stats.bootstrap((first - second,), np.mean, n_resamples=20_000, method="percentile", rng=rng(1))
    assert (found.boot_low, found.boot_high) == pytest.approx(tuple(expected.confidence_interval), abs=5e-4)
    assert found.low < found.boot_low < found.boot_high < found.high  # too narrow, as its description says


def test_the_t_interval_covers_the_truth_as_often_as_it_says_and_the_bootstrap_less_often() -> None:
    generator, truth, trials, hits, boot_hits = rng(3), 0.02, 400, 0, 0
    for _ in range(trials):
        shared = generator.normal(0.7, 0.1, 5)
        first, second = shared + generator.normal(truth, 0.03, 5), shared + generator.normal(0, 0.02, 5)
        found = compare(first, second, generator=generator, resamples=200)
        hits += found.low <= truth <= found.high
        boot_hits += found.boot_low <= truth <= found.boot_high
    assert hits / trials == pytest.approx(0.95, abs=0.022)  # two standard errors
    assert 0.75 < boot_hits / trials < 0.90


def test_one_pair_says_nothing_about_chance() -> None:
    found = asdict(compare([0.5], [0.4], generator=rng()))
    known = {"n": 1, "first": 0.5, "second": 0.4, "difference": pytest.approx(0.1), "improvement": 1.0}
    assert {name: found.pop(name) for name in known} == known
    assert len(found) == 10
    assert all(math.isnan(value) for value in found.values())


def test_equal_arms_differ_by_nothing() -> None:
    found = compare([0.1, 0.2, 0.7], [0.1, 0.2, 0.7], generator=rng())
    interval = (found.difference, found.low, found.high, found.boot_low, found.boot_high, found.sd, found.effect)
    assert interval == (0,) * 7
    assert (found.paired_t_p, found.wilcoxon_p, found.permutation_p, found.welch_p) == (1, 1, 1, 1)
    assert found.improvement == 0.5
    pair = compare([0.5, 0.7], [0.4, 0.6], generator=rng())
    assert pair.wilcoxon_p == pytest.approx(0.5), "of four ways to sign two equal differences, two are as far out"
    constant = compare([0.3] * 4, [0.3] * 4, generator=rng())
    assert constant.welch_p == 1


def test_equal_differences_have_no_width_in_spite_of_rounding() -> None:
    first, second = np.array([0.82, 0.72, 0.3]), np.array([0.80, 0.70, 0.28])
    assert len(set(first - second)) > 1  # in floating point
    found = compare(second, first, generator=rng())
    assert found.difference == found.low == found.high == found.boot_low == found.boot_high
    assert found.difference == pytest.approx(-0.02)
    assert (found.sd, found.effect, found.paired_t_p) == (0, -math.inf, 0)
    assert (found.wilcoxon_p, found.permutation_p) == (0.25, 0.25)  # what three pairs can say at most
    assert 0 < found.welch_p < 1
    assert compare([0.3] * 4, [0.1] * 4, generator=rng()).welch_p == 0
    one_sample = stats.ttest_1samp([0.1, 0.2, 0.4], 0.3).pvalue  # what Welch's test is where one arm never varies
    assert compare([0.3] * 3, [0.1, 0.2, 0.4], generator=rng()).welch_p == pytest.approx(one_sample)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8),
    st.sampled_from([1.0, 0.01, 1e-6, 1e6]),
    st.randoms(use_true_random=False),
)
def test_swapping_arms_turns_the_sign_and_order_and_unit_do_not_matter(pairs, unit: float, random) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = compare(first, second, generator=rng(), resamples=10)
    swapped = compare(second, first, generator=rng(), resamples=10)
    assert (swapped.difference, swapped.low, swapped.high) == pytest.approx(
        (-found.difference, -found.high, -found.low)
    )
    assert swapped.effect == pytest.approx(-found.effect)
    assert swapped.improvement == pytest.approx(1 - found.improvement)
    random.shuffle(pairs)
    again = compare(*(np.array(pairs).T * unit), generator=rng(), resamples=10)
    for name in ("welch_p", "paired_t_p", "wilcoxon_p", "permutation_p", "effect", "improvement"):
        assert getattr(again, name) == pytest.approx(getattr(found, name)), name
        if name.endswith("_p"):
            assert getattr(swapped, name) == pytest.approx(getattr(found, name)), name
    assert (again.low, again.high) == pytest.approx((found.low * unit, found.high * unit), abs=1e-9 * unit)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], [], "S >= 1"),
        ([0.1, 0.2], [0.1], "one figure per seed"),
        ([[0.1]], [[0.1]], "one figure per seed"),
        ([0.1, math.nan], [0.1, 0.2], "not finite"),
        ([0.1, 0.2], [0.1, math.inf], "not finite"),
    ],
)
def test_arms_that_are_no_pairs_are_refused(first, second, message: str) -> None:
    with pytest.raises(SalignError, match=message):
        compare(first, second, generator=rng())


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(SalignError, match="confidence"):
        compare([0.1, 0.2], [0.1, 0.2], generator=rng(), confidence=confidence)


# --- Over seeds and images -------------------------------------------------------------------------------------------


def runs(seeds: int, images: int, gain: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two arms: `(seeds, images)` twice, and labels."""
    generator = rng(seed)
    labels = np.arange(images) % 2
    strength = 1 + generator.normal(0, 0.1, (2, seeds, 1)) + np.array([gain, 0])[:, None, None]
    scores = strength * labels + generator.normal(size=(2, seeds, images))
    return scores[0], scores[1], labels


def test_nested_interval_equals_a_loop_over_resamples() -> None:
    first, second, labels = runs(4, 60, 0.8)
    found = compare_images(first, second, labels, auroc, generator=rng(), resamples=3000)
    generator, values = rng(1), []
    members = [np.flatnonzero(labels == label) for label in (0, 1)]
    for _ in range(1000):
        images = np.concatenate([generator.choice(own, len(own)) for own in members])
        chosen = generator.integers(0, 4, 4)
        gains = [auroc(first[s, images], labels[images]) - auroc(second[s, images], labels[images]) for s in chosen]
        values.append(np.mean(gains))
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.012)


def test_nested_interval_holds_both_sources_of_chance() -> None:
    first, second, labels = runs(5, 200, 0.5)
    both = compare_images(first, second, labels, auroc, generator=rng(), resamples=800)
    gains = np.array([auroc(a, labels) - auroc(b, labels) for a, b in zip(first, second, strict=True)])
    seeds = compare(gains, np.zeros(5), generator=rng())
    assert both[0] < gains.mean() < both[1]
    assert both[1] - both[0] > 1.1 * (seeds.boot_high - seeds.boot_low)
    same = np.repeat(first[:1], 5, axis=0), np.repeat(second[:1], 5, axis=0)  # no chance in the seeds
    images = compare_images(*same, labels, auroc, generator=rng(), resamples=800)
    assert images == pytest.approx(
        compare_images(first[:1], second[:1], labels, auroc, generator=rng(5), resamples=800), abs=0.015
    )


def test_equal_arms_meet_the_same_images() -> None:
    first, _, labels = runs(3, 50, 0)
    assert compare_images(first, first, labels, auroc, generator=rng(), resamples=100) == (0, 0)


def test_every_run_meets_the_same_images_and_labels_keep_their_number() -> None:
    first, second, _ = runs(3, 50, 0)
    labels = np.repeat([0, 1, 2], [5, 15, 30])
    met: list[np.ndarray] = []

    def remember(values: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
        assert (truth == labels).all()
        met.append(counts.copy())
        return counts @ values

    compare_images(first, second, labels, remember, generator=rng(), resamples=40)
    assert len(met) == 6
    assert all((counts == met[0]).all() for counts in met)
    for label, images in ((0, 5), (1, 15), (2, 30)):
        assert (met[0][:, labels == label].sum(1) == images).all()
    assert (met[0] != 1).any()


def test_any_figure_of_the_package_can_be_compared() -> None:
    generator = rng()
    labels = np.arange(90) % 3
    logits = generator.normal(size=(2, 4, 90, 3)) + np.array([3, 0])[:, None, None, None] * np.eye(3)[labels]
    low, high = compare_images(*logits, labels, partial(one_vs_rest, auroc), generator=generator, resamples=100)
    assert 0.35 < low < high < 0.6
    low, high = compare_images(*logits.argmax(-1), labels, accuracy, generator=generator, resamples=100)
    assert 0.4 < low < high < 0.75


def test_blocks_of_resamples_pair_seeds_with_their_own_rows() -> None:
    """Where counts come in blocks, each row still meets its own draw of seeds."""
    images = 2_000_001  # one resample per block
    answers = np.zeros((2, images), dtype=int)
    answers[1] = 1

    def mean(values: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return np.full(len(counts), float(values[0]))

    low, high = compare_images(
        answers, np.zeros_like(answers), np.zeros(images), mean, generator=rng(2), resamples=6, confidence=0.999
    )
    drawn = rng(2).integers(0, 2, (6, 2)).mean(1)
    assert (low, high) == pytest.approx((drawn.min(), drawn.max()), abs=0.01)
    assert low < high


@pytest.mark.parametrize("shapes", [((3, 5), (3, 5), 4), ((3, 5), (2, 5), 5), ((5,), (5,), 5), ((0, 5), (0, 5), 5)])
def test_scores_that_do_not_fit_are_refused(shapes) -> None:
    first, second, images = shapes
    with pytest.raises(SalignError, match=r"two arms \(S, N\)"):
        compare_images(np.zeros(first), np.zeros(second), np.zeros(images), accuracy, generator=rng())


# --- A family, a plan, a sentence ------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # 3 of them: .01 * 3; then .03 * 2 = .06; then .04 * 1 which may not fall below .06
    assert holm([0.04, 0.01, math.nan, 0.03]) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert np.isnan(holm([math.nan])).all()
    assert len(holm([])) == 0


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.5]),
    st.integers(0, 3),
)
def test_holm_rejects_what_the_procedure_rejects(p_values: list[float], level: float, unknown: int) -> None:
    adjusted = holm([math.nan] * unknown + p_values)
    assert np.isnan(adjusted[:unknown]).all()
    assert (adjusted[unknown:] >= p_values).all()
    near = np.abs(adjusted[unknown:] - level) < 1e-12  # a product may round to either side of the level
    assert ((adjusted[unknown:] <= level) | near).tolist() == (slow.holm_rejects(p_values, level) | near).tolist()


@pytest.mark.parametrize("wrong", [[-0.1], [1.1], [[0.1]]])
def test_holm_refuses_what_is_no_family(wrong) -> None:
    with pytest.raises(SalignError, match="p values"):
        holm(wrong)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("half_width", [10.0, 1.0, 0.3, 0.1, 0.05])
def test_seeds_needed_is_the_first_that_suffices(half_width: float, confidence: float) -> None:
    n = 2
    while stats.t.ppf((1 + confidence) / 2, n - 1) / math.sqrt(n) > half_width:
        n += 1
    assert seeds_needed(1.0, half_width, confidence) == n
    assert seeds_needed(7.0, 7 * half_width, confidence) == n


def test_seeds_needed_has_no_answer_without_a_spread_or_a_wish() -> None:
    assert seeds_needed(0, 0.01) == 2
    for sd, half_width in ((math.nan, 1), (-1, 1), (1, 0), (1, math.nan)):
        with pytest.raises(SalignError, match=r"sd_of_differences|half_width"):
            seeds_needed(sd, half_width)


def comparison(**changes: float) -> Comparison:
    return replace(compare([0.5, 0.7], [0.4, 0.4], generator=rng(), resamples=10), **changes)


@pytest.mark.parametrize(
    ("changes", "points", "said"),
    [
        ({"n": 10, "difference": 0.2241, "low": 0.04, "high": 0.4089}, True,
         "accuracy +22.4 points [+4.0, +40.9], 10 seeds: above zero"),
        ({"difference": -0.1, "low": -0.19, "high": -0.01}, True,
         "accuracy -10.0 points [-19.0, -1.0], 2 seeds: below zero"),
        ({"difference": -0.0001, "low": -0.2, "high": 0.2}, True,
         "accuracy +0.0 points [-20.0, +20.0], 2 seeds: not told from zero"),
        ({"difference": 0.1, "low": 0.1, "high": 0.1}, True,
         "accuracy +10.0 points [+10.0, +10.0], 2 seeds: the same in every seed"),
        ({"difference": 1.25, "low": 0.5, "high": 2.0}, False,
         "accuracy +1.250 [+0.500, +2.000], 2 seeds: above zero"),
        ({"n": 1, "difference": 0.1, "low": math.nan, "high": math.nan}, True,
         "accuracy +10.0 points, 1 seed: nothing can be said about chance"),
    ],
)  # fmt: skip
def test_words(changes: dict, points: bool, said: str) -> None:
    assert describe(comparison(**changes), "accuracy", points) == said
