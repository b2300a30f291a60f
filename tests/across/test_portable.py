"""What would fail, or come out differently, on Windows or macOS: found in the source, since only Linux is at hand."""

from __future__ import annotations

import ast
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from command import small
from salign.data.reading.datamodule import predict_loader
from salign.runs.run import Run

SOURCE = Path(__file__).parents[2] / "src" / "salign"
LINUX_ONLY = {
    "os": {
        "fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "uname", "chown", "sync",
        "mkfifo", "statvfs", "nice", "getloadavg", "sched_getaffinity", "register_at_fork", "wait", "waitpid", "pread",
        "pwrite", "posix_fallocate", "posix_fadvise", "O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "fchmod",
    },
    "signal": {
        "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGQUIT", "SIGCONT", "SIGSTOP", "alarm",
        "setitimer", "pause", "sigwait", "pthread_kill", "pthread_sigmask",
    },
}  # fmt: skip
"""What Windows lacks, by module (the documentation of Python says so of each)."""
BACKSLASHES = {"os.path.relpath", "os.path.commonpath", "os.path.normpath"}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix"}
"""Modules that Windows lacks."""


def trees() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(SOURCE).as_posix(), text, ast.parse(text)


def test_what_is_called_linux_only_is_there_here() -> None:
    """Else a name in the list is misspelt, and finds nothing."""
    assert LINUX_ONLY["os"] - set(dir(os)) == LINUX_ONLY["signal"] - set(dir(signal)) == set()


def faults(name: str, text: str, tree: ast.Module) -> Iterator[str]:
    """What a module does that another system does not, or does otherwise."""
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    tried = {id(inner) for node in tries for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import) and id(node) not in tried:
            yield from (f"{where} import {alias.name}" for alias in node.names if alias.name in MODULES)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, attribute = node.value.id, node.attr
            asked = f'hasattr({owner}, "{attribute}")' in text or 'os.name == "posix"' in text
            if attribute in LINUX_ONLY.get(owner, ()) and not asked:
                yield f"{where} {owner}.{attribute}"
            if (owner, attribute) == ("os", "rename"):
                yield f"{where} os.rename does not replace a file on Windows; os.replace does"
        within = isinstance(node, ast.Attribute) and ast.unparse(node) in BACKSLASHES and name != "files.py"
        if within or (isinstance(node, ast.ImportFrom) and node.module == "os.path"):
            yield f"{where} backslashes on Windows; take relative_path or common_folder of salign.files, or posixpath"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keys = {keyword.arg for keyword in node.keywords}
            modes = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            writes = node.func.attr == "open" and modes and str(modes[0]) in ("w", "a", "x", "r+", "w+")
            if (node.func.attr == "write_text" or writes) and not {"encoding", "newline"} <= keys:
                yield f"{where} text without encoding and newline"
            if node.func.attr == "to_csv" and "lineterminator" not in keys:
                yield f"{where} to_csv without lineterminator; take salign.files.write_csv"
            if node.func.attr == "read_text" and not (keys | set(map(type, node.args))) & {"encoding", ast.Constant}:
                yield f"{where} text read without encoding"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import os\nos.fork()", 1),
        ('import os\nif hasattr(os, "fork"): os.fork()', 0),
        ("import signal\nsignal.SIGHUP", 1),
        ("import resource", 1),
        ("try:\n  import resource\nexcept ImportError: pass", 0),
        ("import os\nos.rename(a, b)", 1),
        ("from os.path import relpath", 1),
        ("import os\nos.path.relpath(a)", 1),
        ("import os\nos.path.join(a, b)", 0),
        ('path.write_text("a", encoding="utf-8")', 1),
        ('path.write_text("a", encoding="utf-8", newline="")', 0),
        ('path.open("w")', 1),
        ('path.open("rb")', 0),
        ("path.read_text()", 1),
        ('path.read_text("utf-8")', 0),
        ("table.to_csv(path, index=False)", 1),
    ],
)
def test_each_kind_of_fault_is_noticed(text: str, count: int) -> None:
    assert len(list(faults("a.py", text, ast.parse(text)))) == count


def test_the_source_has_none() -> None:
    assert [fault for tree in trees() for fault in faults(*tree)] == []


def test_output_that_lacks_a_character_ends_in_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where output that goes into a file has the characters of the code page."""
    from salign.cli import main

    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["salign", "status", str(tmp_path / "写真")])
    (tmp_path / "写真").mkdir()
    with pytest.raises(SystemExit) as ended:
        main()
    stream.flush()
    shown = stream.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]
    assert ended.value.code in (0, None)
    assert r"\u5199\u771f" in shown
    assert "Next:" in shown


def test_what_reads_images_can_be_sent_to_another_process(trained: Path) -> None:
    """Where processes are spawned, a dataset goes to them pickled; so does what is done at their beginning."""
    run = Run.open(trained)
    for name in ("train", "val"):
        loader = predict_loader(run.data(name), 4, 1)
        parts = (loader.dataset, loader.collate_fn, loader.worker_init_fn, loader.sampler)
        dataset, collate, init, _ = pickle.loads(pickle.dumps(parts))
        assert collate is loader.collate_fn
        assert init is loader.worker_init_fn
        if name == "val":  # images of training change at random
            np.testing.assert_array_equal(
                *(each.__getitems__([0, 1]).images.numpy() for each in (dataset, loader.dataset))
            )


SCRIPT = """
import sys
from salign.cli import main
if __name__ == "__main__":
    main()
"""
SPAWNED = """
import multiprocessing
multiprocessing.set_start_method("spawn")
"""


@pytest.mark.long
@pytest.mark.slow
def test_where_every_process_is_spawned_as_on_windows_and_macos_trainings_and_studies_run(
    digits: Path, tmp_path: Path
) -> None:
    """Python runs `sitecustomize` at the start of every process, those of the study and of the loaders too."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SPAWNED)
    (tmp_path / "main.py").write_text(SCRIPT)
    recipe = small(digits, train={"epochs": 1}, data={"workers": 1})
    study = {"name": "s", "recipe": recipe, "target": "test_iid", "grids": [{"arms": ["ce", "cyborg"], "seeds": 1}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    for words in (["train", "recipe.yaml"], ["experiment", "study.yaml", "--workers", "2"]):
        command = [sys.executable, "main.py", *words, "--out", "out"]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("done"))) >= 3
