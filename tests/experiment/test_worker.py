"""A process of a study answers task by task, trains each cell once and gathers its figures under the right names."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
from contextlib import contextmanager

import pandas as pd
import pytest
import torch

from made_study import study
from salign.experiment import runner, worker
from salign.experiment.store import PLACE, Measured, StudyFolder, cell_file, read_results, summarise
from salign.experiment.study import expand
from salign.experiment.worker import Outcome, Task, run_task
from salign.files import replace_text
from salign.runs.run import Run


@contextmanager
def piped(exits):
    """Standard input and output are pipes; gives the ends of the process that began this one."""
    kept, (read, tasks), (outcomes, write) = [os.dup(0), os.dup(1)], os.pipe(), os.pipe()
    for end, number in ((read, 0), (write, 1)):
        os.dup2(end, number)
        os.close(end)
    try:
        with os.fdopen(tasks, "wb") as begins, os.fdopen(outcomes, "rb") as reads:
            yield begins, reads
        deadline = time.monotonic() + 20
        while not exits and time.monotonic() < deadline:  # the thread that listens
            time.sleep(0.01)
    finally:
        for number, end in enumerate(kept):
            os.dup2(end, number)
            os.close(end)


def test_a_process_answers_task_by_task_until_its_input_ends(monkeypatch):
    said, at_fork, exits = {}, {}, []

    def run_task(task):
        if task == "stop":
            raise KeyboardInterrupt
        os.write(1, b"what a library prints")
        return f"{task} is done; it read {os.read(0, 9)!r}"

    monkeypatch.setattr(worker, "run_task", run_task)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: said.update(threads=count))
    monkeypatch.setattr(signal, "signal", lambda number, handler: said.update({number: handler}))
    monkeypatch.setattr(os, "register_at_fork", lambda **calls: at_fork.update(calls))
    monkeypatch.setattr(os, "_exit", exits.append)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)  # it goes on where it would have ended the process
    with piped(exits) as (tasks, outcomes):
        for task in ("one", "two", "stop"):
            pickle.dump(task, tasks)
        tasks.flush()
        with pytest.raises(KeyboardInterrupt):
            worker.serve(3)
        at_fork["after_in_child"]()  # a process that reads images does not hold the end of the outcomes
        found = outcomes.read()
        assert exits == []
    expected = pickle.dumps("one is done; it read b''") + pickle.dumps("two is done; it read b''")
    assert found == expected
    assert (said["threads"], said[signal.SIGINT]) == (3, signal.SIG_IGN)
    assert callable(said[signal.SIGTERM])
    assert exits == [1]


def test_at_sigterm_the_process_dies_of_it(monkeypatch):
    handlers, sent = {}, []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(os, "kill", lambda *call: sent.append((*call, handlers[signal.SIGTERM])))
    worker.die_of_sigterm()
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert sent == [(os.getpid(), signal.SIGTERM, signal.SIG_DFL)]


@pytest.fixture
def cell(digits):
    return expand(study(digits))[1]


def test_who_comes_to_a_cell_at_work_waits_and_does_not_train_it_again(cell, tmp_path, monkeypatch):
    begun, go_on, trained, summed = threading.Event(), threading.Event(), [], []

    def fit(recipe, out, *, stages, resume, progress, say):
        trained.append((recipe, out, stages, resume, progress, say))
        begun.set()
        assert go_on.wait(60)
        return Run.of(recipe, out)

    def summed_up(run, seconds, measured):
        summed.append(measured)
        replace_text(cell_file(run), '{"seconds": 1, "figures": {}}')

    monkeypatch.setattr(worker, "fit", fit)
    monkeypatch.setattr(worker, "summarise", summed_up)
    task, outcomes = Task(cell.recipe, tmp_path, Measured(sets=["test_ood"], images=7)), []
    both = [threading.Thread(target=lambda: outcomes.append(run_task(task)), daemon=True) for _ in range(2)]
    both[0].start()
    assert begun.wait(60)
    both[1].start()
    both[1].join(0.3)  # time enough to begin, were it not for the lock
    assert len(trained) == 1
    go_on.set()
    for thread in both:
        thread.join(60)
    quietly = logging.getLogger("salign.experiment.worker").info
    assert trained == [(cell.recipe, tmp_path, None, True, False, quietly)]
    assert summed == [task.measured]
    assert [outcome.error for outcome in outcomes] == [None, None]


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (None, False),  # of a version that did not note it
        (Measured(sets=["test_ood"], images=7), False),
        (Measured(sets=["test_ood"], images=8), True),
        (Measured(sets=None, images=7), True),
        (Measured(sets=["test_ood"], images=7, draws=8), True),
    ],
)
def test_a_cell_whose_maps_were_measured_otherwise_is_measured_again_and_keeps_its_time(
    digits, tmp_path, monkeypatch, before, again
):
    plan = study(digits, analysis={"sets": ["test_ood"], "images": 7})
    folder, cells = StudyFolder.of(plan, tmp_path), expand(plan)
    noted = "" if before is None else f', "measured": {before.model_dump_json()}'
    for cell in cells:
        replace_text(cell_file(folder.run(cell)), f'{{"seconds": 12.5, "figures": {{}}{noted}}}')
    measured = []
    monkeypatch.setattr(worker, "fit", lambda recipe, out, **_: Run.of(recipe, out))  # which finds it trained
    monkeypatch.setattr(worker, "summarise", lambda run, *rest: measured.append((run.path, *rest)))

    class Here:
        def run(self, tasks):
            yield from map(run_task, tasks)

    assert runner.run_study(plan, folder, Here(), progress=False) == []
    asked = Measured(sets=["test_ood"], images=7)
    assert measured == [(folder.run(cell).path, 12.5, asked) for cell in cells if again]


def test_the_figures_of_a_cell_are_those_of_its_tables(cell, tmp_path, monkeypatch):
    agreed = [("test_ood", "a", 0.2, 0.9), ("test_iid", "b", 0.6, 0.1), ("test_ood", "c", 0.4, 0.5)]
    agreement = pd.DataFrame(agreed, columns=["set", "id", "energy", "cc"]).assign(label="1", predicted="7")
    relied = pd.DataFrame(
        [
            ("test_ood", "all", "", "accuracy", 0.8, 3),
            ("test_ood", "inside", "blur", "flipped", 0.1, 3),
            ("test_iid", "outside", "other", "accuracy", 0.3, 4),
        ],
        columns=["set", "kept", "fill", "metric", "value", "images"],
    ).assign(sd=float("nan"))
    asked = []
    tables = {"agreement": agreement, "reliance": relied}
    monkeypatch.setattr("salign.runs.analyse.analyse_run", lambda run, **options: asked.append(options) or tables)
    run = Run.of(cell.recipe, tmp_path)
    run.path.mkdir()
    run.evaluation.write_text(
        "split,group_column,group,metric,value,low,high,n,note\n"
        "val,,,accuracy,0.99,,,9,\n"
        "test_iid,,,auroc,0.91,,,9,\ntest_iid,,,accuracy,0.85,,,9,\ntest_iid,sex,f,accuracy,0.5,,,4,\n"
        "test_ood,,,balanced_accuracy,0.7,,,9,\ntest_ood,,,auroc_macro,0.75,,,9,\ntest_ood,,,auroc_logit,0.1,,,9,\n"
    )
    summarise(run, 3.456, Measured(sets=["test_ood"], images=7, draws=4))
    assert asked == [{"sets": ["test_ood"], "images": 7, "draws": 4}]
    found = pd.read_json(cell_file(run), typ="series")
    assert found["seconds"] == 3.46
    figures = {name: pytest.approx(metrics) for name, metrics in found["figures"].items()}
    assert figures == {
        "val": {"accuracy": 0.99},
        "test_iid": {
            "auroc": 0.91, "accuracy": 0.85, "agreement/energy": 0.6, "agreement/cc": 0.1,
            "reliance/outside/other/accuracy": 0.3,
        },
        "test_ood": {
            "balanced_accuracy": 0.7, "auroc": 0.75, "agreement/energy": 0.3, "agreement/cc": 0.7,
            "reliance/all//accuracy": 0.8, "reliance/inside/blur/flipped": 0.1,
        },
    }  # fmt: skip


def test_every_figure_is_found_again_under_its_cell(digits, tmp_path):
    datasets = {"a": {}, "b": {"data": {"image_size": 32}}}
    grids = [{"arms": ["ce", "cyborg"], "seeds": [3, 5], "images": [20, None]}]
    plan = study(digits, datasets=datasets, grids=grids)
    folder, cells = StudyFolder.of(plan, tmp_path), expand(plan)
    expected = {}
    for number, cell in enumerate(cells[:-1]):
        figures = {"test_ood": {"accuracy": number, "auroc": number + 0.5}, "test_iid": {"accuracy": -number}}
        replace_text(cell_file(folder.run(cell)), f'{{"seconds": {number}, "figures": {figures}}}'.replace("'", '"'))
        for place, metrics in figures.items():
            expected |= {(*cell.key, place, metric): value for metric, value in metrics.items()}
    found = read_results(plan, folder)
    keys = [*PLACE, "set", "metric"]
    assert found.figures.set_index(keys)["value"].to_dict() == expected
    assert len(found.figures) == len(expected) == 15 * 3
    assert [*found.figures] == [*keys, "value"]
    assert found.missing == 1
    for cell, run in zip(cells[:-1], found.runs.to_dict("records"), strict=True):
        path = folder.run(cell).path
        assert tuple(run[name] for name in PLACE) == cell.key
        assert (run["path"], run["hash"]) == (str(path), path.name.rsplit("-", 1)[-1])


def test_only_what_is_not_finished_is_run_and_what_failed_is_given_back(digits, tmp_path):
    plan = study(digits, analysis={"sets": ["test_iid"], "images": 7})
    folder, cells = StudyFolder.of(plan, tmp_path), expand(plan)
    for cell in cells[:3]:
        replace_text(cell_file(folder.run(cell)), '{"seconds": 1, "figures": {}}')
    asked = []

    class Recorded:
        def run(self, tasks):
            for number, task in enumerate(tasks):
                asked.append(task)
                yield Outcome(task, "broken" if number == 1 else None)

    failed = runner.run_study(plan, folder, Recorded(), progress=False)
    measured = Measured(sets=["test_iid"], images=7)
    assert asked == [Task(cell.recipe, folder.runs, measured, tmp_path / "stages") for cell in cells[3:]]
    assert failed == [Outcome(asked[1], "broken")]
    assert folder.runs_asked() == [folder.run(cell) for cell in cells]
