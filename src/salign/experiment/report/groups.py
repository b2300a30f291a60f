"""Groups of arms that can be compared: those of one data set and network, paired by seed under equal conditions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from salign.evaluate.comparison import Comparison, compare
from salign.evaluate.ranking import Array
from salign.experiment.arms import OTHER_MAPS, controls_among, maps_of
from salign.experiment.study import ALL_IMAGES, Study

UNNAMED = ("data", "network")
"""The default names of a study's only data set and only network."""


class Condition(NamedTuple):
    """How many training images and maps a run has. Conditions are ordered by images, then by maps; more is larger."""

    images: float
    """Number of training images; infinite where all are used."""
    annotated: float
    """Share of the annotated images that keep their map."""

    @property
    def words(self) -> str:
        """The condition, for instance "500 training images, 10 % of the maps"; empty where a run has all of both."""
        parts = [] if np.isinf(self.images) else [f"{self.images:.0f} training images"]
        return ", ".join(parts + ([] if self.annotated == 1 else [f"{100 * self.annotated:g} % of the maps"]))


class Alike(NamedTuple):
    """Runs of an arm that give all images of a set the same answer; see `salign.evaluate.constant`."""

    runs: int
    """Number of these runs."""
    of: int
    """Number of all runs of the arm."""
    blind: int
    """Number of these runs that also give all images nearly the same probabilities, so that no threshold parts them."""
    first: str
    """The answer of the first of these runs, in words."""

    @property
    def share(self) -> str:
        """These runs as a share of all runs of the arm, for instance "2 of 5"."""
        return f"{self.runs} of {self.of}"

    def mostly(self, metric: str) -> bool:
        """Whether half or more of the runs answer alike, so that `metric` says little of what was learned.

        For `auroc` only the runs in `blind` count, since a threshold may still part the images in the other runs.
        """
        return 2 * (self.blind if metric == "auroc" else self.runs) >= self.of


@dataclass(frozen=True)
class Group:
    """The runs of a study on one data set with one network."""

    dataset: str
    network: str
    title: str
    """The names of the data set and the network, except default names (`UNNAMED`); without any, that of the study."""
    arms: tuple[str, ...]
    """The arms with finished runs: the baseline, the guided arm, the controls, then all others by name."""
    conditions: dict[str, Condition]
    """Arm -> the condition under which it is reported. It is the largest that the arm shares with the baseline; for the
    baseline, the largest that it shares with the guided arm. An arm that shares none has its own largest condition."""
    values: pd.DataFrame
    """The figures, with a column per seed; NaN where there is no figure."""
    places: dict[tuple[str, float, float, str, str], int]
    """Arm, images, annotated, set, metric -> row of `values`."""
    ran: dict[str, set[Condition]]
    """Arm -> the conditions under which it has finished runs."""
    compared: dict[tuple[str, str, str, str], Comparison | None] = field(default_factory=dict)
    """The results of `compare` so far, by its arguments."""
    alike: dict[str, dict[str, Alike]] = field(default_factory=dict)
    """The results of `alike_answers` so far, by set and arm."""

    def scores(self, arm: str, test_set: str, metric: str, condition: Condition | None = None) -> pd.Series:
        """Return the figures of an arm by seed; empty where there are none.

        Args:
            arm: name of the arm.
            test_set: name of the set.
            metric: name of the metric.
            condition: condition of the runs; None = that under which the arm is reported.
        """
        key = condition or self.conditions.get(arm)
        row = None if key is None else self.places.get((arm, *key, test_set, metric))
        return pd.Series(dtype=np.float64) if row is None else self.values.iloc[row].dropna()

    def shared(self, first: str, second: str) -> Condition | None:
        """Return the largest condition under which both arms have runs; None where there is none."""
        return max(self.ran.get(first, set()) & self.ran.get(second, set()), default=None)

    def pair(self, first: str, second: str, test_set: str, metric: str) -> tuple[Array, Array]:
        """Return the figures `(S,)` of two arms under the largest condition and for the seeds that they share."""
        condition = self.shared(first, second)
        if condition is None:
            return np.empty(0), np.empty(0)
        return by_seed(*(self.scores(arm, test_set, metric, condition) for arm in (first, second)))

    def rows(self, runs: pd.DataFrame, arm: str, condition: Condition | None = None) -> pd.DataFrame:
        """Return the rows of the runs of an arm, by ascending seed.

        Args:
            runs: a row per finished cell, with the columns `PLACE` among others.
            arm: name of the arm.
            condition: condition of the runs; None = that under which the arm is reported.
        """
        images, annotated = condition or self.conditions[arm]
        here = (runs["dataset"] == self.dataset) & (runs["network"] == self.network) & (runs["arm"] == arm)
        number = ALL_IMAGES if np.isinf(images) else images
        return runs[here & (runs["images"] == number) & (runs["annotated"] == annotated)].sort_values("seed")

    def paths(self, runs: pd.DataFrame, arm: str, condition: Condition | None = None) -> dict[int, str]:
        """Return seed -> run folder of an arm, by ascending seed.

        Args:
            runs: a row per finished cell; see `Results.runs`.
            arm: as for `rows`.
            condition: as for `rows`.
        """
        rows = self.rows(runs, arm, condition)
        return {int(seed): str(path) for seed, path in zip(rows["seed"], rows["path"], strict=True)}

    def compare(self, first: str, second: str, test_set: str, metric: str) -> Comparison | None:
        """Compare two arms on one set, or return None if they share no seed.

        The bootstrap is seeded, so that equal figures give equal intervals.
        """
        key = first, second, test_set, metric
        if key not in self.compared:
            self.compared[key] = compared(*self.pair(*key))
        return self.compared[key]


