"""Split halves against a slow version that adds up every map of every split, and what is said of them."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from salign.annotate.split_half import Point, SplitHalf, spearman_brown, split_half


def slow_split_half(maps: list[np.ndarray], size: int) -> float:
    """Every way to fill two groups, orders and all: each split is counted equally often."""
    found = []
    for order in permutations(range(len(maps)), 2 * size):
        first = np.mean([maps[k] for k in order[:size]], axis=0)
        second = np.mean([maps[k] for k in order[size:]], axis=0)
        found.append(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    return float(np.mean(found))


def noisy(people: int, share: float, seed: int, side: int = 24) -> dict[int, np.ndarray]:
    """Maps of one true region and of each person's own noise; the correlation of two is `share`."""
    lot = np.random.default_rng(seed)
    true = lot.normal(size=(side, side))
    return {
        k: (math.sqrt(share) * true + math.sqrt(1 - share) * lot.normal(size=(side, side)) + 9).astype(np.float32)
        for k in range(people)
    }


@pytest.mark.parametrize("people", [2, 3, 4, 5, 6])
def test_it_equals_every_split_added_up(people):
    images = [noisy(people, 0.4, seed) for seed in range(3)]
    found = split_half(images)
    assert [one.people for one in found.points] == list(range(1, people // 2 + 1))
    for one in found.points:
        expected = np.mean([slow_split_half(list(maps.values()), one.people) for maps in images])
        assert one.r == pytest.approx(expected, abs=1e-6)
        assert one.images == 3
    assert found.people == people


def test_of_many_splits_a_draw_by_the_seed_is_near_all_of_them():
    images = [noisy(7, 0.3, 1, side=12)]
    found = split_half(images, seed=1)
    assert found == split_half(images, seed=1) != split_half(images, seed=2)
    assert found.points[2].r == pytest.approx(slow_split_half(list(images[0].values()), 3), abs=0.02)


def test_what_is_predicted_from_two_people_is_what_larger_groups_do():
    """Maps of one truth and independent noise: two groups of k correlate to k r / (1 + (k - 1) r)."""
    found = split_half(noisy(8, 0.3, seed, side=64) for seed in range(6))
    assert found.points[0].r == pytest.approx(0.3, abs=0.02)
    for one, expected in zip(found.points, (0.3, 6 / 13, 9 / 16, 12 / 19), strict=True):
        assert one.r == pytest.approx(expected, abs=0.03)
        assert found.predicted(one.people) == pytest.approx(one.r, abs=0.02)


def test_blank_maps_and_images_of_one_person_do_not_count():
    maps = noisy(3, 0.5, 0)
    blank = np.zeros_like(maps[0])
    found = split_half([maps | {7: blank, 8: blank + 1}, {1: maps[0]}, {1: maps[0], 2: blank}, {}])
    assert found == split_half([maps])
    assert (found.people, [(one.people, one.images) for one in found.points]) == (3, [(1, 1)])


def test_spearman_brown_by_hand():
    assert spearman_brown(0.5, 1) == 0.5
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(0.25, 12) == pytest.approx(0.8)


def curve(single: float, people: int, images: int = 30) -> SplitHalf:
    """What would be measured of two people, and so many maps of an image."""
    return SplitHalf((Point(1, single, images),), people)


@pytest.mark.parametrize(
    ("single", "people", "needed", "said"),
    [
        (0.5, 4, 4, "no: 4 people per image is enough, since 0.8 is usually asked for"),
        (0.5, 3, 4, "yes: 4 people per image would reach 0.8, which is usually asked for"),
        (0.9, 1, 1, "no: 1 person per image is enough"),
        (0.2, 2, 16, "more people are a long way: 16 per image would reach 0.8"),
        (0.22, 2, 15, "yes: 15 people per image would reach 0.8"),
        (0.0, 3, None, "people mark different things: look at the question"),
        (-0.1, 3, None, "people mark different things: look at the question"),
    ],
)
def test_it_says_whether_another_person_is_needed(single, people, needed, said):
    found = curve(single, people)
    assert found.needed == needed
    assert any(sentence.startswith(said) for sentence in found.sentences()), found.sentences()
    assert (
        found.sentences()[0] == f"maps of two people of the same image agree to {single:.2f} (correlation, 30 images)"
    )
    if needed is not None:
        assert found.predicted(needed) >= 0.8 - 1e-9
        assert needed == 1 or found.predicted(needed - 1) < 0.8


def test_what_a_person_more_adds_and_that_few_images_are_few():
    assert curve(0.5, 2).sentences()[1] == (
        "the mean map of 2 people agrees with that of as many others to 0.67, as predicted; with one person more to "
        "0.75"
    )
    assert curve(0.5, 2, images=9).sentences()[-1] == "9 images are few: look again when there are 10 or more"
    assert not any("few" in sentence for sentence in curve(0.5, 2, images=10).sentences())


def test_without_two_maps_it_says_what_is_missing():
    found = split_half([{1: np.eye(3)}])
    assert found.view() == {
        "points": [], "predicted": [], "people": 0, "goal": 0.8,
        "sentences": ["not known before two people have marked the same images"],
    }  # fmt: skip


def test_the_curve_goes_beyond_the_people_there_are():
    view = curve(0.5, 3).view()
    assert view["points"] == [{"people": 1, "r": 0.5, "images": 30}]
    assert view["predicted"] == pytest.approx([1 / 2, 2 / 3, 3 / 4, 4 / 5, 5 / 6, 6 / 7])
