"""What a process does with the cells it is given, on this machine or on a node of a cluster.

`LocalExecutor` starts the process as a separate program and not through multiprocessing. Its environment is then set
before torch is loaded, and a script that runs a study is not executed again in it, so that the script needs no main
guard.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import BinaryIO

import torch

from salign.errors import SalignError
from salign.experiment.store import Measured, read_cell, summarise
from salign.runs.fit import fit
from salign.runs.folder import RunFolder
from salign.train.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """One cell, as it is sent to the process that runs it."""

    recipe: Recipe
    out: Path
    """Folder of run folders; on a cluster, all machines must see it."""
    measured: Measured
    """The settings by which its maps are analysed."""
    stages: Path | None = None
    """Folder of the run folders of stages; None = `out`."""


@dataclass(frozen=True)
class Outcome:
    """The end of a task: it is done, or could not be run."""

    task: Task
    error: str | None
    """Why the task could not be run; None = it is done."""


def run_task(task: Task) -> Outcome:
    """Train, evaluate and analyse a cell, unless it is finished.

    If another process works on the same cell, this function waits for it. A finished cell whose maps were analysed by
    other settings is analysed again, but not trained again.
    """
    run = RunFolder.of(task.recipe, task.out)
    try:
        with run.locked():
            cell = read_cell(run)
            if cell is None or not cell.answers(task.measured):
                begun, say = time.perf_counter(), logging.getLogger(__name__).info
                trained = fit(task.recipe, task.out, stages=task.stages, resume=True, progress=False, say=say)
                seconds = cell.seconds if cell else time.perf_counter() - begun
                summarise(trained, seconds, task.measured)
    except Exception as error:  # a cell that runs out of memory must not end the others
        return Outcome(task, str(error) if isinstance(error, SalignError) else f"{type(error).__name__}: {error}")
    return Outcome(task, None)


def serve(threads: int) -> None:
    """Run pickled tasks from standard input and write pickled outcomes to standard output, until the input ends.

    The input ends when the process at its other end closes it or dies, for whatever reason. This process then ends at
    once, as it does at SIGTERM, and leaves the cell that it works on as it is.
    """
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one handles Ctrl-C
    die_of_sigterm()
    tasks, outcomes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # keeps what a library prints out of the stream of outcomes
    if hasattr(os, "register_at_fork"):  # processes that read images must not keep it open when this process dies
        os.register_at_fork(after_in_child=outcomes.close)
    waiting = SimpleQueue[Task]()
    threading.Thread(target=_listen, args=(tasks, waiting), daemon=True).start()
    while True:
        pickle.dump(run_task(waiting.get()), outcomes)
        outcomes.flush()


def die_of_sigterm() -> None:
    """Let SIGTERM end this process at once, as SIGKILL does.

    Without this handler, Lightning would turn the signal into an interruption of the study. Lightning installs a
    handler of its own, but also calls the one that it finds.
    """

    def die(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, die)


def _listen(tasks: BinaryIO, waiting: SimpleQueue[Task]) -> None:
    try:
        while True:
            waiting.put(pickle.load(tasks))  # can be trusted: the process that started this one wrote it
    finally:
        sys.stderr.flush()
        os._exit(1)
