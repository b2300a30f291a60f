"""What a process does with the cells it is given, on this machine or on a node of a cluster.

`LocalExecutor` starts it as a program of its own, not through multiprocessing: its environment is set before torch is
loaded, and a script that runs a study is not run again in it, so that the script needs no main guard.
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
    """One cell, as it travels to the process that runs it."""

    recipe: Recipe
    out: Path
    """Folder of run folders; on a cluster one that all machines see."""
    measured: Measured
    """What is measured on its maps."""
    stages: Path | None = None
    """Folder of the run folders of stages; None = `out`."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    task: Task
    error: str | None
    """Why it could not be run; None = it is done."""


def run_task(task: Task) -> Outcome:
    """Train, evaluate and analyse one cell, unless it is done; another process at the same cell is waited for.

    One whose maps were measured otherwise is measured again, and not trained.
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
    except Exception as error:  # one cell out of memory must not end the others
        return Outcome(task, str(error) if isinstance(error, SalignError) else f"{type(error).__name__}: {error}")
    return Outcome(task, None)


def serve(threads: int) -> None:
    """Run pickled tasks from standard input and write pickled outcomes to standard output, until the input ends.

    That happens on purpose, or because the process that holds the other end died, by whatever means; the cell at work
    is then left as it is, and so it is at SIGTERM.
    """
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began this one
    die_of_sigterm()
    tasks, outcomes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what a library prints is no outcome
    if hasattr(os, "register_at_fork"):  # or the processes that read images would keep it open when this one dies
        os.register_at_fork(after_in_child=outcomes.close)
    waiting = SimpleQueue[Task]()
    threading.Thread(target=_listen, args=(tasks, waiting), daemon=True).start()
    while True:
        pickle.dump(run_task(waiting.get()), outcomes)
        outcomes.flush()


def die_of_sigterm() -> None:
    """Let SIGTERM end this process at once, as SIGKILL does: Lightning would make an interruption of the study of it.

    Lightning calls the handler it finds besides its own.
    """

    def die(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, die)


def _listen(tasks: BinaryIO, waiting: SimpleQueue[Task]) -> None:
    try:
        while True:
            waiting.put(pickle.load(tasks))  # from the process that began this one
    finally:
        sys.stderr.flush()
        os._exit(1)
