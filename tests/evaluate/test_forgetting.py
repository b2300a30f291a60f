"""What a training has forgotten, of all images and of groups, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from salign.errors import SalignError
from salign.evaluate.forgetting import evaluate_forgetting

TABLE = pd.DataFrame({"id": list("abcdef"), "split": "val", "label": list("xxxyyy"), "mark": list("pqpqpq")})
CORRECT = np.array(
    [
        [1, 1, 0, 0, 0, 1],  # a, b and f are right, of which a and b are lost
        [0, 0, 1, 1, 0, 1],  # d is lost
        [0, 0, 1, 0, 1, 1],
    ],
    dtype=bool,
)


def test_forgotten_is_the_most_of_any_epoch() -> None:
    figures = evaluate_forgetting(TABLE, CORRECT, group_columns=["mark"], generator=np.random.default_rng(0))
    shares = figures.set_index("group")[["value", "n"]]
    assert shares.loc["", "value"] == pytest.approx(2 / 6)
    assert shares.loc["p", "value"] == pytest.approx(1 / 3)  # a, at the first epoch
    assert shares.loc["q", "value"] == pytest.approx(1 / 3)  # b at the first, or d at the second
    assert shares["n"].tolist() == [6, 3, 3]
    assert (figures["low"] <= figures["value"]).all()
    assert figures["metric"].unique().tolist() == ["forgotten"]


def test_nothing_is_forgotten_where_nothing_changes() -> None:
    always = np.array([[1, 0, 1, 1, 0, 1]] * 4, bool)
    figures = evaluate_forgetting(TABLE, always, generator=np.random.default_rng(0))
    assert figures[["value", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]]


def test_as_many_images_as_predictions() -> None:
    with pytest.raises(SalignError, match=r"correct: expected \(E, 6\).*got \(3, 5\)"):
        evaluate_forgetting(TABLE, CORRECT[:, :5], generator=np.random.default_rng(0))
    with pytest.raises(SalignError, match=r"correct: expected \(E, 6\).*got \(0, 6\)"):
        evaluate_forgetting(TABLE, CORRECT[:0], generator=np.random.default_rng(0))
