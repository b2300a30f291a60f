"""Every verdict with figures that bring it about, and with figures that just do not."""

from __future__ import annotations

import numpy as np
import pytest

from salign.evaluate import verdicts

PAIR = ("cat", "dog")
LABELS = np.array([0] * 12 + [1] * 28)


def test_one_answer_for_all_images() -> None:
    table = np.tile([0.3, 0.7], (40, 1))
    verdict = verdicts.one_answer("test", table, LABELS, PAIR)
    assert verdict.sentence.startswith("test: all 40 images are called dog")
    assert "train.lr" in verdict.advice
    table[0] = [0.4, 0.6]  # still one answer, but the probabilities differ
    assert "threshold" in verdicts.one_answer("test", table, LABELS, PAIR).advice
    table[0] = [0.6, 0.4]
    assert verdicts.one_answer("test", table, LABELS, PAIR) is None


@pytest.mark.parametrize(("best", "found"), [(0.7, True), (0.725, False)])
def test_never_better_than_the_largest_class(best: float, found: bool) -> None:
    verdict = verdicts.never_better([0.3, best, float("nan")], LABELS, PAIR)
    assert (verdict is not None) == found
    if verdict:
        assert verdict.sentence == (
            "the best accuracy on validation in 3 epochs is 0.700, and calling every image dog gives 0.700"
        )
        assert "data.sampling: balanced" in verdict.advice


def test_training_that_has_not_converged() -> None:
    falling = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])  # .2 of .7 in the last two epochs
    verdict = verdicts.not_converged(falling, falling[::-1])
    assert verdict.sentence == "in the last 2 epochs of 8 the training loss still fell by 29% of its whole fall"
    assert "train.epochs of 16" in verdict.advice
    assert verdicts.not_converged(falling, [0.5, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6]) is None  # validation turned
    flat = np.array([1.0, 0.5, 0.3, 0.2, 0.17, 0.16, 0.12, 0.09])  # .06 of .91: less than a tenth
    assert verdicts.not_converged(flat, flat[::-1]) is None
    flat[-2:] -= 0.04  # .1 of .95
    assert verdicts.not_converged(flat, flat[::-1]) is not None
    assert verdicts.not_converged([0.4]).sentence == "training had one epoch"
    assert verdicts.not_converged([0.4, 0.4]) is None


def test_validation_that_is_too_easy() -> None:
    assert verdicts.easy_validation([0.9, 1.0, 1.0, 0.95], "AUROC").sentence == (
        "2 of 4 epochs reach AUROC 1.000 on validation"
    )
    assert verdicts.easy_validation([0.9, 1.0, 0.998, 0.95], "AUROC") is None
    assert verdicts.easy_validation([1.0, 1.0] + [0.9] * 7, "AUROC") is None  # two of nine are chosen by chance alone


def test_few_images() -> None:
    assert verdicts.few_images("test", [0] * 9 + [1] * 40, PAIR).sentence == (
        "test has 9 of cat; one answer changes its recall by 11 points"
    )
    assert verdicts.few_images("test", [1] * 40, PAIR).sentence == "test has 0 of cat"
    assert verdicts.few_images("test", [0] * 10 + [1] * 40, PAIR) is None


def test_an_area_that_is_not_told_from_chance() -> None:
    assert verdicts.at_chance("test", "AUROC", 0.6, 0.5, 0.7, 40).kind == "not told from chance"
    assert verdicts.at_chance("test", "AUROC", 0.6, 0.501, 0.7, 40) is None
    assert verdicts.at_chance("test", "AUROC", 0.3, 0.2, 0.45, 40).kind == "worse than chance"
    assert verdicts.at_chance("test", "AUROC", 0.3, float("nan"), float("nan"), 40) is None


def test_maps_that_are_missing_few_or_alike() -> None:
    assert verdicts.too_few_maps(0, 80, "cyborg").kind == "nothing to guide"
    assert verdicts.too_few_maps(19, 80, "cyborg").sentence == "19 of 80 training images have a map"
    assert verdicts.too_few_maps(20, 80, "cyborg") is None
    assert verdicts.alike_maps(0.5, 0.5).sentence == "the maps of two training images correlate 0.50 on average"
    assert verdicts.alike_maps(0.499, 0.5) is None
    assert verdicts.alike_maps(float("nan"), 0.5) is None


def test_a_region_test_of_one_answer_has_no_meaning() -> None:
    alike = verdicts.one_answer("test", np.tile([0.3, 0.7], (40, 1)), LABELS, PAIR)
    assert "test: all images get the same answer" in verdicts.idle_region_test("test", alike).sentence
    assert verdicts.idle_region_test("test", None) is None


def test_every_verdict_says_what_to_do() -> None:
    verdict = verdicts.easy_validation([1.0, 1.0], "accuracy")
    assert str(verdict) == f"validation too easy to choose by: {verdict.sentence}. {verdict.advice}"
