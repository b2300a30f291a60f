"""A study at a glance: how far it is and its main figure, from small files alone, without its recipes and torch."""

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
"""What the name of a cell's run folder ends with."""


class Glance(NamedTuple):
    """What the folder of a study shows at a glance."""

    study: Study
    arms: dict[str, list[float]]
    """Name of the runs without seed and hash -> the figure that counts, of each finished run."""
    done: int
    """Finished runs."""
    cells: int
    """Runs that the study asks for."""
    earlier: int
    """Runs that lie there besides, of settings that it had before."""
    page: Path | None
    """The report, where one was written."""


def glance(folder: Path) -> Glance:
    """Look into a study's folder.

    Raises:
        SalignError: there is no `study.yaml` in it, or it does not hold, or a file beside it is damaged.
    """
    study, files = Study.read(folder / "study.yaml"), StudyFolder(folder)
    there = [RunFolder(path) for path in sorted(files.runs.glob("*-seed*"))]
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
    """Folders of studies that were begun, some levels down."""
    return (runs.parent for runs in folders_called("runs", folder) if is_study_folder(runs.parent))


def is_study_folder(folder: Path) -> bool:
    """Whether a study was begun in this folder, which has its runs; beside images lies its `study.yaml` alone."""
    return (folder / "study.yaml").is_file() and (folder / "runs").is_dir()


def nearest_study(path: Path, out: Path) -> Path | None:
    """The study that is probably meant by a path at which there is none: one below that folder, or of a like name.

    Args:
        path: a folder without a study, or nothing.
        out: folder of the folders of studies, where they are looked for besides the working folder.
    """
    if path.is_dir():
        return next(studies_below(path), None)
    files = (file for file in sorted(path.parent.glob("*.yaml")) if file.is_file())
    set_up = (file.parent for file in sorted(path.parent.glob("*/study.yaml")))
    known = [*studies_below(out), *studies_below(Path()), *set_up, *files]
    near = difflib.get_close_matches(path.stem, [study.stem for study in known], n=1)
    return next((study for study in known if study.stem in near), None)
