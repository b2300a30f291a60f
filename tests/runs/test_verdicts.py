"""Which doubts a run is under: a finished run whose files are changed until each comes about, and no further."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import salign
from salign.runs.run import Run
from salign.runs.verdicts import run_verdicts

FINE = {"epoch": range(8), "train/loss": [1, 0.5, 0.3, 0.2, 0.19, 0.18, 0.18, 0.18], "val/accuracy": [0.5] * 7 + [0.9],
        "val/auroc": [0.5] * 7 + [0.9]}  # fmt: skip


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """The run with answers and figures that leave no doubt: 20 images of each class, three of which are wrong."""
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    pd.DataFrame(FINE).to_csv(run.metrics, index=False)
    for name in run.sets:
        answer(run, name, np.r_[np.full(18, 0.9), np.full(2, 0.2)])
    salign("evaluate", run.path, "--resamples", 200)
    return run


def answer(run: Run, name: str, sure: np.ndarray) -> None:
    """Write answers to 20 images of each class: the probability of the true class."""
    labels = np.repeat(["1", "7"], 20)
    seven = np.r_[1 - sure, sure]
    table = pd.read_csv(run.predictions_file(name), dtype={"label": str, "predicted": str, "decoy": str})
    table = pd.concat([table] * 4).iloc[:40].assign(id=[f"i{k}" for k in range(40)], label=labels)
    table = table.assign(prob_7=seven, prob_1=1 - seven, predicted=np.where(seven > 0.5, "7", "1"))
    table.to_csv(run.predictions_file(name), index=False)
    (run.path / "done").write_text("")


def kinds(run: Run) -> list[str]:
    return [verdict.kind for verdict in run_verdicts(Run(run.path))]


def test_a_sound_run_has_no_verdict_and_each_doubt_is_found(run: Run) -> None:
    assert kinds(run) == []
    for changed, kind in (
        ({"val/accuracy": [0.5] * 8}, "never better than the largest class"),
        ({"train/loss": np.linspace(1, 0.3, 8)}, "training not converged"),
        ({"val/auroc": [0.5] * 5 + [1.0] * 3}, "validation too easy to choose by"),
    ):
        pd.DataFrame(FINE | changed).to_csv(run.metrics, index=False)
        assert kinds(run) == [kind]
    run.metrics.unlink()  # as in runs that were copied in part
    assert kinds(run) == []


def test_the_answers_to_a_set_are_doubted(run: Run) -> None:
    answer(run, "test_ood", np.full(20, 0.4))
    answer(run, "test_iid", np.r_[np.full(10, 0.4), np.full(10, 0.6)])
    salign("evaluate", run.path, "--resamples", 200)
    assert kinds(run) == ["not told from chance", "worse than chance"]
    table = pd.read_csv(run.predictions_file("test_ood"), dtype={"label": str, "predicted": str, "decoy": str})
    table = table.assign(prob_1=0.4, prob_7=0.6, predicted="7")
    table[5:].to_csv(run.predictions_file("test_ood"), index=False)
    salign("evaluate", run.path, "--resamples", 200)
    assert kinds(run) == ["not told from chance", "one answer for all images", "not told from chance"]
    (run.path / "analysis").mkdir()
    relied = {"set": "test_ood", "kept": "inside", "fill": "other", "metric": "flipped", "value": 0.0, "images": 20}
    pd.DataFrame([relied | {"note": ""}]).to_csv(run.path / "analysis" / "reliance.csv", index=False)
    assert kinds(run)[-1] == "region test without meaning"
    table[12:].to_csv(run.predictions_file("test_ood"), index=False)  # 8 of the class 1
    assert "few images" in kinds(run)
    said = salign("evaluate", run.path).out
    assert "⚠ one answer for all images: test_ood: all 28 images are called 7" in said


def test_the_maps_of_training_are_doubted(run: Run) -> None:
    recipe = run.recipe.with_values({"data": {"annotated": 0}})
    run.recipe_file.write_text(recipe.to_yaml())
    assert kinds(run) == ["nothing to guide"]
    run.recipe_file.write_text(recipe.with_values({"loss": {"name": "ce"}}).to_yaml())
    assert kinds(run) == []
