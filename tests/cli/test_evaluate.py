from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from command import salign
from salign.cli.show import run_figures
from salign.runs.run import Run


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_figures_are_computed_again_to_the_byte(run):
    before = (run / "evaluation.csv").read_bytes()
    (run / "evaluation.csv").unlink()
    ended = salign("evaluate", run)
    assert (run / "evaluation.csv").read_bytes() == before
    assert ended.out.strip().endswith(f"wrote {run / 'evaluation.csv'}. Next: salign explain {run}")
    kept = json.loads((run / "model.json").read_text())["threshold"]["probability"]
    assert f"threshold: called 7 from a probability of {kept:.4g} on (rule eer, chosen on validation)\n" in ended.out


def test_a_run_from_before_the_threshold_was_kept_shows_the_rounded_one(run, capsys):
    config = json.loads((run / "model.json").read_text())
    chosen = config.pop("threshold")["probability"]
    (run / "model.json").write_text(json.dumps(config))
    run_figures(Run(run))
    said = capsys.readouterr().out
    assert f"threshold {chosen:.4g} fixed beforehand" in said
    assert repr(chosen) not in said


def test_accuracy_is_the_share_of_answers_that_are_right(run):
    figures = pd.read_csv(run / "evaluation.csv")
    for name in ("val", "test_iid", "test_ood"):
        table = pd.read_csv(run / "predictions" / f"{name}.csv")
        (found,) = figures.query("split == @name and metric == 'accuracy' and group.isna()")["value"]
        assert found == pytest.approx((table["label"] == table["predicted"]).mean())
        assert set(figures.query("split == @name and group.isna()")["n"]) <= set(range(1, len(table) + 1))


def test_options_reach_the_figures(run):
    salign("evaluate", run, "--group", "label", "--threshold", "apcer10", "--resamples", 50, "--confidence", 0.5)
    figures = pd.read_csv(run / "evaluation.csv", dtype={"group": str})
    assert set(figures["group_column"].dropna()) == {"label"}
    assert set(figures["group"].dropna()) == {"1", "7"}
    (apcer,) = figures.query("split == 'val' and metric == 'apcer' and group.isna()")["value"]
    assert apcer <= 0.1
    first = (run / "evaluation.csv").read_bytes()
    salign("evaluate", run, "--group", "label", "--threshold", "apcer10", "--resamples", 50, "--confidence", 0.5,
           "--seed", 7)  # fmt: skip
    assert (run / "evaluation.csv").read_bytes() != first
    salign("evaluate", run, "--resamples", 0)
    assert pd.read_csv(run / "evaluation.csv")["low"].isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "best"], "unknown rule 'best'"),
        (["--group", "age"], "age"),
        (["--species", "kind"], "kind"),
        (["--confidence", "2"], "confidence"),
        (["--resamples", "-1"], "resamples"),
    ],
)
def test_mistakes_leave_the_figures_as_they_were(run, options, message):
    before = (run / "evaluation.csv").read_bytes()
    assert message in salign("evaluate", run, *options, code=2).err
    assert (run / "evaluation.csv").read_bytes() == before
