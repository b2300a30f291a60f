"""How cells are shared out: to processes that play at work, and to a Ray cluster that plays at being one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch

from salign.errors import SalignError
from salign.experiment import runner
from salign.experiment.runner import LocalExecutor, RayExecutor, environments

PLAYER = """
import os, pickle, signal, sys, time
while True:
    name, rest = pickle.load(sys.stdin.buffer)
    signs = sys.argv[1] + "/" + name
    begun = len(os.listdir(signs)) if os.path.isdir(signs) else 0
    os.makedirs(f"{signs}/{begun}.{os.getpid()}")
    what = rest[begun] if begun < len(rest) else "done"
    if what == "done":
        pickle.dump((name, begun + 1), sys.stdout.buffer)
        sys.stdout.flush()
    elif what == "wait":
        time.sleep(60)
    elif isinstance(what, int):
        os._exit(what)
    else:
        signum = getattr(signal, what)
        if signum != signal.SIGKILL:  # under nohup a process is deaf to SIGHUP
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
"""
"""A task is a name and what happens at each attempt: a signal or an exit code that ends the process, or `done`."""


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Run tasks in processes of `PLAYER`; returns what came of each, by name, and whom each attempt ran in."""
    players = []

    def begun(worker):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        players.append(subprocess.Popen([sys.executable, "-I", "-c", PLAYER, str(tmp_path)], **pipes))
        return players[-1]

    monkeypatch.setattr(runner._Worker, "_begun", begun)

    def played(executor, tasks):
        outcomes = {}
        for outcome in executor.run(tasks.items()):
            name, found = outcome if isinstance(outcome, tuple) else (outcome.task[0], outcome.error)
            outcomes[name] = found
        return outcomes

    played.players = players
    played.attempts = lambda name: sorted(one.name for one in (tmp_path / name).iterdir())
    yield played
    for one in players:
        assert one.poll() is not None, "a process was left behind"


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGHUP", 1, 137])
def test_a_cell_is_begun_again_however_its_process_died(play, how):
    assert play(LocalExecutor(1, 1), {"a": [how], "b": [], "c": [how, how]}) == {"a": 2, "b": 1, "c": 3}


def test_a_process_that_dies_takes_no_other_with_it(play):
    """`bad` dies while each of the others is at work or waits; every one of them is begun once."""
    tasks = {"bad": ["SIGKILL"] * 9, **{f"good{k}": [] for k in range(6)}}
    outcomes = play(LocalExecutor(2, 1), tasks)
    assert outcomes.pop("bad") == "its process died 3 times, at last by SIGKILL; is there memory enough for it?"
    assert outcomes == {f"good{k}": 1 for k in range(6)}
    assert len(play.attempts("bad")) == 3


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("SIGTERM", "its process died 3 times, at last by SIGTERM"),
        (3, "its process died 3 times, at last with exit code 3; what it said last stands above"),
        (0, "its process died 3 times, at last with exit code 0; what it said last stands above"),
    ],
)
def test_only_a_kill_is_put_down_to_memory(play, how, said):
    assert play(LocalExecutor(1, 1), {"a": [how] * 3}) == {"a": said}


def test_a_process_that_is_gone_before_its_task_comes_is_begun_again(play, monkeypatch):
    begun = runner._Worker._begun

    def gone(worker):
        process = begun(worker)
        if len(play.players) == 1:
            process.kill()
            process.wait()
        return process

    monkeypatch.setattr(runner._Worker, "_begun", gone)
    assert play(LocalExecutor(1, 1), {"a": [], "b": []}) == {"a": 1, "b": 1}
    assert len(play.players) == 2


def test_a_process_serves_one_cell_after_the_other(play):
    play(LocalExecutor(2, 1), {f"cell{k}": [] for k in range(8)})
    assert len(play.players) == 2


