"""Run the cells of a study: skip finished cells, continue interrupted ones, and run no cell twice."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

import torch

from salign.experiment.store import Measured, StudyFolder, read_cell
from salign.experiment.study import Study, expand
from salign.experiment.worker import Outcome, Task, die_of_sigterm, run_task
from salign.files import check_output
from salign.models.backbone import check_backbone
from salign.progress import Bar
from salign.runs.cluster import ATTEMPTS, connect
from salign.runs.folder import RunFolder
from salign.train.guidance import check_maps
from salign.train.prepare import check_classes
from salign.train.trainer import choose_device

_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Environment variables that make waiting threads sleep. Where processes share CPUs, a thread that waits in a busy loop
would keep other threads from their work."""


class Executor(Protocol):
    """Runs tasks somewhere, in any order."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Start each task when there is room for it, and yield its outcome when it has ended."""
        ...


def run_study(study: Study, folder: StudyFolder, executor: Executor, *, progress: bool = True) -> list[Outcome]:
    """Run every cell that is not finished, and analyse again the cells whose maps were analysed by other settings.

    Args:
        study: the study.
        folder: its folder.
        executor: runs the cells.
        progress: show a bar.

    Returns:
        The outcomes of the cells that could not be run; empty when the study is complete.

    Raises:
        SalignError: the study is not valid (see `expand`); a guided recipe has no map; a class has no image to train or
            to validate on; timm has no such backbone; this machine lacks a device that a recipe asks for; or nothing
            can be written in `folder`.
    """
    cells = expand(study)
    tasks = {folder.run(cell).path: cell.recipe for cell in cells}
    measured = Measured(sets=study.analysis.sets, images=study.analysis.images)
    cells_found = {path: read_cell(RunFolder(path)) for path in tasks}
    left = [tasks[path] for path, cell in cells_found.items() if cell is None or not cell.answers(measured)]
    check_output(folder.runs, folder=True)
    if isinstance(executor, LocalExecutor):
        for device in dict.fromkeys(recipe.train.device for recipe in left):
            choose_device(device)  # fail here once, not in every process; the machines of a cluster have other devices
    check_maps(left)
    for backbone in dict.fromkeys(recipe.model.backbone for recipe in left):
        check_backbone(backbone)
    check_classes(left)
    folder.start(study, tasks, len(tasks) - len(left))
    failed = []
    with Bar(study.name, len(tasks), show=progress, done=len(tasks) - len(left), every_line=True) as bar:
        for outcome in executor.run(Task(recipe, folder.runs, measured, folder.stages) for recipe in left):
            if outcome.error is not None:
                failed.append(outcome)
            bar.advance(1, _note(study, folder, outcome), f"{bar.done + 1}/{len(tasks)} runs")
    return failed


def _note(study: Study, folder: StudyFolder, outcome: Outcome) -> str:
    """Return the line that the bar shows for a run that has ended: its name, and the metric on the target set."""
    name = outcome.task.recipe.name
    cell = read_cell(RunFolder.of(outcome.task.recipe, folder.runs)) if outcome.error is None else None
    if cell is None:
        return f"{name} could not be run"
    return f"{name}: {study.metric} {cell.figures.get(study.target, {}).get(study.metric, float('nan')):.3f}"


