"""Map against map: figures worked out by hand, slow versions, scipy, and what must hold for any maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import references.agreement as slow
from salign.errors import SalignError
from salign.evaluate import agreement as maps_agree, auroc
from salign.evaluate.agreement import HIGHER_IS_BETTER, LABELS, METRICS, agreement, dice, distribution, iou, pointing
from salign.maps import resize

FEW = settings(max_examples=40, deadline=None)
SHAPE = (5, 6)
LEVELS = st.integers(0, 4).map(lambda k: k / 4)  # few levels: many ties
TIED = arrays(np.float64, SHAPE, elements=LEVELS)
PAIRS = st.tuples(TIED, TIED).filter(lambda pair: all(np.ptp(one) > 0 for one in pair))
every_metric = pytest.mark.parametrize("name", METRICS)


def one(metric, model, human, *args) -> float:
    """A metric of one pair of arrays."""
    found = metric(torch.from_numpy(np.array(model)[None]), torch.from_numpy(np.array(human)[None]), *args)
    assert found.dtype == torch.float64
    return found.item()


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def stack(seed: int, images: int = 6, model: tuple[int, int] = (7, 9), human: tuple[int, int] = (20, 24)):
    """Signed model maps and blurred human blobs."""
    generator = torch.Generator().manual_seed(seed)
    blobs = resize(torch.rand(images, 4, 4, generator=generator) ** 3, human)
    return torch.randn(images, *model, generator=generator), blobs


# --- Against slow versions and scipy -----------------------------------------------------------------------------


@FEW
@given(PAIRS)
def test_figures_equal_the_slow_versions(pair) -> None:
    model, human = scaled(pair[0]), pair[1]
    for name in ("sim", "kl", "nss", "energy"):
        expected = getattr(slow, name)(model, human)
        assert one(METRICS[name], model, human) == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@FEW
@given(PAIRS)
def test_correlations_equal_scipy(pair) -> None:
    model, human = pair
    assert one(METRICS["cc"], model, human) == pytest.approx(stats.pearsonr(model.ravel(), human.ravel())[0], abs=1e-6)
    expected = stats.spearmanr(model.ravel(), human.ravel())[0]
    assert one(METRICS["spearman"], model, human) == pytest.approx(expected, abs=1e-9)


@FEW
@given(PAIRS)
def test_auc_counts_every_pair_of_pixels(pair) -> None:
    model, human = pair
    looked = slow.marked(human)
    got = one(METRICS["auc_judd"], model, human)
    if all(looked):
        assert math.isnan(got)
    else:
        assert got == pytest.approx(slow.auc(model, human))
        assert got == pytest.approx(float(auroc(model.ravel(), looked)))


@FEW
@given(st.permutations(range(30)), st.integers(1, 29))
def test_auc_differs_from_judds_thresholds_by_less_than_half_a_fixation(order, fixations: int) -> None:
    model = np.array(order, dtype=np.float64).reshape(SHAPE)
    human = (np.arange(30) < fixations).astype(np.float64).reshape(SHAPE)
    area, passed = slow.auc_by_thresholds(model, human)
    assert one(METRICS["auc_judd"], model, human) == pytest.approx(area - passed / (2 * fixations))


@settings(max_examples=8, deadline=None)
@given(PAIRS, st.sampled_from([None, 0.1, 0.5, 1.0]))
def test_regions_share_ties_as_random_orders_do_on_average(pair, share: float | None) -> None:
    model, human = pair
    size = None if share is None else round(share * 30)
    expected = slow.dice(model, human, size)
    got = one(dice, model, human, share)
    assert got == pytest.approx(expected, abs=0.08)
    assert one(iou, model, human, share) == pytest.approx(got / (2 - got))


@FEW
@given(PAIRS, st.sampled_from([0.0, 0.13, 0.2, 0.5]))
def test_pointing_measures_the_distance_to_the_nearest_marked_pixel(pair, tolerance: float) -> None:
    expected = slow.pointing(*pair, tolerance * math.hypot(*SHAPE))
    assert one(pointing, *pair, tolerance) == pytest.approx(expected)


def test_ssim_equals_the_formula() -> None:
    model, human = stack(3, 4, (32, 32), (32, 32))
    got = METRICS["ssim"](model, human)
    for k in range(4):
        a, b = (scaled(maps[k].double().numpy()) for maps in (model, human))
        assert got[k].item() == pytest.approx(gaussian_ssim(a, b), abs=1e-5)


def gaussian_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, by scipy's Gaussian filter with mirrored edges."""
    from scipy.ndimage import gaussian_filter

    def blur(values):
        return gaussian_filter(values, 1.5, mode="mirror", radius=5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    low, high = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + low) * (2 * both + high)
    return float((top / ((mean_a**2 + mean_b**2 + low) * (var_a + var_b + high))).mean())


