"""The `salign` command run inside the test process, as the console script runs it: exit code, stdout and stderr."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import yaml

from salign.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line printed, unwrapped."""
        return self.out.strip().splitlines()[-1]


def salign(*arguments: object, code: int = 0) -> Ended:
    """Run `salign arguments` and insist on the exit code; anything but SystemExit is a traceback and fails the test."""
    return _captured(main, ["salign", *map(str, arguments)], code)


def script(path: Path, *arguments: object) -> str:
    """What a script of this repository prints, run as `python path arguments`."""
    folder = str(path.parent)
    with mock.patch.object(sys, "path", [folder, *sys.path]):
        return _captured(
            lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *map(str, arguments)], 0
        ).out


def _captured(run: Callable[[], object], argv: list[str], code: int) -> Ended:
    out, err, ended = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as stop:
            ended = int(stop.code or 0)
    done = Ended(ended, out.getvalue(), err.getvalue())
    assert done.code == code, f"{argv} ended with {ended}\n{done.out}\n{done.err}"
    return done


def small(manifest: object, **changes: Any) -> dict[str, Any]:
    """A recipe of seconds on decoy digits: two classes, two epochs, everything that `auto` would choose fixed."""
    content: dict[str, Any] = {
        "name": "small",
        "data": {
            "manifest": str(manifest),
            "test": ["test_iid", "test_ood"],
            "classes": ["1", "7"],
            "image_size": 64,
            "workers": 0,
            "groups": ["decoy"],
        },
        "model": {"backbone": "test_resnet", "weights": None, "output_stride": 8},
        "loss": {"name": "cyborg"},
        "train": {"epochs": 2, "lr": 0.05, "precision": "float32", "memory_format": "contiguous", "device": "cpu"},
    }
    for section, values in changes.items():
        content[section] = content.get(section, {}) | values if isinstance(values, dict) else values
    return content


def written(path: Any, content: dict[str, Any]) -> Any:
    """Write a recipe as YAML and give its path back."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def stopped_after(monkeypatch: Any, epochs: int) -> Any:
    """Ctrl-C at the end of an epoch; call what comes back to be rid of it."""
    from salign.train.callbacks import ResumePoint

    original = ResumePoint.on_train_epoch_end

    def stop(self, trainer, pl_module):
        original(self, trainer, pl_module)
        if trainer.current_epoch == epochs - 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResumePoint, "on_train_epoch_end", stop)
    return lambda: monkeypatch.setattr(ResumePoint, "on_train_epoch_end", original)