def controls_of(study: Study, group: Group, arm: str) -> list[str]:
    """Return the controls of an arm in a group: all that copy its recipe values with other maps (`controls_among`).

    The controls of the guided arm begin with those that the study names.
    """
    first = [name for name in study.controls if name in group.arms] if arm == study.guided else []
    return list(dict.fromkeys([*first, *controls_among(group.arms, arm, guided=study.guided, own=study.arms)]))


def is_control(study: Study, arm: str) -> bool:
    """Whether an arm is a control: the study names it as one, or it has maps of `OTHER_MAPS`."""
    return arm in study.controls or maps_of(arm, guided=study.guided, own=study.arms) in OTHER_MAPS


def by_seed(first: pd.Series, second: pd.Series) -> tuple[Array, Array]:
    """Return two columns of figures by seed as arrays `(S,)`, for the seeds that both have, in ascending order."""
    seeds = first.index.intersection(second.index).sort_values()
    return first.loc[seeds].to_numpy(), second.loc[seeds].to_numpy()


def compared(first: Array, second: Array) -> Comparison | None:
    """Compare two arrays of figures `(S,)` that are paired by seed, or return None if they are empty.

    The bootstrap is seeded, so that equal figures give equal intervals.
    """
    return compare(first, second, generator=np.random.default_rng(0)) if len(first) else None


def groups_of(study: Study, results: pd.DataFrame) -> list[Group]:
    """Sort the long table of figures into groups, by data set and network.

    Args:
        study: names the baseline, the guided arm and the controls.
        results: columns dataset, network, arm, images, annotated, seed, set, metric, value.
    """
    table = results.assign(images=results["images"].astype(np.float64).replace(ALL_IMAGES, np.inf))
    grouped = table.groupby(["dataset", "network"], sort=True, observed=True)
    return [_group(study, str(dataset), str(network), rows) for (dataset, network), rows in grouped]


def arm_order(study: Study, arms: Iterable[str]) -> tuple[str, ...]:
    """Sort arms: the baseline, the guided arm, the controls, then all others by name."""
    present = set(arms)
    first = [study.baseline, study.guided, *study.controls]
    return (*dict.fromkeys(arm for arm in first if arm in present), *sorted(present - set(first)))


def heading(groups: Sequence[Group], group: Group) -> str:
    """Return the title of a group for a plot or sentence; empty where it is the only group."""
    return group.title if len(groups) > 1 else ""


def _group(study: Study, dataset: str, network: str, rows: pd.DataFrame) -> Group:
    ran: dict[str, set[Condition]] = {}
    for arm, images, annotated in rows[["arm", "images", "annotated"]].drop_duplicates().itertuples(index=False):
        ran.setdefault(str(arm), set()).add(Condition(float(images), float(annotated)))
    arms = arm_order(study, ran)
    conditions = {}
    for arm in arms:
        other = study.guided if arm == study.baseline else study.baseline
        conditions[arm] = max(ran[arm] & ran.get(other, set()) or ran[arm])
    keys = ["arm", "images", "annotated", "set", "metric"]
    values = rows.pivot(index=keys, columns="seed", values="value").sort_index(axis=1)
    title = ", ".join(name for name in (dataset, network) if name not in UNNAMED) or study.name
    rows_of = {(str(key[0]), key[1], key[2], str(key[3]), str(key[4])): row for row, key in enumerate(values.index)}
    return Group(dataset, network, title, arms, conditions, values.reset_index(drop=True), rows_of, ran)
