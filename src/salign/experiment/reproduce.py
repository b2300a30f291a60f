"""Rows of a table of evidence: figures that were measured, each with all that it takes to measure it again."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, ValidationError

from salign.config import Section, explain_faults, merge, read_values
from salign.errors import SalignError, nearest
from salign.experiment.arms import arm_changes
from salign.experiment.study import ALL_IMAGES, Grid, Name, Study, places_of

TABLE = Path("recipes/evidence.yaml")
"""The table of this project, in a checkout."""


class EvidenceRow(Section):
    """A row names a figure: of one arm of a study, or of one arm minus another, as the mean over seeds."""

    study: str
    """This study has the arm; a relative path begins beside the table."""
    arm: Name
    """The figure is of this arm,"""
    minus: Name | None = None
    """less that of this arm with the same seed, if one is named."""
    dataset: Name | None = None
    """The study has several data sets, and the row is about this one."""
    images: int | None = None
    """So many training images are drawn; null means all."""
    annotated: float = 1.0
    """This share of the annotated training images keeps its map."""
    seeds: list[int] = Field(min_length=1)
    """The figure is the mean over these seeds."""
    set: Name
    """It is measured on this test set."""
    metric: str
    """It is this figure of the set, such as accuracy, auroc, worst_class_accuracy or ece."""
    expected: float
    """This was measured."""
    tolerance: float = Field(gt=0)
    """A new measurement may be so far from it, since another machine rounds differently."""
    minutes: float = Field(gt=0)
    """Measuring it took so many minutes of one thread of a CPU."""
    prepare: list[str] = Field(min_length=1)
    """These commands write the data that the study names."""
    commit: str
    """It was measured at this commit of salign."""

    @property
    def words(self) -> str:
        """For instance "accuracy on test_ood of swap − ce, seeds 0, 1"."""
        arms = self.arm if self.minus is None else f"{self.arm} − {self.minus}"
        size = "" if self.images is None else f", {self.images} training images"
        seeds = ", ".join(map(str, self.seeds))
        return f"{self.metric} on {self.set} of {arms}{size}, seed{'s'[: len(self.seeds) - 1]} {seeds}"


class EvidenceTable(Section):
    """A table of evidence is a YAML file with a mapping `rows` from names to rows."""

    rows: dict[str, EvidenceRow]
    """Each row has a name, by which `salign reproduce` runs it."""

    @classmethod
    def read(cls, path: Path | str) -> EvidenceTable:
        """Read a YAML file.

        Raises:
            SalignError: every fault at once.
        """
        if not Path(path).exists():
            raise SalignError(
                f"no table of evidence at {path}. The table of salign lies in its repository: run this there, or name "
                "a table with --table."
            )
        content = read_values(path, None, "table of evidence", "rows")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise SalignError(explain_faults(error, cls, str(path))) from error

    def matching(self, pattern: str) -> dict[str, EvidenceRow]:
        """The rows whose name is this, or fits it where it has a `*` or `?`, in their order.

        Raises:
            SalignError: there is none.
        """
        rows = {name: row for name, row in self.rows.items() if fnmatchcase(name, pattern)}
        if not rows:
            close = nearest(pattern, self.rows)
            raise SalignError(f"no row is called {pattern!r}{close}; there are {', '.join(self.rows)}.")
        return rows


def study_of_row(row: EvidenceRow, table: Path | str) -> Study:
    """The study of a row, cut down to the runs that the row needs.

    Args:
        row: the row.
        table: the file that it stands in.

    Raises:
        SalignError: the study does not hold, or its data are not there; the message says what writes them.
    """
    study = Study.read(Path(table).parent / row.study)
    arms = [row.arm] if row.minus is None else [row.arm, row.minus]
    datasets = None if row.dataset is None else [row.dataset]
    grid = Grid(arms=arms, seeds=row.seeds, images=[row.images], annotated=[row.annotated], datasets=datasets)
    content = {**study.model_dump(), "grids": [grid.model_dump()], "target": row.set, "reference": None}
    content["analysis"] = {**study.analysis.model_dump(), "sets": [row.set], "images": 1}
    small = Study.build(content, str(Path(table).parent / row.study))
    missing = [path for path in dict.fromkeys(_manifests(small)) if not Path(path).exists()]
    if missing:
        raise SalignError(
            f"the data of this row are not here: {', '.join(missing)}. Write them first: {'; '.join(row.prepare)}"
        )
    return small


def figure_of_row(row: EvidenceRow, figures: pd.DataFrame) -> float:
    """The figure of a row in the results of its study: a mean over seeds.

    Args:
        row: the row.
        figures: as `Results.figures` has them.

    Raises:
        SalignError: a run of the row is not finished, or has no such figure.
    """
    images = ALL_IMAGES if row.images is None else row.images
    here = figures[(figures["set"] == row.set) & (figures["metric"] == row.metric)]
    here = here[(here["images"] == images) & (here["annotated"] == row.annotated)]
    values = {arm: here[here["arm"] == arm].set_index("seed")["value"] for arm in (row.arm, row.minus) if arm}
    for arm, of_arm in values.items():
        if absent := sorted(set(row.seeds) - set(of_arm.index)):
            raise SalignError(
                f"{row.metric} on {row.set} is not measured for the arm {arm}, seeds {', '.join(map(str, absent))}."
            )
    means = {arm: float(of_arm.loc[row.seeds].mean()) for arm, of_arm in values.items()}
    return means[row.arm] - (means[row.minus] if row.minus else 0.0)


def _manifests(study: Study) -> list[str]:
    paths = []
    for dataset, network, arm, *_, seed in places_of(study):
        values: dict[str, Any] = study.recipe
        own = arm_changes(arm, guided=study.guided, own=study.arms)
        for changes in (study.datasets[dataset], study.networks[network], own):
            values = merge(values, changes)
        paths.append(str(values.get("data", {}).get("manifest", "")).replace("{seed}", str(seed)))
    return paths
