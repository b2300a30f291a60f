"""Real processes, really killed; a real Ray cluster of two nodes, one of which goes away."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from command import salign, small, written
from salign.experiment.report import write_report
from salign.experiment.runner import LocalExecutor, Outcome, RayExecutor, run_study
from salign.experiment.store import Results, StudyFolder, cell_file, read_results
from salign.experiment.study import Study, expand

pytestmark = pytest.mark.slow


def study_of(manifest: Path, **changes: object) -> Study:
    recipe = small(manifest)
    del recipe["name"], recipe["loss"]
    content = {
        "name": "small",
        "recipe": recipe,
        "metric": "accuracy",
        "target": "test_ood",
        "reference": "test_iid",
        "analysis": {"sets": ["test_ood"], "images": 20},
        "grids": [{"arms": ["ce", "cyborg", "shuffled"], "seeds": 2}],
    }
    return Study.build(content | changes)


@pytest.fixture(scope="module")
def undisturbed(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, StudyFolder]:
    study = study_of(digits)
    folder = StudyFolder.of(study, tmp_path_factory.mktemp("studies"))
    assert run_study(study, folder, LocalExecutor(2, 1), progress=False) == []
    return study, folder


def alive_in_session(session: int) -> list[int]:
    """Processes of a session that somebody may still have to reap do not count."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def figures(results: Results) -> pd.DataFrame:
    assert results.missing == 0
    return results.figures


def report_bytes(study: Study, folder: StudyFolder) -> dict[str, bytes]:
    results = read_results(study, folder)
    page = write_report(study, results.figures, results.runs, folder.path / "report")
    return {path.name: path.read_bytes() for path in sorted(page.parent.iterdir())}


def test_a_study_runs_every_cell_once(undisturbed: tuple[Study, StudyFolder]) -> None:
    study, folder = undisturbed
    results = read_results(study, folder)
    assert len(results.runs) == 6
    assert not results.missing
    auroc = results.figures[(results.figures["metric"] == "auroc") & (results.figures["set"] == "test_iid")]
    assert auroc["value"].nunique() > 1
    for cell in expand(study):
        ours = auroc[(auroc["arm"] == cell.arm) & (auroc["seed"] == cell.seed)]["value"].item()
        evaluation = pd.read_csv(folder.run(cell).evaluation)
        whole = evaluation[(evaluation["metric"] == "auroc") & (evaluation["split"] == "test_iid")]
        assert whole[whole["group_column"].isna()]["value"].item() == ours
    written_at = {path: path.stat().st_mtime_ns for path in folder.runs.rglob("*") if path.is_file()}
    assert run_study(study, folder, LocalExecutor(2, 1), progress=False) == []
    assert {path: path.stat().st_mtime_ns for path in folder.runs.rglob("*") if path.is_file()} == written_at


def test_killed_five_times_it_ends_as_if_undisturbed(
    undisturbed: tuple[Study, StudyFolder], digits: Path, tmp_path: Path
) -> None:
    study, folder = undisturbed
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    command = [sys.executable, "-c", "from salign.cli import main; main()", "experiment", path, "--quiet"]
    again = StudyFolder.of(study, tmp_path)
    kills, chance = 0, random.Random(3)
    while kills < 5:
        begun = time.time()
        process = subprocess.Popen([*map(str, command), "--out", str(tmp_path)], start_new_session=True)
        while process.poll() is None and time.time() < begun + 120:
            if kills > 2 or any(path.stat().st_mtime > begun for path in again.runs.glob("*/metrics.csv")):
                break  # still starting, or at work
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 1))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)  # the parent alone: its workers have to notice
        process.wait()
        kills += 1
        time.sleep(1)
    assert kills >= 4, "the study ended before it could be killed"
    salign("experiment", path, "--out", tmp_path, "--workers", 2, "--quiet")
    pd.testing.assert_frame_equal(figures(read_results(study, again)), figures(read_results(study, folder)))
    assert report_bytes(study, again) == report_bytes(study, folder)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_began_them(digits: Path, tmp_path: Path, how: signal.Signals) -> None:
    study = study_of(digits)
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    command = [sys.executable, "-c", "from salign.cli import main; main()", "experiment", str(path), "--quiet"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    while not list(StudyFolder.of(study, tmp_path).runs.glob("*/recipe.yaml")):
        time.sleep(0.1)
    assert len(alive_in_session(process.pid)) >= 2
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGTERM else -signal.SIGKILL)
    assert ("stopped. Go on with: salign experiment" in said) == (how == signal.SIGTERM)
    deadline = time.monotonic() + 20
    while alive_in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive_in_session(process.pid) == []


