"""The choice of the tasks that are handed out next: units that still need annotators, gold units among them.

Arms and the sides of pairs are drawn at random.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache

from salign.annotate import assign
from salign.annotate.catalog import Catalog, Unit
from salign.annotate.rows import Plan, Task
from salign.annotate.study import Study
from salign.data.manifest import CONFIDENCE
from salign.errors import SalignError


class HandOut:
    """Chooses tasks for annotators by the settings of a study. It does not remember who got which task."""

    def __init__(self, study: Study, catalog: Catalog, units: Iterable[Unit]) -> None:
        """Prepare the choice among these units.

        Raises:
            SalignError: the manifest's confidence of a draft, which decides the order, is not a number.
        """
        self._study = study
        self._units = {unit.id: unit for unit in units}
        self._gold = [unit.id for unit in self._units.values() if unit.gold is not None]
        self._plain = [unit.id for unit in self._units.values() if unit.gold is None]
        self._sureness = self._confidences(catalog) if study.mode == "review" and study.least_sure_first else {}
        self._order = lru_cache(maxsize=256)(self._drawn_order)

    def plans(
        self, annotator: int, mine: list[Task], people: dict[str, int], broken: Set[str], count: int
    ) -> list[Plan]:
        """Choose at most `count` new tasks for an annotator.

        Args:
            annotator: number of the annotator.
            mine: all tasks of the annotator so far.
            people: for each unit, how many others have answered or hold it; a missing unit counts 0.
            broken: ids of units that cannot be shown.
            count: how many tasks are wanted.
        """
        plans: list[Plan] = []
        seen = {task.unit for task in mine} | broken
        for position in range(len(mine), len(mine) + count):
            free = self._free(annotator, people, seen, 1)
            if not free:
                break
            if self._gold_due(annotator, position):
                ordered = self._order(annotator, True)
                free = assign.choose(ordered, {}, seen, per_unit=1, count=1) or free
            unit = self._units[free[0]]
            seen.add(unit.id)
            plans.append(self._plan(annotator, position, unit))
        return plans

    def still_wanted(self, task: Task, people: dict[str, int]) -> bool:
        """Return whether a task still waits for its annotator.

        An open task whose lease has ended does so only while its unit still needs annotators.
        """
        if not task.waits or task.unit not in self._units:
            return False
        free = task.gold or people.get(task.unit, 0) < self._study.annotators_per_image
        return free or task.state == "returned" or task.leased > time.time()

    def left(self, seen: Set[str], people: Mapping[str, int]) -> int:
        """Count the units that an annotator who has seen `seen` could still get.

        Gold units do not count, unless all units are gold: then everybody gets each of them.
        """
        if not self._plain:
            return sum(unit not in seen for unit in self._gold)
        per_unit = self._study.annotators_per_image
        return sum(unit not in seen and people.get(unit, 0) < per_unit for unit in self._plain)

    def _plan(self, annotator: int, position: int, unit: Unit) -> Plan:
        study, arm, images = self._study, None, list(unit.images)
        if study.mode == "assisted":
            by_person = study.assisted.by == "annotator"
            number, owner = (annotator - 1, "study") if by_person else (position, str(annotator))
            arm = assign.arm_of(study.assisted.arms, number, owner=owner, seed=study.seed)
        if study.mode == "pair":
            images = assign.sides(images, annotator=annotator, seed=study.seed)
        return Plan(unit.id, images, arm, unit.gold is not None)

    def _gold_due(self, annotator: int, position: int) -> bool:
        study = self._study
        return bool(self._gold) and assign.gold_is_due(
            position, annotator=annotator, seed=study.seed, share=study.gold_share
        )

    def _free(self, annotator: int, people: dict[str, int], seen: set[str], count: int) -> list[str]:
        ordered = self._order(annotator, not self._plain)
        seats = people if self._plain else {}  # gold images are shown to everybody
        return assign.choose(ordered, seats, seen, per_unit=self._study.annotators_per_image, count=count)

    def _drawn_order(self, annotator: int, gold: bool) -> list[str]:
        units = self._gold if gold else self._plain
        return assign.order(units, annotator=annotator, seed=self._study.seed, first=self._sureness)

    def _confidences(self, catalog: Catalog) -> dict[str, float]:
        """Return the confidence of the draft of each unit, for the units for which the manifest has one."""
        confidences = {}
        for unit in self._units.values():
            cell = catalog.pictures[unit.images[0]].cells.get(CONFIDENCE)
            if cell is not None:
                try:
                    confidences[unit.id] = float(cell)
                except ValueError:
                    raise SalignError(
                        f"{catalog.source}: the {CONFIDENCE} of {unit.images[0]!r} is no number: {cell!r}"
                    ) from None
        return confidences
