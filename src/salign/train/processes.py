"""Training in several processes: how they meet, and what the user is told when one of them is lost.

The first process does everything that a single process would do. The others follow it: they wait for trainings to take
part in, and end when the first one ends. `torchrun` or `srun` started them, or the first one starts them itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NoReturn

import torch
from torch import distributed

from salign.errors import Preempted, SalignError
from salign.train.world import ALONE, World, launched

Job = dict[str, Any]
"""What the other processes need to know of a training; it is sent as JSON."""
PATIENCE = timedelta(minutes=10)
"""A process that does not answer for this long counts as lost."""
_OFTEN = 0.1
"""Seconds between two looks at the messages of the other processes."""
_FAREWELL = 30
"""Seconds that a process gets to end by itself, at the end or after another process was lost."""
_ENDED = "ended"
_FOLLOW = (
    "from salign.train.processes import end_with_pipe; end_with_pipe(); from salign.runs.learn import follow; follow()"
)


class Team:
    """The connection of a process with the others: a store of texts, and the number of trainings shared so far.

    `children` are the processes that this process started itself.
    """

    def __init__(self, world: World, store: distributed.Store) -> None:
        self.world, self.store, self.shared = world, store, 0
        self.children: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def connected(self, device: str) -> Iterator[None]:
        """Connect torch's collectives of all processes for the time of this block."""
        self.store.set(f"ready/{self.shared}/{self.world.rank}", "")
        if self.world.rank == 0:
            self.wait_for(f"ready/{self.shared}/{rank}" for rank in range(self.world.size))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=distributed.PrefixStore(f"group/{self.shared}", self.store),
            rank=self.world.rank,
            world_size=self.world.size,
            timeout=PATIENCE,
        )
        try:
            yield
        finally:
            self.shared += 1
            distributed.destroy_process_group()

    def wait_for(self, keys: Iterator[str], seconds: float = PATIENCE.total_seconds()) -> None:
        """Wait until the other processes have set these keys in the store.

        Raises:
            SalignError: a process was lost, or not all keys were set within `seconds`.
        """
        deadline = time.monotonic() + seconds
        for key in keys:
            while not self.store.check([key]):
                if lost := self.lost():
                    raise SalignError(lost)
                if time.monotonic() > deadline:
                    raise SalignError(f"not all {self.world.size} processes answered in {seconds:.0f} s.")
                time.sleep(_OFTEN)

    def lost(self) -> str:
        """Return the fault of another process, or that a process ended, as a message; empty if no fault is known."""
        with suppress(RuntimeError):
            if self.store.check(["fault"]):
                return self.store.get("fault").decode()
        for rank, child in enumerate(self.children, 1):
            if child.poll() is not None:
                how = f" by {signal.Signals(-child.returncode).name}" if child.returncode < 0 else ""
                return f"process {rank + 1} of {self.world.size} ended{how}. {_AGAIN}"
        return ""


_AGAIN = "Go on with the same command and --resume."
_OUTSIDE: list[Team] = []
"""The team of this process, if torchrun, srun or the first process started it; it lasts as long as the process."""


@contextmanager
def leading() -> Iterator[None]:
    """Enclose all that the first process does; afterwards, the processes that torchrun or srun started end, too."""
    world = launched()
    if world == ALONE:
        yield
        return
    team = _outside(world)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            team.store.set(f"job/{team.shared}", _ENDED)
    with suppress(RuntimeError, SalignError):  # the others must read this before the store ends with this process
        team.wait_for((f"bye/{rank}" for rank in range(1, world.size)), _FAREWELL)


@contextmanager
def training_together(world: World, device: str, job: Job) -> Iterator[None]:
    """Let the other processes take part in the training that this block does in the first process.

    The other processes prepare the training themselves from `job`.

    Args:
        world: the processes of the training, of which this is the first.
        device: "cpu" or "cuda".
        job: what the other processes need to know.

    Raises:
        SalignError: another process found a mistake of the user, or was lost.
    """
    if world.size == 1:
        yield
        return
    team = _outside(world) if launched() != ALONE else _begun(world)
    threads = torch.get_num_threads()
    try:
        team.store.set(f"job/{team.shared}", json.dumps(job))
        if team.children:
            torch.set_num_threads(_threads(world))
        with _watched(team), team.connected(device):
            yield
    except Exception as error:
        if isinstance(error, SalignError):
            raise
        _explain(team, error)
    finally:
        torch.set_num_threads(threads)
        for child in team.children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


