"""The demonstration is a study that ends with its report; what is done is not repeated."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from command import salign
from salign.experiment.demo import run_demo
from salign.experiment.study import Study, expand

pytestmark = pytest.mark.slow


def test_a_short_demonstration_ends_with_a_report_and_repeats_nothing(tmp_path: Path) -> None:
    first = run_demo(tmp_path, seeds=1, epochs=1, progress=False)
    runs = [Path(path) for path in first.results.runs["path"]]
    assert first.results.runs["arm"].tolist() == ["ce", "cyborg", "shuffled"]
    assert all(len(pd.read_csv(run / "predictions" / "test_ood.csv")) == 400 for run in runs)
    stamps = {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("*") if path.is_file()}
    page = first.page.read_bytes()
    ended = salign("demo", "--out", tmp_path, "--seeds", 1, "--epochs", 1)
    assert f"wrote {first.page}" in ended.out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert first.page.read_bytes() == page
    assert any("one seed" in sentence.lower() or "chance" in sentence.lower() for sentence in first.verdict)


def test_the_study_it_leaves_is_the_one_it_ran(tmp_path: Path) -> None:
    shown = run_demo(tmp_path, seeds=1, epochs=1, progress=False)
    assert expand(Study.read(shown.source)) == expand(shown.study)
    ended = salign("experiment", shown.source, "--out", tmp_path, "--list")
    assert "runs are left" not in ended.out
