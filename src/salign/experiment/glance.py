"""A study at a glance: its progress and main figure, read from small files, without its recipes and without torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from salign.experiment.store import StudyFolder, read_cell
from salign.experiment.study import Study, places_of
from salign.runs.find import folders_called
from salign.runs.folder import RunFolder

_SEED = re.compile(r"-seed\d+-[0-9a-f]{8}$")
"""The end of the name of a cell's run folder."""


class Glance(NamedTuple):
    """What the folder of a study shows at a glance."""

    study: Study
    arms: dict[str, list[float]]
    """Name of the runs without seed and hash -> the study's metric on the target set, for each finished run."""
    done: int
    """Number of finished runs."""
    cells: int
    """Number of runs that the study asks for."""
    earlier: int
    """Number of other run folders, which belong to settings that the study had before."""
    page: Path | None
    """The report, where one was written."""


def glance(folder: Path) -> Glance:
    """Read the progress and the main figures of a study from its folder.

    Raises:
        SalignError: the folder has no valid `study.yaml`, or another file in it is damaged.
    """
    study, files = Study.read(folder / "study.yaml"), StudyFolder(folder)
    there = [RunFolder(path) for path in sorted(files.runs.glob("[!.]*-seed*"))]
    runs = files.runs_asked()
    arms: dict[str, list[float]] = {}
    for run in there if runs is None else runs:
        if (result := read_cell(run)) is not None:
            figure = result.figures.get(study.target, {}).get(study.metric, float("nan"))
            arms.setdefault(_SEED.sub("", run.path.name), []).append(figure)
    cells = len(places_of(study)) if runs is None else len(runs)
    earlier = 0 if runs is None else len({run.path for run in there} - {run.path for run in runs})
    page = folder / "report.html"
    done = sum(map(len, arms.values()))
    return Glance(study, arms, done, cells, earlier, page if page.is_file() else None)


def studies_below(folder: Path) -> Iterator[Path]:
    """Find the folders of studies that were begun, some levels below a folder."""
    return (runs.parent for runs in folders_called("runs", folder) if is_study_folder(runs.parent))


def is_study_folder(folder: Path) -> bool:
    """Whether a study was begun in this folder, so that it has `runs`. A folder of images has only its `study.yaml`."""
    return (folder / "study.yaml").is_file() and (folder / "runs").is_dir()


def nearest_study(path: Path, out: Path) -> Path | None:
    """Find the study that is probably meant by a path without one: a study below it, or one with a similar name.

    Args:
        path: a folder without a study, or a path that does not exist.
        out: folder of the folders of studies; the working folder and the folder of `path` are searched, too.

    Returns:
        The folder or the YAML file of the study; None where there is none.
    """
    if path.is_dir():
        return next(studies_below(path), None)
    files = (file for file in sorted(path.parent.glob("*.yaml")) if file.is_file())
    set_up = (file.parent for file in sorted(path.parent.glob("*/study.yaml")))
    known = [*studies_below(out), *studies_below(Path()), *set_up, *files]
    near = difflib.get_close_matches(path.stem, [study.stem for study in known], n=1)
    return next((study for study in known if study.stem in near), None)
