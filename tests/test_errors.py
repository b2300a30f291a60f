"""Choices by name are checked in one way, and the message says what was probably meant."""

from __future__ import annotations

import pytest

from salign.errors import SalignError, one_of


def test_a_choice_there_is_is_given_back():
    assert one_of("mean", ("union", "mean"), "--annotators") == "mean"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("degree", "expected position to be image, screen or degrees, got 'degree'; did you mean 'degrees'?"),
        ("xyz", "expected position to be image, screen or degrees, got 'xyz'"),
        (3, "expected position to be image, screen or degrees, got '3'"),
    ],
)
def test_any_other_is_refused_with_the_nearest(value, message):
    with pytest.raises(SalignError) as caught:
        one_of(value, ("image", "screen", "degrees"), "position")
    assert str(caught.value) == message