class LocalExecutor:
    """Processes on this machine, each with its share of the threads; they end when this process ends, even if killed.

    Small networks gain more from several processes than from several threads.

    Args:
        processes: number of cells at a time; None = one per CUDA device, or one per CPU where there is no such device.
        threads: threads of each process; None = CPUs divided by processes, but not more than torch would use by itself.
        devices: number of CUDA devices, which the processes share evenly; None = all that this process sees.
    """

    def __init__(self, processes: int | None = None, threads: int | None = None, *, devices: int | None = None) -> None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = torch.cuda.device_count() if devices is None else devices
        self.processes = processes or devices or cpus
        self.threads = threads or min(torch.get_num_threads(), max(1, cpus // self.processes))
        self.environments = environments(self.processes, devices, os.environ)
        if devices and self.processes > devices:
            logging.getLogger(__name__).warning(
                "%d runs at a time share %d GPUs; with --workers %d each has one of its own",
                *(self.processes, devices, devices),
            )

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run tasks; see `Executor`. A cell whose process dies is started again, at most `ATTEMPTS` times in all."""
        workers = [_Worker(environment, self.threads) for environment in self.environments]
        free, waiting, running = SimpleQueue[_Worker](), iter(tasks), set[Future[Outcome]]()
        for worker in workers:
            free.put(worker)
        with ExitStack() as stack:
            for worker in workers:
                stack.callback(worker.close)
            pool = stack.enter_context(ThreadPoolExecutor(self.processes))
            for worker in workers:  # after Ctrl-C, end the processes instead of waiting for their cells
                stack.callback(worker.end)
            while True:
                new = islice(waiting, self.processes - len(running))
                running |= {pool.submit(_on_free_worker, free, task) for task in new}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (job.result() for job in done)


def environments(processes: int, devices: int, environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the environment of each of several processes that share this machine.

    Process k sees CUDA device k of those that this process sees, counting from the first device again after the last.
    Where there are fewer processes than devices, every process sees the same number of devices, and `train.devices` can
    use them.

    Args:
        processes: number of processes.
        devices: number of CUDA devices that this process sees; 0 leaves `CUDA_VISIBLE_DEVICES` unchanged.
        environ: environment of this process; an `OMP_WAIT_POLICY` in it is kept.
    """
    seen = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name] or map(str, range(devices))
    names = list(seen)[:devices]
    shared = {**_WAITING, **environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if not names:
        return [shared] * processes
    each = max(1, len(names) // processes)
    first = [k * each % len(names) for k in range(processes)]
    return [shared | {"CUDA_VISIBLE_DEVICES": ",".join(names[k : k + each])} for k in first]


class _Worker:
    """A process of `salign.experiment.worker` that is started when there is work, and again when it has died."""

    def __init__(self, environment: Mapping[str, str], threads: int) -> None:
        self._environment, self._threads = environment, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._ended = threading.Lock(), False

    def run(self, task: Task) -> Outcome:
        """Run a task, and start it again when the process dies."""
        death = ""
        for _ in range(ATTEMPTS):
            with self._lock:
                if self._ended:
                    return Outcome(task, "stopped")
                if self._process is None:
                    self._process = self._begun()
                process = self._process
            try:
                return _answer(process, task)
            except (OSError, EOFError, pickle.UnpicklingError):
                self.close()
                death = _death(process.returncode)
        return Outcome(task, f"its process died {ATTEMPTS} times, at last {death}")

    def end(self) -> None:
        """Kill the process, even at work, and start no other."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Close the pipes of the process, and wait until it has ended."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # a process that died did not read all that was written to it
                    pipe.close()  # type: ignore[union-attr]  # both are pipes
            process.wait()

    def _begun(self) -> subprocess.Popen[bytes]:
        command = f"from salign.experiment.worker import serve; serve({self._threads})"
        return subprocess.Popen(
            [sys.executable, "-P", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        )


def _answer(process: subprocess.Popen[bytes], task: Task) -> Outcome:
    """Hand a task to a process and wait for the outcome; see `salign.experiment.worker.serve`."""
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump(task, process.stdin)
    process.stdin.flush()
    outcome: Outcome = pickle.load(process.stdout)
    return outcome


def _on_free_worker(free: SimpleQueue[_Worker], task: Task) -> Outcome:
    worker = free.get()
    try:
        return worker.run(task)
    finally:
        free.put(worker)


def _death(code: int) -> str:
    """Say how a process ended, from its exit code, which is minus the number of the signal where a signal ended it."""
    if code >= 0:
        return f"with exit code {code}; what it said last stands above"
    name = signal.Signals(-code).name
    return f"by {name}" + ("; is there memory enough for it?" if name == "SIGKILL" else "")


class RayExecutor:
    """Tasks on a Ray cluster, or on this machine as a cluster; a cell whose node dies is started again elsewhere.

    Args:
        address: address of a running cluster, or `auto` for the cluster that this machine belongs to; None starts a
            cluster on this machine.
        cpus: number of CPUs that a cell takes.
        gpus: number of GPUs that a cell takes and sees, a fraction if several cells are to share a GPU; None = one
            where the cluster has any. With 0 a cell sees no GPU.
    """

    def __init__(self, address: str | None = None, *, cpus: float = 1, gpus: float | None = None) -> None:
        self.ray, self.threads = connect(address), max(1, round(cpus))
        if gpus is None:
            gpus = min(1.0, self.ray.cluster_resources().get("GPU", 0.0))
        self.remote = self.ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=ATTEMPTS - 1,
            runtime_env={"env_vars": {name: os.environ.get(name, value) for name, value in _WAITING.items()}},
        )(_run_on_node)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run tasks; see `Executor`. Ray gets twice as many tasks as it has CPUs, so that no node waits for work."""
        waiting, running = iter(tasks), dict[Any, Task]()
        while True:
            room = 2 * int(self.ray.cluster_resources().get("CPU", 1)) - len(running)
            running |= {self.remote.remote(task, self.threads): task for task in islice(waiting, max(0, room))}
            if not running:
                return
            for done in self.ray.wait(list(running))[0]:
                task = running.pop(done)
                try:
                    yield self.ray.get(done)
                except self.ray.exceptions.RayError as error:
                    yield Outcome(task, f"Ray gave up on it: {type(error).__name__}: {error}")


def _run_on_node(task: Task, threads: int) -> Outcome:
    torch.set_num_threads(threads)
    die_of_sigterm()
    return run_task(task)
