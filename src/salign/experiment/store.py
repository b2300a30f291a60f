"""The folder of a study, and the results of its finished cells."""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from salign.errors import SalignError
from salign.experiment.question import note_question
from salign.experiment.study import Cell, Study, expand
from salign.files import replace_text
from salign.readers import read_json
from salign.runs.folder import RunFolder

if TYPE_CHECKING:
    from salign.runs.run import Run

PLACE = ("dataset", "network", "arm", "images", "annotated", "seed")
"""The columns that identify a cell."""
ANSWERS = {
    **{name: name for name in ("accuracy", "balanced_accuracy", "worst_class_accuracy", "auroc", "ece")},
    "auroc_macro": "auroc",
}
"""Metric in `evaluation.csv` -> its name in a study. Recipes of two classes have `auroc`, those of more classes have
`auroc_macro`."""

SD = "sd"
"""Last part of the name of a metric that is the standard deviation of a reliance figure over several draws."""
STEP_FIGURES = ("accuracy", "inside", "outside")
"""The figures that `salign.runs.snapshots.step_figures` measures after a step; `cell.json` names them
`step/STEP/FIGURE`."""


_MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study.

    It holds `study.yaml`, `question.json`, `cells.json`, `runs/` with a run folder per cell, `runs.csv`, and the
    report. `cells.json` names the run folders of the study as it was last run; all other run folders belong to settings
    that the study had before. The run folder of a cell holds all that `salign train` writes, and `cell.json` with the
    figures of the cell, which is written last.
    """

    path: Path

    @classmethod
    def of(cls, study: Study, out: Path | str) -> StudyFolder:
        """The folder of this study below `out`."""
        return cls(Path(out) / study.name)

    @property
    def runs(self) -> Path:
        """Folder of the run folders."""
        return self.path / "runs"

    @property
    def stages(self) -> Path:
        """Folder of the run folders of stages, which all studies in the same parent folder share."""
        return self.path.parent / "stages"

    @property
    def _cells(self) -> Path:
        return self.path / "cells.json"

    def runs_asked(self) -> list[RunFolder] | None:
        """Return the run folders of the study as it was last run, as `cells.json` names them.

        Returns None where there is no `cells.json`: earlier versions of salign did not write it.

        Raises:
            SalignError: the file is damaged.
        """
        if not self._cells.is_file():
            return None
        return [RunFolder(self.runs / Path(str(name)).name) for name in read_json(self._cells, limit=_MOST_BYTES)]

    def run(self, cell: Cell) -> RunFolder:
        """The run folder of a cell."""
        return RunFolder.of(cell.recipe, self.runs)

    def start(self, study: Study, runs: Iterable[Path], finished: int = 0) -> None:
        """Write `study.yaml` and `cells.json` and, the first time, `question.json`.

        Args:
            study: the study as it is run.
            runs: the run folders of its cells.
            finished: number of runs that are already finished.
        """
        replace_text(self.path / "study.yaml", study.to_yaml())
        replace_text(self._cells, json.dumps([path.name for path in runs], indent=1))
        note_question(study, self.path, finished)


@dataclass(frozen=True)
class Results:
    """The figures of the finished cells of a study."""

    figures: pd.DataFrame
    """A row per figure, with the columns `PLACE`, `set`, `metric` and `value`."""
    runs: pd.DataFrame
    """A row per finished cell, with the columns `PLACE`, `path` (its run folder), `hash` (of its recipe) and `seconds`
    (that it took)."""
    missing: int
    """Number of cells that are not finished."""


class Measured(BaseModel):
    """The settings by which the maps of a cell are analysed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sets: list[str] | None
    """The sets whose maps are measured; None = all."""
    images: int
    """At most this many images of each set are analysed."""
    draws: int = 1
    """How often the replacement of a part of an image is drawn at random."""


