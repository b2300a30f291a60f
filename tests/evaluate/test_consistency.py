"""Consistency between runs: figures worked out by hand, loops over pairs, scipy, and how noise must lower it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from salign.errors import SalignError
from salign.evaluate.agreement import METRICS
from salign.evaluate.consistency import answer_consistency, entropy, map_consistency, mean_map
from salign.maps import min_max

ANSWERS = arrays(np.int64, st.tuples(st.integers(2, 5), st.integers(1, 6)), elements=st.integers(0, 3))


def runs(seed: int, count: int = 4, images: int = 3, noise: float = 1.0) -> torch.Tensor:
    """`(R, N, 7, 8)` signed maps: what all runs share, and noise of their own."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(1, images, 7, 8, generator=generator)
    return shared + noise * torch.randn(count, images, 7, 8, generator=generator)


# --- Maps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_every_pair_of_runs_counts_the_same(metric: str) -> None:
    maps = runs(0)
    scaled = min_max(maps.double())
    pairs = list(itertools.permutations(range(4), 2))
    expected = sum(METRICS[metric](scaled[r], scaled[s]) for r, s in pairs) / len(pairs)
    torch.testing.assert_close(map_consistency(maps, metric), expected)
    shuffled = maps[torch.tensor([2, 0, 3, 1])]
    torch.testing.assert_close(map_consistency(shuffled, metric), expected)


def test_the_pairs_are_scored_by_pearson_unless_told_otherwise() -> None:
    maps = runs(1, count=3, images=2)
    flat = maps.double().flatten(2).numpy()
    for image, got in enumerate(map_consistency(maps)):
        pairs = itertools.combinations(range(3), 2)
        expected = np.mean([stats.pearsonr(flat[r, image], flat[s, image])[0] for r, s in pairs])
        assert got.item() == pytest.approx(expected, abs=1e-6)


def test_equal_runs_agree_and_noise_lowers_it() -> None:
    means = [map_consistency(runs(2, noise=noise)).mean().item() for noise in (0.0, 0.5, 1.0, 4.0)]
    assert means[0] == pytest.approx(1)
    assert means == sorted(means, reverse=True)
    assert means[2] == pytest.approx(0.5, abs=0.1)  # the share of the variance that is shared


def test_a_map_without_shape_takes_its_pairs_out_but_no_other_image() -> None:
    maps = runs(3)
    maps[1, 0] = 0.4
    got = map_consistency(maps)
    torch.testing.assert_close(got[:1], map_consistency(maps[[0, 2, 3]])[:1])
    torch.testing.assert_close(got[1:], map_consistency(maps)[1:])
    maps[2:, 0] = 0
    assert map_consistency(maps).isnan().tolist() == [True, False, False]
    assert map_consistency(maps[:1]).isnan().all()


def test_runs_may_be_read_one_at_a_time() -> None:
    maps = runs(4).numpy().astype(np.float16)

    class Folder:
        """Runs on the disk; counts what is read."""

        read = 0

        def __len__(self) -> int:
            return len(maps)

        def __getitem__(self, run: int) -> np.ndarray:
            self.read += 1
            return maps[run]

    folder = Folder()
    expected = map_consistency(torch.from_numpy(maps))
    torch.testing.assert_close(map_consistency(folder), expected)  # type: ignore[arg-type]
    assert folder.read <= 1 + 3 + 6
    torch.testing.assert_close(map_consistency(list(maps)), expected)


def test_runs_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SalignError, match="got none"):
        map_consistency([])
    with pytest.raises(SalignError, match=r"run 0 has \(3, 7, 8\) and run 1 \(2, 7, 8\)"):
        map_consistency([runs(5)[0], runs(5)[1, :2]])
    with pytest.raises(SalignError, match=r"metric: expected cc, spearman, .* got 'pearson'"):
        map_consistency(runs(5), "pearson")
    with pytest.raises(SalignError, match="1 values of which are not finite"):
        entropy([[[0.0, math.inf]]])


def test_mean_map_gives_every_image_the_same_say() -> None:
    maps = np.array([[[0.0, 10.0], [5.0, 0.0]], [[-1.0, -1.0], [0.0, -0.5]], [[3.0, 3.0], [3.0, 3.0]]])
    np.testing.assert_allclose(mean_map(maps), np.array([[0, 1], [1.5, 0.5]]) / 3)
    with pytest.raises(SalignError, match="got none"):
        mean_map(maps[:0])


def test_entropy_of_known_maps() -> None:
    maps = torch.zeros(4, 4, 4)
    maps[1, 2, 3] = 1  # one pixel
    maps[2, :2] = 5.0  # half of the pixels
    maps[3, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    expected = [1, 0, math.log(8) / math.log(16), stats.entropy([1, 2, 3, 4]) / math.log(16)]
    np.testing.assert_allclose(entropy(maps), expected, atol=1e-12)
    np.testing.assert_allclose(entropy(3 * maps - 7), expected, atol=1e-6)
    assert entropy(torch.rand(2, 1, 1)).isnan().all()


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (2, 5, 4), elements=st.floats(-1e3, 1e3, width=32)))
def test_entropy_stays_in_its_range_and_equals_scipy(maps) -> None:
    got = entropy(maps)
    assert ((got >= 0) & (got <= 1)).all()
    for one, value in zip(min_max(torch.from_numpy(maps)), got, strict=True):
        if one.any():
            assert value.item() == pytest.approx(stats.entropy(one.ravel()) / math.log(20), abs=1e-9)


# --- Answers -----------------------------------------------------------------------------------------------------


@given(ANSWERS)
def test_answers_agree_as_often_as_a_loop_over_pairs_finds(predicted) -> None:
    pairs = list(itertools.combinations(predicted, 2))
    expected = sum((first == second).mean() for first, second in pairs) / len(pairs)
    assert answer_consistency(predicted) == pytest.approx(expected)


def test_answers_agree_as_often_as_a_table_of_votes_says() -> None:
    votes = [[6, 0, 0], [1, 5, 0], [4, 2, 0], [0, 2, 4], [2, 1, 3]]
    predicted = np.array([np.repeat([0, 1, 2], row) for row in votes]).T
    assert answer_consistency(predicted) == pytest.approx((15 + 10 + 7 + 7 + 4) / (5 * 15))  # pairs of six raters


def test_answers_of_one_run_or_of_no_images_have_no_consistency() -> None:
    for table in (np.zeros((1, 5), int), np.zeros((3, 0), int)):
        assert math.isnan(answer_consistency(table))
    with pytest.raises(SalignError, match=r"class numbers \(runs, images\); got float64"):
        answer_consistency([[0.5, 1.0]])
