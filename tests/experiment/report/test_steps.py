"""Curves over the steps of the training, of made-up figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_study import study
from salign.experiment.report.groups import groups_of
from salign.experiment.report.steps import departures, over_steps
from salign.pages.plots import looks
from salign.pages.sheet import Plots, Text

STEPS = [0, 1, 5, 20]
CURVES = {
    ("ce", 0): [0.1, 0.3, 0.6, 0.9], ("cyborg", 0): [0.1, 0.3, 0.7, 0.95], ("shuffled", 0): [0.1, 0.2, 0.3, 0.4],
    ("ce", 1): [0.1, 0.4, 0.7, 0.9], ("cyborg", 1): [0.1, 0.4, 0.7, 0.91], ("shuffled", 1): [0.1, 0.4, 0.7, 0.8],
}  # fmt: skip
"""Arm and seed -> accuracy after the steps."""


@pytest.fixture
def measured() -> pd.DataFrame:
    rows = [
        ("data", "network", arm, -1, 1.0, seed, "test_ood", metric, value)
        for (arm, seed), values in CURVES.items()
        for step, accuracy in zip(STEPS, values, strict=True)
        for metric, value in ((f"step/{step}/accuracy", accuracy), (f"step/{step}/inside", np.nan))
    ]
    columns = ["dataset", "network", "arm", "images", "annotated", "seed", "set", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_the_step_is_the_first_from_which_on_an_arm_stays_apart(measured: pd.DataFrame, digits) -> None:
    plan = study(digits)
    (group,) = groups_of(plan, measured)
    assert departures(plan, group, "shuffled").to_dict() == {0: 1, 1: 20}
    assert departures(plan, group, "cyborg").to_dict() == {0: 5, 1: np.inf}


def test_the_section_draws_what_was_measured_and_says_who_leaves_first(measured: pd.DataFrame, digits) -> None:
    plan = study(digits)
    groups = groups_of(plan, measured)
    plots, text = over_steps(plan, groups, pd.DataFrame(), looks(["ce", "cyborg", "shuffled"]))
    assert isinstance(plots, Plots)
    assert isinstance(text, Text)
    assert len(plots.svgs) == 1  # nothing was measured on the sides of a region
    assert "shuffled: 10.0 at 1, 30.0 at 2, 50.0 at 6, 60.0 at 21" in plots.svgs[0]
    apart, above, below = "by more than 2 points for good in", "points above.", "points below."
    assert text.paragraphs == [
        f"cyborg leaves ce {apart} 1 of 2 seeds, at step 5 in the median; at the end its mean is 3.0 {above}",
        f"shuffled leaves ce {apart} 2 of 2 seeds, at step 10.5 in the median; at the end its mean is 30.0 {below}",
        "cyborg leaves before shuffled in 0 of 2 seeds, shuffled before cyborg in 2.",
    ]
    bare = measured[~measured["metric"].str.startswith("step/")]
    assert over_steps(plan, groups_of(plan, bare), pd.DataFrame(), looks(["ce"])) == []
