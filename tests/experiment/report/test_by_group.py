"""The table of groups of images: its figures by hand, and when it is not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from made_study import made, study
from salign.experiment.report.by_group import groups_of_images
from salign.experiment.report.groups import groups_of
from salign.pages.sheet import Table

RIGHT = {("ce", 0): (0.9, 0.2), ("ce", 1): (0.8, 0.4), ("cyborg", 0): (0.7, 0.6), ("cyborg", 1): (0.7, 0.8)}
"""Arm and seed -> accuracy where the colour is right, and where it is wrong."""
FORGOTTEN = {"ce": 0.25, "cyborg": 0.05}


@pytest.fixture
def tables(digits: Path, tmp_path: Path) -> list[Table]:
    plan = study(digits, grids=[{"arms": ["ce", "cyborg"], "seeds": 2}], controls=[])
    results = made(tmp_path, digits, plan)
    for row in results.runs.itertuples():
        right, wrong = RIGHT[str(row.arm), int(row.seed)]
        figures = [
            ("test_ood", "", "", "accuracy", 0.5),
            ("test_ood", "colour", "right", "accuracy", right),
            ("test_ood", "colour", "wrong", "accuracy", wrong),
            ("test_iid", "colour", "right", "accuracy", 0.11),
            ("test_ood", "colour", "right", "brier", 0.12),
            ("val", "colour", "wrong", "forgotten", FORGOTTEN[str(row.arm)]),
        ]
        table = pd.DataFrame(figures, columns=["split", "group_column", "group", "metric", "value"])
        table.assign(low="", high="", n=10, note="").to_csv(Path(str(row.path)) / "evaluation.csv", index=False)
    return groups_of_images(plan, groups_of(plan, results.figures), results.runs, {})  # type: ignore[return-value]


def test_each_group_and_the_worst_stand_beside_their_difference_to_the_baseline(tables: list[Table]) -> None:
    accuracy, forgotten = tables
    assert "by colour: accuracy on test_ood" in accuracy.caption
    rows = accuracy.frame.set_index("arm")
    assert list(rows) == ["right", "right − ce", "wrong", "wrong − ce", "worst group", "worst group − ce"]
    assert rows.loc["ce"].tolist() == ["85.0 ± 7.1", "–", "30.0 ± 14.1", "–", "30.0 ± 14.1", "–"]
    assert rows.loc["cyborg", "right"] == "70.0 ± 0.0"
    # seeds: .7 - .9 and .7 - .8, mean -.15, half width 12.706 * .0707 / sqrt(2) = .635
    assert rows.loc["cyborg", "right − ce"] == "−15.0 [−78.5, +48.5]"
    assert rows.loc["cyborg", "worst group"] == "65.0 ± 7.1"  # .6 is of the wrong colour, .7 of the right one
    assert rows.loc["cyborg", "worst group − ce"].startswith("+35.0 [")
    assert "right at an epoch and wrong at the end" in forgotten.caption
    assert forgotten.frame["wrong"].tolist() == ["25.0 ± 0.0", "5.0 ± 0.0"]
    assert list(forgotten.frame) == ["arm", "wrong", "wrong − ce"]


def test_arms_that_share_their_runs_count_each_seed_once(digits: Path, tmp_path: Path) -> None:
    again = {"again": {"loss": {"name": "cyborg"}}}
    plan = study(digits, grids=[{"arms": ["ce", "cyborg", "again"], "seeds": 2}], controls=[], arms=again)
    results = made(tmp_path, digits, plan, {"ce": 0.5, "cyborg": 0.5, "again": 0.5})
    assert results.runs["path"].nunique() == 4
    for row in results.runs.itertuples():
        table = pd.DataFrame({"split": ["test_ood"], "group_column": "colour", "group": "wrong", "metric": "accuracy"})
        value = RIGHT["cyborg" if row.arm == "again" else str(row.arm), int(row.seed)][1]
        table.assign(value=value).to_csv(Path(str(row.path)) / "evaluation.csv", index=False)
    (sheet,) = groups_of_images(plan, groups_of(plan, results.figures), results.runs, {})
    assert isinstance(sheet, Table)
    rows = sheet.frame.set_index("arm")["wrong"]
    # .6 and .8: the standard deviation of two seeds is .141; were each to count twice, it would be .115
    assert rows["cyborg"] == rows["again"] == "70.0 ± 14.1"


def test_runs_that_report_on_no_groups_have_no_such_table(digits: Path, tmp_path: Path) -> None:
    plan = study(digits)
    results = made(tmp_path, digits, plan)
    assert groups_of_images(plan, groups_of(plan, results.figures), results.runs, {}) == []