# --- Figures worked out by hand ----------------------------------------------------------------------------------


def test_a_small_case_by_hand() -> None:
    human = [[1.0, 0.0], [0.0, 0.0]]
    model = [[3.0, 1.0], [-1.0, -1.0]]  # scaled: 1, 1/2, 0, 0; as shares: 2/3, 1/3, 0, 0
    expected = {
        "cc": 0.625 / math.sqrt(0.6875 * 0.75),
        "spearman": 3 / math.sqrt(4.5 * 3),
        "sim": 2 / 3,
        "kl": math.log(1.5),
        "nss": 0.625 / math.sqrt(0.6875 / 4),
        "auc_judd": 1.0,
        "iou": 1.0,
        "dice": 1.0,
        "energy": 2 / 3,
        "pointing": 1.0,
    }
    for name, value in expected.items():
        assert one(METRICS[name], model, human) == pytest.approx(value, abs=1e-6), name
    assert math.isnan(one(METRICS["ssim"], model, human))


def test_a_human_map_keeps_its_own_zero() -> None:
    human = [[3.0, 1.0], [1.0, 1.0]]  # as shares: 1/2, 1/6, 1/6, 1/6
    model = [[1.0, 0.0], [0.0, 0.0]]
    assert one(METRICS["sim"], model, human) == pytest.approx(1 / 2)
    assert one(METRICS["kl"], human, human) > 1  # the model's map loses its floor, and people marked something there


def test_a_tie_for_the_last_place_counts_in_part() -> None:
    human = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    model = [[9.0, 4.0, 4.0], [4.0, 1.0, 0.0]]  # one sure pixel, three for one place
    assert one(dice, model, human) == pytest.approx((1 + 1 / 3) / 2)
    assert one(iou, model, human) == pytest.approx((4 / 3) / (8 / 3))
    flat = [[2.0, 2.0, 2.0], [2.0, 2.0, 0.0]]  # two of the five maxima are marked
    assert one(pointing, flat, human, 0.0) == pytest.approx(2 / 5)


def test_pointing_tolerates_a_near_miss_only() -> None:
    human, model = np.zeros((30, 40)), np.zeros((30, 40))
    human[10, 10], model[13, 14] = 1, 1  # 5 pixels apart on a diagonal of 50
    assert one(pointing, model, human, 0.1) == 1
    assert one(pointing, model, human, 0.0999) == 0
    assert one(pointing, model, human) == 0


# --- What must hold for any maps ---------------------------------------------------------------------------------


def test_every_metric_has_a_label() -> None:
    assert list(LABELS) == list(METRICS)
    assert set(METRICS) - HIGHER_IS_BETTER == {"kl"}


@every_metric
def test_people_agree_with_themselves_more_than_with_another_image(name: str) -> None:
    _, human = stack(0)
    sign = 1 if name in HIGHER_IS_BETTER else -1
    own, other = METRICS[name](human, human), METRICS[name](human.roll(1, 0), human)
    assert (sign * own >= sign * other - 1e-9).all()
    assert (sign * own).mean() > (sign * other).mean() + 0.1
    perfect = {"cc": 1, "spearman": 1, "sim": 1, "kl": 0, "auc_judd": 1, "iou": 1, "dice": 1, "pointing": 1, "ssim": 1}
    if name in perfect:
        slack = 0.05 if name in ("sim", "kl", "ssim") else 1e-6  # the lowest value of a blob is not quite 0
        torch.testing.assert_close(own, torch.full((6,), float(perfect[name]), dtype=own.dtype), atol=slack, rtol=0)


