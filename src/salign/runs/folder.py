"""A run folder: its name contains a fingerprint of its recipe, and its files are complete at every moment."""

from __future__ import annotations

import datetime
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from salign.config import read_values
from salign.errors import SalignError, one_of
from salign.files import LEFTOVERS, check_output, replace_text
from salign.readers import open_file, parse_json, read_json, read_text
from salign.train.files import METRICS, RESUME

if TYPE_CHECKING:
    import pandas as pd

    from salign.train.recipe import Recipe

LIBRARIES = (
    "salign",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "torchmetrics",
    "numpy",
    "pandas",
    "scipy",
    "pillow",
)


ENVIRONMENT = "environment.json"
"""The file of a run that describes the machine and libraries it ran on, and when it began."""
POSTHOC = "posthoc.json"
"""The file of a run that was made from a finished run: which run that was, and how the new one was made."""
_MOST_BYTES = 1_000_000


class _Done(BaseModel):
    """Content of the file `done`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    predicted: dict[str, int]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    It holds:

    - `recipe.yaml`: the resolved recipe;
    - `environment.json`: machine and libraries;
    - `metrics.csv`: a row per epoch;
    - `model.json` and `weights.safetensors`: the network of the best epoch;
    - `predictions/<set>.csv`: a row per image, for validation and each test set;
    - `evaluation.csv`: a row per figure;
    - `README.md` and `data-card.md`: the cards of model and data;
    - `resume.ckpt` and `inputs.csv` (the images and maps that the run began with): only until the run is done;
    - `done`: how many rows of predictions there are; it is written last.
    """

    path: Path

    @classmethod
    def of(cls, recipe: Recipe, out: Path | str) -> Self:
        """Return the folder of this recipe below `out`; its name is the recipe's name and fingerprint."""
        return cls(Path(out) / f"{recipe.name}-{recipe.fingerprint()}")

    @property
    def recipe_file(self) -> Path:
        """The file of the resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def metrics(self) -> Path:
        """The file with the training metrics, a row per epoch."""
        return self.path / METRICS

    def check_sets(self, names: Sequence[str] | None) -> None:
        """Refuse a name that is neither `val` nor a test set of the run, without importing torch.

        Raises:
            SalignError: a name is unknown; the message lists the known ones.
        """
        from salign.train.recipe import Recipe

        if names:
            content = read_values(self.recipe_file, None, "recipe", "name and data")
            known = list(Recipe.alone(content, str(self.recipe_file), torch=False).data.sets)
            for name in names:
                one_of(name, known, "set")

    def predictions_file(self, name: str) -> Path:
        """Return the file of predictions for the set `name` (`val` or a test set), a row per image."""
        return self.path / "predictions" / f"{name}.csv"

    def read_predictions(
        self, name: str, classes: Sequence[str] | None = None, *, multi_label: bool = False
    ) -> pd.DataFrame:
        """Read the predictions of a set and check that the file is complete; see `salign.evaluate.read_predictions`.

        Runs of earlier versions did not record the number of rows. If such a file was cut off exactly at the end of a
        line, that is not noticed.

        Raises:
            SalignError: the file is missing or damaged, or has fewer or more rows than were written.
        """
        from salign.evaluate import read_predictions

        path = self.predictions_file(name)
        table = read_predictions(path, classes, multi_label=multi_label)
        with open_file(path, limit=None) as file:
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
        written = self._predicted().get(name, len(table))
        if not whole or len(table) != written:
            damage = f"{len(table)} rows of {written}" if whole else f"its last line, row {len(table) + 1}, has no end"
            raise SalignError(
                f"{path} is damaged: {damage}; it may have been cut off as it was copied. Bring a whole copy, or "
                f"delete {self.path} and train again."
            )
        return table

    def _predicted(self) -> dict[str, int]:
        """Return set -> number of rows of its predictions, as `finish` recorded them."""
        done = self.path / "done"
        if not done.exists() or not (text := read_text(done, limit=_MOST_BYTES)):
            return {}
        try:
            return _Done.model_validate(parse_json(text, str(done))).predicted
        except ValidationError as error:
            raise SalignError(f"{done} is damaged: {str(error).splitlines()[0]}") from error

    @property
    def evaluation(self) -> Path:
        """The file of figures, a row per figure."""
        return self.path / "evaluation.csv"

    @property
    def resume(self) -> Path:
        """The file with all that is needed to continue after the last finished epoch; removed when the run is done."""
        return self.path / RESUME

    @property
    def inputs(self) -> Path:
        """The file that lists the images and maps that the run began with; removed when the run is done."""
        return self.path / "inputs.csv"

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return (self.path / "done").exists()

    @property
    def given_away(self) -> bool:
        """Whether `salign publish` wrote this folder: it has model and figures, but no predictions of single images."""
        return not self.done and (self.path / "evaluation.csv").is_file() and not (self.path / "predictions").exists()

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open an existing, finished run.

        Raises:
            SalignError: there is no run, it has not finished, it was written by `salign publish`, or its folder
                `analysis` or `page` is a link, so that files would be written elsewhere.
        """
        run = cls(Path(path))
        if not run.recipe_file.is_file():
            raise SalignError(f"{run.path} is no run folder: expected recipe.yaml in it. `salign runs` lists the runs.")
        if links := [name for name in ("analysis", "page") if (run.path / name).is_symlink()]:
            raise SalignError(
                f"{run.path / links[0]} is a link, so that what is written into the run lands elsewhere. Replace it by "
                "a folder."
            )
        if run.given_away:
            raise SalignError(
                f"{run.path} was given away by salign publish, without the images and answers that this needs. Take "
                "the run that it was made of; for new images: salign predict."
            )
        if not run.done:
            raise SalignError(f"{run.path} has not finished: repeat the `salign train` that began it, with --resume.")
        return run

    @contextmanager
    def locked(self, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
        """Keep other processes from the run; wait if another process has locked it.

        A process may lock a run again that it has already locked.

        Args:
            say: receives a line for the user if this process has to wait.

        Raises:
            SalignError: the folder cannot be written to.
        """
        check_output(self.path, folder=True)
        file = self.path.with_name(f".{self.path.name}.lock")
        is_new = not file.parent.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, is_singleton=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{self.path}: another process is at this run and is waited for")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()  # if the process is killed, the system releases it
            if not lock.is_locked:
                with suppress(OSError):  # Windows keeps a file that another process has open
                    file.unlink()
                    if is_new:
                        file.parent.rmdir()  # unless something was written into it

    def begin(self, resume: bool, say: Callable[[str], None]) -> bool:
        """Return whether there is something to train: False if the run is already done.

        Raises:
            SalignError: the folder holds an interrupted run, and `resume` is False.
        """
        if self.done:
            say(f"{self.path} is already done; nothing to train.")
            return False
        if self.path.is_dir() and any(self.path.iterdir()) and not resume:
            raise SalignError(
                f"{self.path} holds a run that was cut off. Go on with --resume, or delete the folder to start again."
            )
        return True

    def start(self, recipe: Recipe) -> None:
        """Make the folder and write recipe and environment; a resumed run keeps the time at which it first began."""
        replace_text(self.recipe_file, recipe.to_yaml())
        path, begun = self.path / ENVIRONMENT, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with suppress(SalignError, KeyError, TypeError):  # the file does not exist yet, or is damaged
            begun = str(read_json(path, limit=_MOST_BYTES)["begun"])
        replace_text(path, json.dumps({**environment(), "begun": begun}, indent=2))

    def finish(self, predicted: Mapping[str, int] | None = None) -> None:
        """Mark the run as done, and remove half-written files and the files that were needed to resume it.

        Args:
            predicted: set -> number of rows of its predictions; the numbers are recorded in `done`.
        """
        for partial in self.path.rglob(LEFTOVERS):
            partial.unlink()
        replace_text(self.path / "done", json.dumps({"predicted": predicted}) if predicted else "")
        self.resume.unlink(missing_ok=True)
        self.inputs.unlink(missing_ok=True)


def environment() -> dict[str, object]:
    """Describe what a run runs on: versions, machine, threads, and the commit of this package.

    The commit is None unless the package lies in a Git checkout.
    """
    import torch

    return {
        "python": sys.version.split()[0],
        "commit": commit_of(Path(__file__).parents[3]),
        "processor": _processor(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": [torch.cuda.get_device_name(device) for device in range(torch.cuda.device_count())],
    }


@functools.cache
def commit_of(checkout: Path) -> str | None:
    """Return the commit of a Git checkout, with `-dirty` appended if tracked files were changed.

    It is None if the folder is no checkout or Git fails.
    """
    if not (checkout / ".git").exists():
        return None
    ask = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    """Return the model name of the CPU from Linux's /proc/cpuinfo; on other systems, what Python knows."""
    try:
        lines = read_text("/proc/cpuinfo", limit=_MOST_BYTES).splitlines()
    except SalignError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
