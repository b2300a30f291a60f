"""Choices by name are checked in one way, and the message says what was probably meant."""

from __future__ import annotations

import pytest

from salign.errors import SalignError, one_of


@pytest.mark.parametrize(("value", "known"), [("mean", ("union", "mean")), (3, (1, 3)), (None, (None, "imagenet"))])
def test_a_choice_there_is_is_taken(value, known):
    one_of(value, known, "--annotators")
    with pytest.raises(SalignError, match="--annotators: expected "):
        one_of(str(value) + "s", known, "--annotators")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("degree", "position: expected image, screen or degrees, got 'degree'; did you mean 'degrees'?"),
        ("xyz", "position: expected image, screen or degrees, got 'xyz'"),
        (3, "position: expected image, screen or degrees, got 3"),
    ],
)
def test_any_other_is_refused_with_the_nearest(value, message):
    with pytest.raises(SalignError) as caught:
        one_of(value, ("image", "screen", "degrees"), "position")
    assert str(caught.value) == message