class FoundInCell(BaseModel):
    """Content of a `cell.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seconds: float
    figures: dict[str, dict[str, float]]
    """Set -> metric -> value."""
    measured: Measured | None = None
    """The settings by which its maps were analysed; None in a cell that an earlier version of salign wrote."""

    def answers(self, question: Measured) -> bool:
        """Whether the maps of the cell were analysed by these settings; assumed where the cell does not say."""
        return self.measured in (None, question)


def summarise(run: Run, seconds: float, measured: Measured) -> None:
    """Analyse a finished run and write its `cell.json`."""
    from salign.runs.analyse import analyse_run  # loads torch, which reading results does not need
    from salign.runs.snapshots import step_figures

    sets, images = measured.sets, measured.images
    tables = analyse_run(run, sets=sets, images=images, draws=measured.draws)
    figures: dict[str, dict[str, float]] = {}

    def note(name: str, metric: str, value: float) -> None:
        figures.setdefault(name, {})[metric] = float(value)

    evaluation = run.figures()
    whole = evaluation[(evaluation["group_column"] == "") & evaluation["metric"].isin(list(ANSWERS))]
    for name, metric, value in zip(whole["split"], whole["metric"], whole["value"], strict=True):
        note(name, ANSWERS[metric], value)
    agreement = tables["agreement"]
    for name, part in agreement.groupby("set", sort=False):
        for metric, value in part.drop(columns=["set", "id", "label", "predicted"]).mean().items():
            note(str(name), f"agreement/{metric}", value)
    relied = tables["reliance"]
    for name, *what, value, sd in relied[["set", "kept", "fill", "metric", "value", "sd"]].itertuples(index=False):
        note(name, "/".join(["reliance", *what]), value)
        if sd == sd:
            note(name, "/".join(["reliance", *what, SD]), sd)
    for step, name, *values in step_figures(run, sets=sets or list(figures), images=images).itertuples(index=False):
        for figure, value in zip(STEP_FIGURES, values, strict=True):
            note(name, f"step/{step}/{figure}", value)
    cell = FoundInCell(seconds=round(seconds, 2), figures=figures, measured=measured)
    replace_text(cell_file(run), json.dumps(cell.model_dump(mode="json"), indent=1))


def cell_file(run: RunFolder) -> Path:
    """Return the path of `cell.json`, a file that exists if and only if the cell is finished."""
    return run.path / "cell.json"


def read_cell(run: RunFolder) -> FoundInCell | None:
    """Return the figures of a cell, or None where it is not finished.

    A cell whose file is damaged counts as not finished, and a warning is logged. The next run of the study measures it
    again.
    """
    path = cell_file(run)
    if not path.exists():
        return None
    try:
        return FoundInCell.model_validate(read_json(path, limit=_MOST_BYTES, nan=True))
    except (SalignError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        logging.getLogger(__name__).warning("%s is damaged, so its cell counts as not finished: %s", path, reason)
        return None


def read_results(study: Study, folder: StudyFolder) -> Results:
    """Gather the figures of all finished cells. Models, predictions and maps are not read."""
    runs: list[tuple[object, ...]] = []
    names: dict[tuple[str, str], int] = {}
    cell_codes, name_codes, values = array("l"), array("l"), array("d")  # a study may hold millions of figures
    missing = 0
    for cell in expand(study):
        run = folder.run(cell)
        result = read_cell(run)
        if result is None:
            missing += 1
            continue
        for name, metrics in result.figures.items():
            for metric, value in metrics.items():
                cell_codes.append(len(runs))
                name_codes.append(names.setdefault((name, metric), len(names)))
                values.append(value)
        runs.append((*cell.key, str(run.path), run.path.name.rsplit("-", 1)[-1], result.seconds))
    table = pd.DataFrame(runs, columns=[*PLACE, "path", "hash", "seconds"])
    table = table.astype(dict.fromkeys(("dataset", "network", "arm"), "category"))
    named = pd.DataFrame(list(names), columns=["set", "metric"], dtype="category")
    figures = pd.concat(
        [
            table[list(PLACE)].take(np.asarray(cell_codes, dtype=np.int64)).reset_index(drop=True),
            named.take(np.asarray(name_codes, dtype=np.int64)).reset_index(drop=True),
            pd.Series(np.asarray(values, dtype=np.float64), name="value"),
        ],
        axis=1,
    )
    return Results(figures, table, missing)
