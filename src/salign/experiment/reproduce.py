"""Tables of evidence: figures that were measured, each with all that is needed to measure it again."""

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
"""Path of this project's own table in a checkout."""


class EvidenceRow(Section):
    """A row names a figure: that of one arm of a study, or the difference of two arms, as the mean over seeds."""

    study: str
    """This YAML file is the study that has the arm; a relative path begins in the folder of the table."""
    arm: Name
    """The figure is that of this arm."""
    minus: Name | None = None
    """The figure of this arm with the same seed is subtracted; null subtracts nothing."""
    dataset: Name | None = None
    """The row is about this data set, where the study has several."""
    network: Name | None = None
    """The row is about this network, where the study has several."""
    images: int | None = None
    """This many training images are drawn; null means all."""
    annotated: float = 1.0
    """This share of the annotated training images keeps its map."""
    seeds: list[int] = Field(min_length=1)
    """The figure is the mean over these seeds."""
    set: Name
    """The figure is measured on this test set."""
    metric: str
    """The figure is this metric, such as accuracy, auroc, worst_class_accuracy or ece."""
    expected: float
    """The figure had this value when it was measured."""
    tolerance: float = Field(gt=0)
    """A new measurement may differ from `expected` by this much, since another machine rounds differently."""
    minutes: float = Field(gt=0)
    """The measurement took this many minutes of one thread of a CPU."""
    prepare: list[str] = Field(min_length=1)
    """These commands write the data that the study names."""
    commit: str
    """The figure was measured at this commit of salign."""

    @property
    def words(self) -> str:
        """The figure in words, for instance "accuracy on test_ood of swap − ce, seeds 0, 1"."""
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
        """Read a table of evidence from a YAML file.

        Raises:
            SalignError: the file does not exist or has faults; the message names every fault.
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
        """Return the rows whose name is `pattern`, or matches it where it has a `*` or `?`, in the order of the table.

        Raises:
            SalignError: there is no such row.
        """
        rows = {name: row for name, row in self.rows.items() if fnmatchcase(name, pattern)}
        if not rows:
            close = nearest(pattern, self.rows)
            raise SalignError(f"no row is called {pattern!r}{close}; there are {', '.join(self.rows)}.")
        return rows


def study_of_row(row: EvidenceRow, table: Path | str) -> Study:
    """Return the study of a row, cut down to the runs that the row needs.

    Args:
        row: the row.
        table: the file of its table.

    Raises:
        SalignError: the study is not valid, or its data are not there; the message names the commands that write them.
    """
    study = Study.read(Path(table).parent / row.study)
    arms = [row.arm] if row.minus is None else [row.arm, row.minus]
    datasets, networks = ([name] if name else None for name in (row.dataset, row.network))
    size: dict[str, Any] = {"images": [row.images], "annotated": [row.annotated]}
    grid = Grid(arms=arms, seeds=row.seeds, **size, datasets=datasets, networks=networks)
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
    """Return the figure of a row, the mean over its seeds, from the results of its study.

    Args:
        row: the row.
        figures: see `Results.figures`.

    Raises:
        SalignError: a run of the row is not finished, or has no such figure; or the study has several data sets or
            networks, and the row does not say which.
    """
    images = ALL_IMAGES if row.images is None else row.images
    here = figures[(figures["set"] == row.set) & (figures["metric"] == row.metric)]
    here = here[(here["images"] == images) & (here["annotated"] == row.annotated)]
    for column, name in (("dataset", row.dataset), ("network", row.network)):
        here = here if name is None else here[here[column] == name]
        if len(names := sorted(here[column].unique())) > 1:
            raise SalignError(f"{column}: the row must name one of {', '.join(names)}, which its study has.")
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
