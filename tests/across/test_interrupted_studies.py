"""Real studies of six cells: each cell runs once, and what is killed, damaged or lost on the way changes no figure."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from command import salign, small, written
from processes import Program
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


def report_of(study: Study, folder: StudyFolder) -> tuple[dict[str, bytes], pd.DataFrame]:
    """The bytes of every file of the report but `runs.csv`, and the text of that table without the two columns in which
    no run is like another: when it began, and how long it took."""
    results = read_results(study, folder)
    page = write_report(study, results.figures, results.runs, folder.path / "report").page
    files = {path.name: path.read_bytes() for path in sorted(page.parent.iterdir())}
    table = pd.read_csv(io.BytesIO(files.pop("runs.csv")), dtype=str, keep_default_na=False)
    return files, table.drop(columns=["begun", "seconds"])


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


@pytest.mark.long
def test_killed_five_times_it_ends_as_if_undisturbed(
    undisturbed: tuple[Study, StudyFolder], digits: Path, tmp_path: Path
) -> None:
    study, folder = undisturbed
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    again = StudyFolder.of(study, tmp_path)
    kills, chance = 0, random.Random(3)
    while kills < 5:
        begun = time.time()
        process = Program("experiment", path, "--quiet", "--out", tmp_path, session=True)
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
    (files, table), (expected_files, expected_table) = report_of(study, again), report_of(study, folder)
    assert files == expected_files
    assert "report.html" in files
    pd.testing.assert_frame_equal(table, expected_table)
    assert len(table) == 6


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_began_them(digits: Path, tmp_path: Path, how: signal.Signals) -> None:
    study = study_of(digits)
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    process = Program("experiment", path, "--quiet", "--out", tmp_path, session=True)
    while not list(StudyFolder.of(study, tmp_path).runs.glob("*/recipe.yaml")):
        time.sleep(0.1)
    assert len(alive_in_session(process.pid)) >= 2
    process.send_signal(how)
    _, said = process.communicate(60)
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


@pytest.mark.long
def test_a_script_without_a_main_guard_whose_processes_are_killed_runs_its_study(digits: Path, tmp_path: Path) -> None:
    """One is asked to end, one is killed, both while they train: each cell is begun again."""
    study = study_of(digits, grids=[{"arms": ["ce"], "seeds": 2}])
    folder = StudyFolder.of(study, tmp_path)
    path = written(tmp_path / "study.yaml", study.model_dump(mode="json"))
    (tmp_path / "script.py").write_text(SCRIPT)
    script = Program(tmp_path / "script.py", path, tmp_path)
    while len(list(folder.runs.glob("*/metrics.csv"))) < 2:
        assert script.poll() is None
        time.sleep(0.05)
    family = [one for one in psutil.Process(script.pid).children() if "serve" in " ".join(one.cmdline())]
    assert len(family) == 2
    family[0].terminate()
    family[1].kill()
    said, _ = script.communicate()
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
    assert "1 runs could not be run. When what is said above is mended, go on with: salign experiment" in ended.out


@pytest.mark.long
def test_two_nodes_of_a_cluster_one_killed_give_the_same_figures(
    undisturbed: tuple[Study, StudyFolder], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="needs the ray extra")
    from ray.cluster_utils import Cluster

    study, folder = undisturbed
    again = StudyFolder.of(study, tmp_path)
    over = threading.Event()

    def kill_the_second_at_work() -> None:
        while not over.wait(0.05):
            if len(list(again.runs.glob("*/metrics.csv"))) >= 2:
                raylet.kill()
                return

    killer = threading.Thread(target=kill_the_second_at_work)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        raylet = second.all_processes["raylet"][0].process
        killer.start()
        executor = RayExecutor(cluster.address)
        assert sum(node["Alive"] for node in ray.nodes()) == 2
        assert run_study(study, again, executor, progress=False) == []
        killer.join(1)
        deadline = time.monotonic() + 60
        while sum(node["Alive"] for node in ray.nodes()) == 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert sum(node["Alive"] for node in ray.nodes()) == 1
        assert not killer.is_alive()
    finally:
        over.set()
        ray.shutdown()
        cluster.shutdown()
    pd.testing.assert_frame_equal(figures(read_results(study, again)), figures(read_results(study, folder)))
