"""Run the cells of a study: skip what is done, go on with what was cut off, never the same cell twice."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from salign.experiment.store import StudyFolder, read_cell, summarise
from salign.experiment.study import Study, expand
from salign.train.fit import fit
from salign.train.recipe import Recipe
from salign.train.run import RunFolder
from salign.types import SalignError

ATTEMPTS = 3
"""How often a cell is begun whose process or machine dies under it."""


@dataclass(frozen=True)
class Task:
    """One cell, as it travels to the process that runs it."""

    recipe: Recipe
    out: Path
    """Folder of run folders; on a cluster one that all machines see."""
    sets: list[str] | None
    images: int


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    task: Task
    error: str | None
    """Why it could not be run; None = it is done."""


class Executor(Protocol):
    """Runs tasks somewhere, in any order."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Begin tasks as there is room; yield each when it has ended."""
        ...


def run_study(study: Study, folder: StudyFolder, executor: Executor, *, progress: bool = True) -> list[Outcome]:
    """Run every cell that is not finished.

    Returns:
        the cells that could not be run; empty when the study is complete.
    """
    folder.start(study)
    tasks = {folder.run(cell).path: cell.recipe for cell in expand(study)}
    left = [recipe for path, recipe in tasks.items() if read_cell(RunFolder(path)) is None]
    columns = (TextColumn(study.name), BarColumn(), TextColumn("{task.completed}/{task.total} runs"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), transient=True, disable=not progress) as bar:
        shown = bar.add_task(study.name, total=len(tasks), completed=len(tasks) - len(left))
        options = study.analysis
        failed = []
        for outcome in executor.run(Task(recipe, folder.runs, options.sets, options.images) for recipe in left):
            if outcome.error is not None:
                failed.append(outcome)
            bar.advance(shown)
    return failed


def run_task(task: Task) -> Outcome:
    """Train, evaluate and analyse one cell, unless it is done; another process at the same cell is waited for."""
    run = RunFolder.of(task.recipe, task.out)
    lock = run.path.with_name(f".{run.path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # the system lets go of it when its process ends, however that happens
        if read_cell(run) is not None:
            return Outcome(task, None)
        begun = time.perf_counter()
        try:
            fit(task.recipe, task.out, resume=True, progress=False, say=logging.getLogger(__name__).info)
            summarise(run, time.perf_counter() - begun, sets=task.sets, images=task.images)
        except Exception as error:  # one cell out of memory must not end the others
            return Outcome(task, str(error) if isinstance(error, SalignError) else f"{type(error).__name__}: {error}")
    lock.unlink(missing_ok=True)
    return Outcome(task, None)


class LocalExecutor:
    """Processes on this machine, each with its share of the threads; they end when this process ends, even if killed.

    Small networks gain more from several processes than from several threads.

    Args:
        processes: how many cells at a time; None = one per CPU, or one per CUDA device.
        threads: of each process; None = CPUs divided by processes.
    """

    def __init__(self, processes: int | None = None, threads: int | None = None) -> None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.processes = processes or torch.cuda.device_count() or cpus
        self.threads = threads or max(1, cpus // self.processes)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """See `Executor`. A cell whose process dies (memory, kill) is begun again, at most `ATTEMPTS` times in all."""
        waiting, retries = iter(tasks), list[tuple[Task, int]]()
        while True:
            running: dict[Future[Outcome], tuple[Task, int]] = {}
            context = multiprocessing.get_context("spawn")
            reader, writer = context.Pipe(duplex=False)
            with reader, ProcessPoolExecutor(self.processes, context, _begin, (reader, self.threads)) as pool:
                try:
                    while True:
                        for task, attempt in self._next(waiting, retries, self.processes - len(running)):
                            running[pool.submit(run_task, task)] = (task, attempt)
                        if not running:
                            return
                        for done in wait(running, return_when=FIRST_COMPLETED).done:
                            outcome = done.result()
                            del running[done]
                            yield outcome
                except BrokenProcessPool:
                    pass
                finally:  # after Ctrl-C nobody waits for the cells at work
                    writer.close()
            for task, attempt in running.values():  # one of them died, and the pool with it
                if attempt < ATTEMPTS:
                    retries.append((task, attempt + 1))
                else:
                    yield Outcome(task, f"its process died {ATTEMPTS} times; is there memory enough for it?")

    @staticmethod
    def _next(waiting: Iterator[Task], retries: list[tuple[Task, int]], room: int) -> Iterator[tuple[Task, int]]:
        again = [retries.pop() for _ in range(min(room, len(retries)))]
        yield from again
        yield from ((task, 1) for task in islice(waiting, room - len(again)))


def _begin(lifeline: Connection, threads: int) -> None:
    """In a fresh process: set its threads, and end it when the other end of the pipe is closed.

    That happens on purpose, or because the process that holds it died, by whatever means.
    """
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayExecutor:
    """Tasks on a Ray cluster, or on this machine as one; a cell whose node dies is begun again elsewhere.

    Args:
        address: of a running cluster, `auto` for the one this machine belongs to; None starts one here.
        cpus: that a cell takes.
        gpus: that a cell takes, in fractions if several are to share one.
    """

    def __init__(self, address: str | None = None, *, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise SalignError("running on Ray needs it installed: pip install 'salign[ray]'.") from error
        self.ray, self.threads = ray, max(1, round(cpus))
        try:
            ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise SalignError(
                f"no Ray cluster at {address!r}: {error}. Start one with `ray start --head` and try again."
            ) from error
        self.remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=ATTEMPTS - 1)(_run_on_node)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """See `Executor`; twice as many tasks are handed over as the cluster has CPUs, so that no node waits."""
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
    return run_task(task)