@every_metric
def test_neither_the_scale_of_a_map_nor_its_neighbours_matter(name: str) -> None:
    model, human = stack(1)
    together = METRICS[name](model, human)
    torch.testing.assert_close(METRICS[name](1e-3 * model + 5, human), together, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(METRICS[name](1e-30 * model, 0.25 * human), together, atol=1e-4, rtol=1e-4)
    alone = torch.cat([METRICS[name](model[k : k + 1], human[k : k + 1]) for k in range(6)])
    torch.testing.assert_close(alone, together)


@every_metric
def test_turning_both_maps_changes_nothing(name: str) -> None:
    model, human = stack(2, human=(18, 22))
    expected = METRICS[name](resize(model, (18, 22)), human)
    turned = METRICS[name](resize(model, (18, 22)).rot90(1, (1, 2)), human.rot90(1, (1, 2)))
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-5)


@every_metric
def test_blank_and_constant_maps_are_nan_or_chance_beside_normal_ones(name: str) -> None:
    model, human = stack(4)
    human[1], human[2], model[3] = 0, 0.7, -2.5
    got = METRICS[name](model, human)
    assert got.isnan().tolist() == [False, True, True, name in ("cc", "spearman", "nss"), False, False]
    area = maps_agree.marked(human)[3].double().mean().item()
    chance = {"auc_judd": 0.5, "dice": area, "iou": area / (2 - area), "energy": area}
    if name in chance:
        assert got[3].item() == pytest.approx(chance[name])


def test_a_plateau_stays_one_through_the_interpolation() -> None:
    model, human = torch.full((1, 3, 3), 0.3), torch.zeros(1, 50, 50)
    model[0, 0, 0], human[0, 40:, 40:] = 0.9, 1
    got = agreement(model, human, ["auc_judd"])["auc_judd"].item()
    fitted = resize(model.double(), (50, 50))[0]
    above = ((fitted > 0.3 + 1e-6).sum() / 2400).item()  # the rest, the marked corner in it, is tied
    assert got == pytest.approx((1 - above) / 2)


def test_a_distribution_sums_to_one() -> None:
    model, _ = stack(5)
    model[0] = 3.0
    got = distribution(model)
    torch.testing.assert_close(got.sum((1, 2)), torch.ones(6, dtype=torch.float64))
    assert (got[0] == 1 / 63).all()
    assert got[1].min() == 0


# --- All at once -------------------------------------------------------------------------------------------------


def test_agreement_gives_what_each_metric_gives_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, human = stack(6)
    human[4] = 0
    at_once = agreement(model, human)
    assert list(at_once) == list(METRICS)
    monkeypatch.setattr(maps_agree, "_PIXELS", 2 * 20 * 24)
    in_blocks = agreement(model, human)
    for name, metric in METRICS.items():
        torch.testing.assert_close(at_once[name], metric(model, human), equal_nan=True)
        torch.testing.assert_close(in_blocks[name], at_once[name], equal_nan=True)


def test_agreement_takes_other_types_and_no_images() -> None:
    model, human = stack(7)
    mask = human > 0.3
    expected = agreement(model.half().float(), mask.float())
    got = agreement(model.half(), mask)
    for name in METRICS:
        torch.testing.assert_close(got[name], expected[name])
    assert all(found.shape == (0,) for found in agreement(model[:0], human[:0]).values())
    assert list(agreement(model, human, ["energy", "cc"])) == ["energy", "cc"]


def test_what_cannot_be_compared_is_refused() -> None:
    model, human = stack(8)
    with pytest.raises(SalignError, match=r"metric: expected cc, spearman, .* got 'pearson'"):
        agreement(model, human, ["pearson"])
    with pytest.raises(SalignError, match=r"human: expected .*N = 6 as of model, got .*\(5, 20, 24\)"):
        agreement(model, human[:5])
    with pytest.raises(SalignError, match=">= 0 everywhere; number 2"):
        agreement(model, human - (torch.arange(6) == 2)[:, None, None] * 9.0)
    model[3, 0, 0] = math.nan
    with pytest.raises(SalignError, match="model map is finite everywhere; number 3"):
        METRICS["cc"](model, human)
    with pytest.raises(SalignError, match="share"):
        iou(model, human, share=10)


def test_the_guide_explains_every_metric() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = "".join(line.split("|")[1] for line in guide.splitlines() if line.startswith("| `"))
    assert [name for name in METRICS if f"`{name}`" not in table] == []