def test_who_stops_waits_for_nobody(play):
    """The generator is closed as Ctrl-C closes it: processes at work are ended, and none is begun instead."""
    executor = LocalExecutor(2, 1)
    running = executor.run({"quick": [], "long": ["wait"] * 3, "next": ["wait"] * 3}.items())
    assert next(running) == ("quick", 1)
    begun = time.monotonic()
    closing = threading.Thread(target=running.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert time.monotonic() - begun < 20
    assert {one.wait() for one in play.players} <= {-signal.SIGKILL}
    assert len(play.players) <= 2


def test_a_place_that_was_ended_begins_no_process(play):
    worker = runner._Worker({}, 1)
    worker.end()
    assert worker.run("a") == runner.Outcome("a", "stopped")
    assert play.players == []


def test_what_this_process_can_import_every_process_can(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/here", "/there"])
    (found,) = environments(1, 0, {"PYTHONPATH": "/elsewhere", "PATH": "/bin"})
    assert (found["PYTHONPATH"], found["PATH"]) == (f"/here{os.pathsep}/there", "/bin")


def test_every_process_gets_one_gpu_in_turn():
    found = environments(5, 2, {"HOME": "/root"})
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "1", "0", "1", "0"]
    assert {one["HOME"] for one in found} == {"/root"}
    found = environments(3, 3, {"CUDA_VISIBLE_DEVICES": "4,GPU-8c,7"})
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["4", "GPU-8c", "7"]
    found = environments(2, 5, {})  # the fifth is left over
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0,1", "2,3"]
    assert "CUDA_VISIBLE_DEVICES" not in environments(2, 0, {})[1]
    assert environments(1, 0, {"CUDA_VISIBLE_DEVICES": ""})[0]["CUDA_VISIBLE_DEVICES"] == ""


def test_by_default_there_is_a_process_per_gpu(monkeypatch, caplog):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    executor = LocalExecutor()
    assert executor.processes == 3
    assert [one["CUDA_VISIBLE_DEVICES"] for one in executor.environments] == ["0", "1", "2"]
    assert LocalExecutor(2).processes == 2
    assert caplog.messages == []
    LocalExecutor(4)
    assert caplog.messages == ["4 runs at a time share 3 GPUs; with --workers 3 each has one of its own"]


@pytest.mark.slow
def test_a_process_sees_its_gpu_before_torch_is_imported():
    program = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    found = environments(3, 2, os.environ)
    seen = [subprocess.run([sys.executable, "-c", program], env=one, capture_output=True, text=True) for one in found]
    assert [one.stdout.strip() for one in seen] == ["0", "1", "0"]


def test_threads_that_wait_sleep_unless_the_user_said_otherwise():
    assert environments(1, 0, {})[0]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environments(1, 0, {"OMP_WAIT_POLICY": "ACTIVE"})[0]["OMP_WAIT_POLICY"] == "ACTIVE"


def test_cpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda who: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (LocalExecutor().processes, LocalExecutor().threads) == (8, 1)
    assert [LocalExecutor(n).threads for n in (1, 2, 3, 9)] == [6, 4, 2, 1]  # torch alone would take 6
    assert LocalExecutor(2, 5).threads == 5


class Cluster(ModuleType):
    """Ray as far as it is used: tasks end in the order in which they were handed over; those called `lost` fail."""

    def __init__(self, **resources):
        super().__init__("ray")
        self.resources, self.began, self.options, self.handed, self.most = resources, [], {}, [], 0
        self.exceptions = SimpleNamespace(RayError=type("RayError", (Exception,), {}))

    def init(self, **options):
        self.began.append(options)
        if options["address"] == "nowhere":
            raise ConnectionError("nobody there")

    def cluster_resources(self):
        return self.resources

    def remote(self, **options):
        self.options = options

        def wrapped(function):
            assert function is runner._run_on_node

            def hand_over(*given):
                self.handed.append(given)
                return len(self.handed) - 1

            return SimpleNamespace(remote=hand_over)

        return wrapped

    def wait(self, running):
        self.most = max(self.most, len(running))
        return running[:1], running[1:]

    def get(self, done):
        task, threads = self.handed[done]
        if task == "lost":
            raise self.exceptions.RayError("node died")
        return f"{task} with {threads}"


@pytest.fixture
def cluster(monkeypatch):
    def stands(**resources):
        ray = Cluster(**resources)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return stands


def test_a_cluster_gets_twice_as_many_cells_as_it_has_cpus_and_every_one_comes_back(cluster):
    ray = cluster(CPU=2.0)
    tasks = ["a", "b", "lost", "c", "d", "e", "f"]
    found = list(RayExecutor("there", cpus=2.6).run(iter(tasks)))
    expected = [f"{task} with 3" for task in tasks]
    expected[2] = runner.Outcome("lost", "Ray gave up on it: RayError: node died")
    assert found == expected
    assert ray.most == 4
    assert [(one["address"], one["ignore_reinit_error"]) for one in ray.began] == [("there", True)]


def test_what_a_cell_takes_of_a_cluster_is_what_was_asked_for(cluster, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    ray = cluster(CPU=2.0, GPU=4.0)
    RayExecutor()
    assert ray.options == {
        "num_cpus": 1, "num_gpus": 1.0, "max_retries": 2, "runtime_env": {"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
    }  # fmt: skip
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    RayExecutor(cpus=0.25, gpus=0.5)
    assert (ray.options["num_cpus"], ray.options["num_gpus"]) == (0.25, 0.5)
    assert ray.options["runtime_env"] == {"env_vars": {"OMP_WAIT_POLICY": "ACTIVE"}}
    assert RayExecutor(cpus=0.25).threads == 1
    RayExecutor(gpus=0)
    assert ray.options["num_gpus"] == 0
    ray = cluster(CPU=2.0)
    RayExecutor()
    assert ray.options["num_gpus"] == 0
    with pytest.raises(SalignError, match=r"^no Ray cluster at 'nowhere': nobody there\. Start one with `ray start"):
        RayExecutor("nowhere")


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SalignError, match=r"needs the package ray"):
        RayExecutor()


def test_a_cell_on_a_node_has_its_threads_and_dies_of_sigterm(monkeypatch):
    said = []
    monkeypatch.setattr(torch, "set_num_threads", lambda count: said.append(("threads", count)))
    monkeypatch.setattr(runner, "die_of_sigterm", lambda: said.append("mortal"))
    monkeypatch.setattr(runner, "run_task", lambda task: said.append(task) or "outcome")
    assert runner._run_on_node("task", 3) == "outcome"
    assert said == [("threads", 3), "mortal", "task"]


def test_a_process_is_a_program_of_its_own_with_its_environment_and_threads(monkeypatch):
    """The program says its environment instead of serving."""
    worker = runner._Worker({**os.environ, "CUDA_VISIBLE_DEVICES": "5", "PYTHONPATH": ""}, 7)
    command = []
    begin = subprocess.Popen

    def spied(words, **options):
        command.extend(words)
        said = "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], sys.stdin.read())"
        return begin([words[0], "-I", "-c", said], **options)

    monkeypatch.setattr(subprocess, "Popen", spied)
    process = worker._begun()
    assert process.communicate(b"from its parent")[0].strip() == b"5 from its parent"
    assert command[:3] == [sys.executable, "-P", "-c"]
    assert command[3].endswith("; serve(7)")
