from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from made_study import made, study
from salign.experiment.report.curves import (
    Factor,
    equal_images,
    factor_in_words,
    factors,
    line,
    over_annotations,
    over_images,
)
from salign.experiment.report.groups import Condition, groups_of
from salign.pages.plots import looks

IMAGES = np.array([50.0, 100.0, 200.0, 400.0])


@given(st.floats(50, 400), st.floats(0.01, 5), st.floats(-2, 2))
def test_the_place_on_a_curve_linear_in_log_n_is_found_exactly(n, slope, offset):
    curve = offset + slope * np.log(IMAGES)
    assert equal_images(IMAGES, curve, offset + slope * np.log(n)) == pytest.approx(n, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.39, 0.0), (0.4, 50.0), (0.5, 100.0), (0.45, 50 * 2**0.5), (0.6, 200.0), (0.81, np.inf)]
)
def test_it_is_the_first_place_and_the_ends_are_told(value, expected):
    curve = np.array([0.4, 0.5, 0.8, 0.6])  # falls again
    if value == 0.6:
        expected = 100 * 2 ** (1 / 3)
    assert equal_images(IMAGES, curve, value) == pytest.approx(expected)


def test_factors_resample_both_arms_by_seed():
    seeds = np.array([0.0, 0.02, -0.01, 0.03])[:, None]  # shared by both arms: cancels in every draw
    baseline = 0.1 * np.log(IMAGES) + seeds
    guided = 0.1 * np.log(2 * IMAGES) + seeds
    for n, one in zip(IMAGES[:3], factors(IMAGES, baseline, guided, np.random.default_rng(0)), strict=False):
        assert one == pytest.approx((n, 2 * n, 2 * n, 2 * n))
    noisy = guided + np.array([0.0, 0.05, -0.05, 0.0])[:, None]
    found = factors(IMAGES, baseline, noisy, np.random.default_rng(0))
    assert found[0].equals == pytest.approx(100)
    assert 50 < found[0].low < 100 < found[0].high < 200
    (single, *_) = factors(IMAGES, baseline[:1], guided[:1], np.random.default_rng(0))
    assert np.isnan([single.low, single.high]).all()


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (Factor(50, 100, 80, np.inf), "with 50 training images equals ce with 100 [80, > 400]: 2 times the images."),
        (Factor(100, 50, 0, 70), "with 100 training images equals ce with 50 [< 50, 70]: 0.5 times the images."),
        (Factor(100, 150, np.nan, np.nan), "with 100 training images equals ce with 150: 1.5 times the images."),
        (Factor(100, np.inf, 1, 2), "is above ce with any number tried, up to 400: more than 4 times the images."),
        (Factor(100, 0, 1, 2), "is below ce with 50: less than 0.5 times the images."),
        (Factor(400, np.inf, 1, 2), "400 training images, the most tried, is above ce with any number tried."),
        (Factor(50, 0, 1, 2), "50 training images, the fewest tried, is below ce with any number tried."),
    ],
)
def test_factors_in_words(factor, said):
    assert factor_in_words(factor, IMAGES, "cyborg", "ce").endswith(said)


@pytest.fixture(scope="module")
def plan(digits):
    grids = [
        {"arms": ["ce", "cyborg"], "seeds": 3, "images": [10, 20, None]},
        {"arms": ["ce_times@2"], "seeds": 3, "images": [10]},
        {"arms": ["cyborg"], "seeds": 3, "annotated": [0.1, 0.5]},
    ]
    return study(digits, grids=grids)


@pytest.fixture(scope="module")
def results(plan, digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("studies"), digits, plan)


def test_a_line_holds_means_and_t_intervals_at_the_images_used(plan, results):
    (group,) = groups_of(plan, results.figures)
    points = {10.0: Condition(10.0, 1.0), 20.0: Condition(20.0, 1.0), 30.0: Condition(30.0, 1.0)}
    found = line(group, "ce", "test_ood", "accuracy", points)
    rows = results.figures.query("arm == 'ce' and set == 'test_ood' and metric == 'accuracy'")
    assert found.x.tolist() == [10, 20]
    for k, n in enumerate((10, 20)):
        values = 100 * rows[rows["images"] == n]["value"]
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose([found.value[k], found.low[k], found.high[k]], [values.mean(), low, high])
    doubled = line(group, "ce_times@2", "test_ood", "accuracy", points, factor=2)
    assert doubled.x.tolist() == [20]
    assert line(group, "nobody", "test_ood", "accuracy", points) is None


def test_learning_curves_count_all_images_and_say_the_factor(plan, results):
    groups = groups_of(plan, results.figures)
    plots, text = over_images(plan, groups, results.runs, looks(["ce", "cyborg", "ce_times@2"]))
    assert len(plots.svgs) == 2
    assert "at 10, " in plots.svgs[0]
    assert "at 40" in plots.svgs[0]  # of the 200 digits 40 are a 1 or a 7
    assert [sentence.partition(" training")[0] for sentence in text.paragraphs[1:]] == [
        f"cyborg with {n}" for n in (10, 20, 40)
    ]
    gone = results.runs.assign(path="/nowhere")
    *_, text = over_images(plan, groups, gone, looks(["ce", "cyborg", "ce_times@2"]))
    assert "left out: their manifest is not there any more" in text.paragraphs[-1]


def test_annotated_shares_are_drawn_at_the_images_of_the_guided_arm(plan, results):
    groups = groups_of(plan, results.figures)
    (plots,) = over_annotations(plan, groups, results.runs, looks(["ce", "cyborg", "ce_times@2"]))
    spoken = plots.svgs[0].partition("viewBox")[0]
    values = results.figures.query("set == 'test_ood' and metric == 'accuracy' and arm == 'cyborg' and images == -1")
    means = 100 * values.groupby("annotated")["value"].mean()
    assert f"cyborg: {means[0.1]:.1f} at 10, {means[0.5]:.1f} at 50, {means[1.0]:.1f} at 100" in spoken


def test_a_set_without_the_figure_has_no_curve(plan, results):
    known = results.figures[results.figures["set"] == "test_ood"]
    (plots,) = over_annotations(plan, groups_of(plan, known), results.runs, looks(["ce", "cyborg", "ce_times@2"]))
    assert len(plots.svgs) == 1
