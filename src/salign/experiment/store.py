"""Where a study's cells lie, and what the finished ones found."""

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
"""Columns that say which cell."""
ANSWERS = {
    **{name: name for name in ("accuracy", "balanced_accuracy", "worst_class_accuracy", "auroc", "ece")},
    "auroc_macro": "auroc",
}
"""Figure of `evaluation.csv` -> figure of the study; two classes have `auroc`, more have `auroc_macro`."""

SD = "sd"
"""Behind a figure of reliance that was drawn several times: its standard deviation over the draws."""
STEP_FIGURES = ("accuracy", "inside", "outside")
"""What `salign.runs.snapshots.step_figures` measures after a step, noted as `step/STEP/FIGURE`."""


_MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class StudyFolder:
    """`study.yaml`, `question.json`, `cells.json`, `runs/` with one run folder per cell, `runs.csv`, and the report.

    `cells.json` names the run folders of the study as it was last run; others are of settings that it had before. A run
    folder of a study holds `cell.json` besides what `salign train` writes: the cell's figures, written last.
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
        """Folder of the run folders of stages, which the studies beside this one share."""
        return self.path.parent / "stages"

    @property
    def _cells(self) -> Path:
        return self.path / "cells.json"

    def runs_asked(self) -> list[RunFolder] | None:
        """The run folders of the study as it was last run; None where a version before ran it, which did not note them.

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
        """Make the folder and note what is being run, and, the first time, what is asked.

        Args:
            study: as it is run.
            runs: the run folders of its cells.
            finished: so many runs are done.
        """
        replace_text(self.path / "study.yaml", study.to_yaml())
        replace_text(self._cells, json.dumps([path.name for path in runs], indent=1))
        note_question(study, self.path, finished)


@dataclass(frozen=True)
class Results:
    """What the finished cells found."""

    figures: pd.DataFrame
    """A row per figure: `PLACE`, `set`, `metric`, `value`."""
    runs: pd.DataFrame
    """A row per finished cell: `PLACE`, `path` (its run folder), `hash`, `seconds` it took."""
    missing: int
    """Cells that are not finished."""


class Measured(BaseModel):
    """What an analysis of a cell was asked to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sets: list[str] | None
    """The sets whose maps are measured; None = all."""
    images: int
    """At most so many images of each set."""
    draws: int = 1
    """How often what replaces a part of an image is drawn."""


class FoundInCell(BaseModel):
    """Content of a `cell.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seconds: float
    figures: dict[str, dict[str, float]]
    """Set -> metric -> value."""
    measured: Measured | None = None
    """How the figures of its maps came to be; None in a cell that a version before noted."""

    def answers(self, question: Measured) -> bool:
        """Whether its maps were measured like this; of a cell that does not say how, it is taken for granted."""
        return self.measured in (None, question)


def summarise(run: Run, seconds: float, measured: Measured) -> None:
    """Analyse a finished run and write its `cell.json`."""
    from salign.runs.analyse import analyse_run  # loads torch, which reading results does without
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
    """Present exactly where a cell is finished."""
    return run.path / "cell.json"


def read_cell(run: RunFolder) -> FoundInCell | None:
    """What a finished cell found; None where it is not finished.

    One whose file is damaged counts as not finished, which is said: run again, the study measures it again.
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
    """Gather the figures of all finished cells; models, predictions and maps stay on disk."""
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