SCRIPT = """
import sys
from salign.experiment.runner import LocalExecutor, run_study
from salign.experiment.store import StudyFolder
from salign.experiment.study import Study

study = Study.read(sys.argv[1])
print(run_study(study, StudyFolder.of(study, sys.argv[2]), LocalExecutor(2, 1), progress=False))
"""


def test_a_script_without_a_main_guard_whose_processes_are_killed_runs_its_study(digits: Path, tmp_path: Path) -> None:
    """One is asked to end, one is killed, both while they train: each cell is begun again."""
    study = study_of(digits, grids=[{"arms": ["ce"], "seeds": 2}])
    folder = StudyFolder.of(study, tmp_path)
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    (tmp_path / "script.py").write_text(SCRIPT)
    script = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(path), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    while len(list(folder.runs.glob("*/metrics.csv"))) < 2:
        assert script.poll() is None
        time.sleep(0.05)
    family = [one for one in psutil.Process(script.pid).children() if "serve" in " ".join(one.cmdline())]
    assert len(family) == 2
    family[0].terminate()
    family[1].kill()
    said, _ = script.communicate(timeout=300)
    assert said.splitlines() == ["[]"]
    assert read_results(study, folder).missing == 0
    assert not any(one.is_running() for one in family)


def test_a_damaged_cell_is_told_and_done_again(
    undisturbed: tuple[Study, StudyFolder], caplog: pytest.LogCaptureFixture
) -> None:
    study, folder = undisturbed
    before, run = figures(read_results(study, folder)), folder.run(expand(study)[0])
    whole = cell_file(run).read_text()
    cell_file(run).write_text(whole[: len(whole) // 2])
    assert run_study(study, folder, LocalExecutor(1, 1), progress=False) == []
    assert f"{cell_file(run)} is damaged, so its cell counts as not finished" in caplog.text
    pd.testing.assert_frame_equal(figures(read_results(study, folder)), before)


def test_a_cell_that_cannot_run_does_not_stop_the_others(digits: Path, tmp_path: Path) -> None:
    arms = {"impossible": {"data": {"classes": ["1", "7", "nothing"]}}}
    study = study_of(digits, arms=arms, grids=[{"arms": ["impossible", "ce"], "seeds": 1}])
    folder = StudyFolder.of(study, tmp_path)
    (failed,) = run_study(study, folder, LocalExecutor(1, 1), progress=False)
    assert isinstance(failed, Outcome)
    assert "nothing" in str(failed.error)
    assert [cell_file(folder.run(cell)).exists() for cell in expand(study)] == [False, True]
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    ended = salign("experiment", path, "--out", tmp_path, "--workers", 1, "--quiet", code=1)
    assert "could not run impossible-seed0" in ended.err
    assert "1 runs are left" in ended.out


def test_two_nodes_of_a_cluster_one_killed_give_the_same_figures(
    undisturbed: tuple[Study, StudyFolder], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="needs the ray extra")
    from ray.cluster_utils import Cluster

    study, folder = undisturbed
    again = StudyFolder.of(study, tmp_path)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        killer = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import os, sys, time, pathlib\n"
                "while len(list(pathlib.Path(sys.argv[2]).glob('*/metrics.csv'))) < 2: time.sleep(0.05)\n"
                "os.kill(int(sys.argv[1]), 9)",
                str(second.all_processes["raylet"][0].process.pid),
                str(again.runs),
            ]
        )
        executor = RayExecutor(cluster.address)
        assert sum(node["Alive"] for node in ray.nodes()) == 2
        assert run_study(study, again, executor, progress=False) == []
        assert killer.wait() == 0
        deadline = time.monotonic() + 60
        while sum(node["Alive"] for node in ray.nodes()) == 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert sum(node["Alive"] for node in ray.nodes()) == 1
    finally:
        ray.shutdown()
        cluster.shutdown()
    pd.testing.assert_frame_equal(figures(read_results(study, again)), figures(read_results(study, folder)))
