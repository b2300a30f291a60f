"""What a process of a study does with its pipes and signals; that of a real one is in test_runner."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from salign.experiment import worker


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
