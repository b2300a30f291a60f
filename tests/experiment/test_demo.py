"""The demonstration is a study that ends with its report; what is done is not repeated."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from command import salign
from made_study import made
from salign.errors import SalignError
from salign.experiment import demo
from salign.experiment.demo import Demo, run_demo
from salign.experiment.report.groups import groups_of
from salign.experiment.report.report import Report
from salign.experiment.report.summary import findings
from salign.experiment.runner import LocalExecutor, Outcome
from salign.experiment.store import Measured
from salign.experiment.study import Study, expand
from salign.experiment.worker import Task

ARMS = ["ce", "mixed_rand", "shuffled", "swap", "cyborg"]


@pytest.fixture
def played(digits: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """`run_demo` with another's digits, made-up runs and no page; returns what it asked for, by step."""
    asked: dict[str, list] = {"digits": [], "run": [], "page": []}

    def draw(folder, **options):
        asked["digits"].append((folder, options))
        folder.mkdir(parents=True)
        (folder / "manifest.csv").symlink_to(digits)

    def run(study, folder, executor, *, progress):
        asked["run"].append((study, folder.path, type(executor), progress))
        made(folder.path.parent, digits, study)
        return []

    def page(study, figures, runs, folder, *, progress):
        asked["page"].append((study, len(figures), len(runs), folder, progress))
        return Report(folder / "index.html", findings(study, groups_of(study, figures), runs))

    monkeypatch.setattr(demo, "write_decoy_digits", draw)
    monkeypatch.setattr(demo, "run_study", run)
    monkeypatch.setattr(demo, "write_report", page)
    return asked


def test_the_demonstration_is_the_study_it_writes_on_its_own_digits(tmp_path: Path, played: dict[str, list]) -> None:
    shown = run_demo(tmp_path, seeds=3, epochs=7, progress=False)
    assert played["digits"] == [(tmp_path / "digits", {"train": 1000, "val": 200, "test": 400, "seed": 2})]
    ((study, folder, executor, progress),) = played["run"]
    assert (folder, executor, progress) == (tmp_path / "demo", LocalExecutor, False)
    assert played["page"] == [(study, len(shown.results.figures), 15, tmp_path / "demo", False)]
    assert (shown.study, shown.source, shown.page) == (study, tmp_path / "study.yaml", tmp_path / "demo" / "index.html")
    cells = expand(study)
    assert [(cell.arm, cell.seed) for cell in cells] == [(a, k) for k in range(3) for a in ARMS]
    assert {cell.recipe.train.epochs for cell in cells} == {7}
    assert {cell.recipe.data.manifest for cell in cells} == {str((tmp_path / "digits" / "manifest.csv").resolve())}
    assert Study.read(shown.source) == study
    assert list(yaml.safe_load(shown.source.read_text())) == [
        "name", "title", "question", "metric", "reference", "target", "recipe", "arms", "guided", "controls", "grids",
        "analysis",
    ]  # fmt: skip
    means = shown.results.figures.query("set == 'test_ood' and metric == 'accuracy'").groupby("arm", observed=True)
    low, high = (f"{100 * means['value'].mean()[arm]:.1f}" for arm in ("ce", "mixed_rand"))
    assert any(low in sentence and high in sentence for sentence in shown.verdict), shown.verdict


def test_digits_that_are_there_are_kept_and_runs_that_failed_are_told(
    tmp_path: Path, played: dict[str, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_demo(tmp_path)
    run_demo(tmp_path)
    assert len(played["digits"]) == 1
    study, *_, progress = played["run"][1]
    assert (len(expand(study)), expand(study)[0].recipe.train.epochs, progress) == (15, 12, True)
    assert [asked[-1] for asked in played["page"]] == [True, True]
    tasks = [Task(cell.recipe, tmp_path, Measured(sets=None, images=5)) for cell in expand(study)[:2]]
    failed = [Outcome(task, f"reason {k}") for k, task in enumerate(tasks)]
    monkeypatch.setattr(demo, "run_study", lambda *_, **__: failed)
    with pytest.raises(SalignError, match=r"^2 runs failed; ce-seed0: reason 0$"):
        run_demo(tmp_path)
    assert len(played["page"]) == 2


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A real demonstration, as short as can be."""
    return run_demo(tmp_path_factory.mktemp("demo"), seeds=1, epochs=1, progress=False)


@pytest.mark.long
@pytest.mark.slow
def test_a_short_demonstration_ends_with_a_report_and_repeats_nothing(shown: Demo) -> None:
    runs = [Path(path) for path in shown.results.runs["path"]]
    assert shown.results.runs["arm"].tolist() == ARMS
    assert all(len(pd.read_csv(run / "predictions" / "test_ood.csv")) == 400 for run in runs)
    stamps = {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("*") if path.is_file()}
    page = shown.page.read_bytes()
    ended = salign("demo", "--out", shown.source.parent, "--seeds", 1, "--epochs", 1)
    assert f"wrote {shown.page}" in ended.out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert shown.page.read_bytes() == page
    assert any("one seed" in sentence.lower() or "chance" in sentence.lower() for sentence in shown.verdict)


@pytest.mark.long
@pytest.mark.slow
def test_the_study_it_leaves_is_the_one_it_ran(shown: Demo) -> None:
    assert expand(Study.read(shown.source)) == expand(shown.study)
    ended = salign("experiment", shown.source, "--out", shown.source.parent, "--list")
    assert "runs are left" not in ended.out
