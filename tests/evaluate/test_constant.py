"""A classifier that answers alike to everything is recognised, and a good one on images of one kind is not."""

from __future__ import annotations

import numpy as np
import pytest

from salign.errors import SalignError
from salign.evaluate.constant import TINY, constant_answer, constant_note

SAME = [[0.9, 0.1], [0.6, 0.4], [0.55, 0.45]]


def test_one_class_for_every_image_is_a_constant_answer_whose_scores_may_still_differ() -> None:
    found = constant_answer(SAME, [0, 1, 1])
    assert found is not None
    assert found.answer == (0,)
    assert found.images == 3
    assert found.spread == pytest.approx(0.35)
    assert not found.blind
    assert (
        found.describe(["cat", "dog"]) == "all 3 images are called cat, with probabilities that differ by at most 0.35"
    )


def test_probabilities_that_hardly_differ_tell_no_images_apart() -> None:
    near = constant_answer([[0.3, 0.7], [0.3 + 0.9 * TINY, 0.7 - 0.9 * TINY]])
    far = constant_answer([[0.3, 0.7], [0.3 + 1.1 * TINY, 0.7 - 1.1 * TINY]])
    assert near is not None
    assert near.answer == (1,)
    assert near.blind
    assert far is not None
    assert not far.blind


def test_the_spread_is_that_of_the_class_where_it_is_most() -> None:
    found = constant_answer([[0.8, 0.15, 0.05], [0.7, 0.2, 0.1], [0.75, 0.02, 0.23]])
    assert found is not None
    assert found.spread == pytest.approx(0.18)  # the three classes: .10, .18, .18


@pytest.mark.parametrize(
    ("probabilities", "labels", "multi_label"),
    [
        pytest.param([[0.9, 0.1], [0.4, 0.6]], [0, 1], False, id="two answers"),
        pytest.param([[0.9, 0.1]], [1], False, id="one image"),
        pytest.param(SAME, [0, 0, 0], False, id="all of them right: images of one kind"),
        pytest.param([[0.9, 0.1], [0.4, 0.1]], None, True, id="one of several and none"),
        pytest.param([[0.9, 0.9], [0.6, 0.7]], [[1, 1], [1, 1]], True, id="several, all right"),
    ],
)
def test_what_is_no_constant_answer(probabilities: object, labels: object, multi_label: bool) -> None:
    assert constant_answer(probabilities, labels, multi_label=multi_label) is None  # type: ignore[arg-type]


def test_images_all_of_one_kind_that_get_another_answer_are_reported() -> None:
    found = constant_answer(SAME, [1, 1, 1])
    assert found is not None
    assert found.answer == (0,)


def test_where_images_may_have_several_labels_the_answer_is_a_set_of_classes() -> None:
    found = constant_answer([[0.9, 0.8, 0.1], [0.6, 0.7, 0.2]], [[1, 0, 0], [0, 0, 0]], multi_label=True)
    assert found is not None
    assert found.answer == (0, 1)
    assert found.describe(["a", "b", "c"]).startswith("all 2 images are called a, b, with")
    nothing = constant_answer([[0.1, 0.2], [0.3, 0.4]], multi_label=True)
    assert nothing is not None
    assert nothing.answer == ()
    assert nothing.describe(["a", "b"]).startswith("all 2 images are called none of the classes, with")


@pytest.mark.parametrize(
    ("probabilities", "labels", "said"),
    [
        ([0.5, 0.5], None, r"\(N, K\) probabilities and N labels; got \(2,\) and none"),
        (SAME, [0, 1], r"got \(3, 2\) and \(2,\)"),
        ([[0.5, np.nan]], None, "probability of image 0"),
    ],
)
def test_what_is_no_table_of_answers_is_refused(probabilities: object, labels: object, said: str) -> None:
    with pytest.raises(SalignError, match=said):
        constant_answer(probabilities, labels)  # type: ignore[arg-type]


def test_the_note_says_what_may_not_be_concluded() -> None:
    names = ["cat", "dog"]
    assert constant_note(SAME, [0, 1, 1], names) == (
        "all 3 images are called cat, with probabilities that differ by at most 0.35: the classifier may tell images "
        "apart by a threshold only, and neither its accuracy nor answers that stay or agree speak for it"
    )
    assert "the classifier tells no images apart, and neither" in constant_note(
        [[0.3, 0.7], [0.301, 0.699]], None, names
    )
    assert constant_note([[0.9, 0.1], [0.4, 0.6]], [0, 1], names) == ""
