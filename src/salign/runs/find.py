"""Find runs by what people type: a folder, `last`, a name, or the beginning of a name that only one run has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from salign.errors import SalignError
from salign.runs.folder import RunFolder

LAST = "last"
"""The name that stands for the run that finished last."""
_DEEPEST = 4
"""How many levels down folders named `runs` are searched: `FOLDER/studies/NAME/runs` is three levels below FOLDER."""
_SHOWN = 10


def find_run(name: str, folder: Path | str = ".") -> Path:
    """Return the run folder that a name stands for.

    A path that exists, or that has more than one part, is returned as it is.

    Args:
        name: path of a folder; `last`; the name of a run, or the beginning of its name.
        folder: folder below which folders named `runs` are searched, some levels down.

    Raises:
        SalignError: the name fits no run or several; the message lists them.
    """
    path = Path(name)
    if path.exists() or len(path.parts) != 1:
        return path
    runs = runs_below(folder)
    if name == LAST:
        if done := [run for run in runs if run.done]:
            return done[0].path
        raise SalignError("there is no finished run below this folder; `salign train` and `salign run` make one")
    matches = [run for run in runs if run.path.name == name] or [run for run in runs if run.path.name.startswith(name)]
    if not matches:
        known = f"runs here are {_named(runs)}" if runs else "there is no run here; `salign train` makes one"
        raise SalignError(f"{name} is no run folder: expected recipe.yaml in it, or the name of a run; {known}")
    if len(matches) > 1:
        raise SalignError(
            f"{len(matches)} runs are called {name}...: {_named(matches)}. Give more of the name, or a path"
        )
    return matches[0].path


def runs_below(folder: Path | str) -> list[RunFolder]:
    """Return every run, finished or not, in folders named `runs` below a folder, the latest first."""
    runs = [
        RunFolder(path)
        for folder_of_runs in folders_called("runs", Path(folder))
        for path in folder_of_runs.iterdir()
        if (path / "recipe.yaml").is_file()
    ]
    return sorted(runs, key=lambda run: (-when(run).timestamp(), str(run.path)))


def when(run: RunFolder) -> datetime:
    """Return when a run ended or, if it has not ended, when it wrote its last epoch."""
    files = (run.path / "done", run.metrics, run.recipe_file)
    return datetime.fromtimestamp(next(file for file in files if file.exists()).stat().st_mtime)


def folders_called(name: str, folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """Yield the folders of this name below a folder, or the folder itself.

    A folder that was found is not searched further. Links and hidden folders are not followed.
    """
    if folder.name == name:
        yield folder
        return
    try:
        below = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for path in below:
        if not path.name.startswith(".") and depth:
            yield from folders_called(name, path, depth - 1)


def _named(runs: list[RunFolder]) -> str:
    listed = [f"{run.path.name} ({when(run):%Y-%m-%d %H:%M})" for run in runs[:_SHOWN]]
    return ", ".join(listed) + ", ..." * (len(runs) > _SHOWN)
