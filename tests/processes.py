"""`salign` in processes of their own that start at once: each is forked from one that has imported everything.

They are killed, stopped and limited like any other process; only the seconds that an import takes are saved.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "salign.annotate.opening", "salign.annotate.web.run", "salign.experiment.report", "salign.experiment.runner",
        "salign.runs.fit",
    ]
)  # fmt: skip


@atexit.register
def _end_what_a_failed_test_left() -> None:
    for process in multiprocessing.active_children():
        process.kill()


class Program:
    """`salign ARGUMENTS`, or a Python script, with the part of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        *arguments: object,
        folder: Path | None = None,
        session: bool = False,
        largest_file: int | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        """Start it; arguments that begin with a `.py` file run that script.

        Args:
            arguments: as they stand in a shell after `salign`, or script and its arguments
            folder: where it works; None = here
            session: it leads a session of its own, so that its processes can be found
            largest_file: bytes that a file of it may have, as on a disk that is full
            environ: variables of its environment, besides those of this process
        """
        logs = Path(tempfile.mkdtemp(prefix="salign-process-"))
        self.out, self.err = logs / "out", logs / "err"
        self.out.touch()
        self.err.touch()
        words = [*map(str, arguments)]
        self._process = FORKED.Process(
            target=_run, args=(words, self.out, self.err, folder or Path.cwd(), session, largest_file, environ or {})
        )
        self._process.start()
        self.pid = int(self._process.pid or 0)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, seconds: float = 300) -> int:
        """Until it has ended; its exit code, or minus the signal that killed it."""
        self._process.join(seconds)
        assert self.returncode is not None, f"it has not ended after {seconds} s: {self.err.read_text()}"
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, seconds: float = 300) -> tuple[str, str]:
        """What it printed until its end, and its errors."""
        self.wait(seconds)
        return self.out.read_text(), self.err.read_text()

    def said_until(self, word: str, seconds: float = 60) -> list[str]:
        """Its lines up to the first that holds a word; waits for it."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.returncode is not None
            lines = self.out.read_text().splitlines()
            for number, line in enumerate(lines):
                if word in line:
                    return lines[: number + 1]
            assert not ended, f"it ended first: {lines}\n{self.err.read_text()}"
            assert time.monotonic() < deadline, f"it waits: {lines}\n{self.err.read_text()}"
            time.sleep(0.02)


def write_to(out: Path, err: Path) -> None:
    """From here on this process prints into these files."""
    for number, path in ((1, out), (2, err)):
        with path.open("wb") as stream:
            os.dup2(stream.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115


def _run(
    words: list[str],
    out: Path,
    err: Path,
    folder: Path,
    session: bool,
    largest_file: int | None,
    environ: dict[str, str],
) -> None:
    os.environ.update(environ)
    if session:
        os.setsid()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background deaf to it
    write_to(out, err)
    os.chdir(folder)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if words[0].endswith(".py"):
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")
    else:
        from salign.cli import main

        sys.argv = ["salign", *words]
        main()


def wait_to_be_killed(note: Path) -> None:
    """The first process that comes here writes its number into the file `note` and waits; all others go on."""
    own = note.with_name(f"{note.name}-{os.getpid()}")
    own.write_text(str(os.getpid()))
    try:
        os.link(own, note)
    except FileExistsError:
        return
    time.sleep(300)


@contextmanager
def one_worker_killed(note: Path) -> Iterator[list[int]]:
    """Kill the process of Ray that has come to `wait_to_be_killed`.

    Yields:
        the numbers of the processes killed; Ray ends here as the block of the test does.
    """
    import ray

    killed, over = list[int](), threading.Event()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no process of Ray can import this

    def kill_who_waits() -> None:
        while not over.wait(0.01):
            if note.exists():
                number = int(note.read_text())
                os.kill(number, signal.SIGKILL)
                killed.append(number)
                return

    killer = threading.Thread(target=kill_who_waits)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()
        ray.shutdown()
