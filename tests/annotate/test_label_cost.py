"""The time of maps in labels: by hand, and from what the page sends."""

from __future__ import annotations

import pytest

from annotate_page import BOX, write_images
from salign.annotate.export import export_to
from salign.annotate.label_cost import describe_label_cost


def test_ten_maps_of_twelve_seconds_are_thirty_labels_of_three():
    """Ten labels of three seconds would have been needed in any case: 90 s are left, 30 labels."""
    said = describe_label_cost([12.0] * 9 + [900.0], [3.0, 3.0, 1.0, 3.0, 50.0])
    assert said == (
        "an answer with a mark took 12 s (median of 10), a label alone 3 s (median of 5): the time of the maps would "
        "have labelled about 30 more images; a study compares with that by the arm ce_times@4"
    )


@pytest.mark.parametrize(
    ("marking", "labelling"), [([9.0] * 4, [3.0] * 5), ([9.0] * 5, [3.0] * 4), ([], []), ([9.0] * 5, [0.0] * 5)]
)
def test_of_few_answers_nothing_is_said(marking, labelling):
    assert describe_label_cost(marking, labelling) is None


def test_maps_that_take_no_longer_cost_nothing():
    said = describe_label_cost([2.0] * 5, [2.0] * 5)
    assert said == (
        "an answer with a mark took 2 s (median of 5), a label alone 2 s (median of 5): the maps cost no more time"
    )


def test_the_export_says_it_where_people_may_answer_without_a_mark(opened, joined, photos, tmp_path):
    write_images(photos, count=13)
    collection = opened(require_map=False)
    page = joined(collection, "Ann")
    for number in range(13):
        (task, *_) = page.tasks()
        if number == 12:
            page.save(task["id"], answer=None, shapes=[], skipped="not yet", elapsed_ms=1e6)
        else:
            page.save(task["id"], shapes=[BOX] * (number % 2), elapsed_ms=2000.0 + 8000 * (number % 2))
    done = export_to(collection, tmp_path / "export")
    (sentence,) = done.summary
    assert sentence.endswith(
        "would have labelled about 24 more images; a study compares with that by the arm ce_times@5"
    )
    assert (tmp_path / "export" / "summary.txt").read_text() == sentence + "\n"