def follow_jobs(prepare: Callable[[Job], Callable[[World], None]]) -> None:
    """Take part in the trainings of the first process until it ends.

    Args:
        prepare: prepares a training from its job, and returns the function that does this process's part of it.

    Raises:
        SystemExit: there was a fault, which the first process reports, the training was preempted, or the first process
            was lost.
    """
    team = _outside(launched())
    while (job := _next(team)) is not None:
        try:
            train = prepare(job)
            with team.connected(job["device"]):
                train(team.world)
        except Preempted as error:
            sys.exit(error.code)
        except SalignError as error:
            team.store.set("fault", str(error))
            sys.exit(1)
        except Exception as error:
            with suppress(RuntimeError):
                if not _is_connection(error) and not team.store.check(["fault"]):
                    team.store.set("fault", f"process {team.world.rank + 1}: {type(error).__name__}: {error}")
            sys.exit(1)
    with suppress(RuntimeError):
        team.store.set(f"bye/{team.world.rank}", "")


def end_with_pipe() -> None:
    """End this process when its standard input ends: that is when the process that started it ends, in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one

    def listen() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def _next(team: Team) -> Job | None:
    key = f"job/{team.shared}"
    try:
        while not team.store.check([key]):
            time.sleep(_OFTEN)
        text = team.store.get(key).decode()
    except RuntimeError:  # the first process has ended, and its store with it
        sys.exit(1)
    return None if text == _ENDED else json.loads(text)


def _outside(world: World) -> Team:
    """Return the team of a process that torchrun, srun or the first process started."""
    if not _OUTSIDE:
        address, port = _meeting()
        hosts = world.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
        store = distributed.TCPStore(address, port, is_master=hosts, wait_for_workers=False, timeout=PATIENCE)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        _OUTSIDE.append(Team(world, distributed.PrefixStore(f"salign/{attempt}", store)))
    return _OUTSIDE[0]


def _meeting() -> tuple[str, int]:
    """Return address and port of the first process."""
    environ = os.environ
    address, port = environ.get("MASTER_ADDR"), environ.get("MASTER_PORT")
    if address is None:
        from lightning.fabric.plugins.environments import SLURMEnvironment

        address = SLURMEnvironment.resolve_root_node_address(environ.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    if port is None:  # a port that another step of SLURM is unlikely to have
        port = str(10_000 + (31 * int(environ.get("SLURM_JOB_ID", 0)) + int(environ["SLURM_STEP_ID"])) % 40_000)
    return address, int(port)


def _begun(world: World) -> Team:
    """Start the other processes on this machine; they end when the pipes to them are closed, for whatever reason."""
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    team = Team(world, distributed.PrefixStore("salign/0", store))
    shared = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(world.size),
        "LOCAL_WORLD_SIZE": str(world.beside),
        "OMP_NUM_THREADS": str(_threads(world)),
    }
    for rank in range(1, world.size):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        child = subprocess.Popen([sys.executable, "-P", "-c", _FOLLOW], stdin=subprocess.PIPE, env=shared | own)
        team.children.append(child)
        if hasattr(os, "register_at_fork"):  # else the processes that read images would keep the pipe open
            assert child.stdin is not None
            os.register_at_fork(after_in_child=child.stdin.close)
    return team


def _threads(world: World) -> int:
    """Return the threads of each process, so that all together have as many as a single process would."""
    return max(1, torch.get_num_threads() // world.size)


@contextmanager
def _watched(team: Team) -> Iterator[None]:
    """End this process if another one is lost during this block and torch still waits for it, as it does on GPUs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            if (lost := team.lost()) and not over.wait(_FAREWELL):
                print(f"error: {lost}", file=sys.stderr, flush=True)
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _explain(team: Team, error: Exception) -> NoReturn:
    """Raise an error for the user in place of torch's, which says no more than that a connection ended.

    Errors of other kinds are raised as they are.
    """
    if not _is_connection(error):
        raise error
    deadline = time.monotonic() + 5
    while not (lost := team.lost()) and time.monotonic() < deadline:
        time.sleep(_OFTEN)
    raise SalignError(lost or f"another process of this training was lost. {_AGAIN}") from error


def _is_connection(error: Exception) -> bool:
    """Return whether an error says that torch lost the connection to another process."""
    words = ("gloo", "Connection closed", "Connection reset", "NCCL", "Broken pipe", "TCPStore")
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in words)
