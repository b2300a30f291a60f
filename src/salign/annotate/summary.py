"""The overview of a study for its owner: one JSON object, which is made anew at most every few seconds."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from salign.annotate.answers import Answer, answers_of, judge_gold
from salign.annotate.assign import draw
from salign.annotate.collection import Collection
from salign.annotate.gallery import Row, list_answers
from salign.annotate.quality import (
    COMPARED,
    agreement_with_others,
    krippendorff,
    map_agreement,
    quantile,
    sample_maps,
    suspicions,
)
from salign.annotate.reviewed import summarise_review
from salign.annotate.rows import TAKEN, Person, Snapshot, Task, iso_time
from salign.annotate.split_half import split_half

LISTED = 500
"""The overview lists at most this many images, the least annotated first."""


class Overview(NamedTuple):
    """The contents of the owner's page."""

    summary: dict[str, Any]
    """The figures, ready for JSON."""
    answers: list[Row]
    """The rows of the gallery."""


class Summary:
    """The overview of a study, cached for a while so that an open owner's page does not slow down the saves."""

    def __init__(self, collection: Collection, seconds: float = 5.0, share: float = 0.05) -> None:
        """Keep each overview for `seconds`, or longer, so that making it takes at most about `share` of the time."""
        self._collection, self._seconds, self._share = collection, seconds, share
        self._until = -math.inf
        self._found = Overview({}, [])
        self._lock = threading.Lock()

    def get(self) -> Overview:
        """Return the overview. While one thread makes it, other threads wait for it."""
        with self._lock:
            begun = time.monotonic()
            if begun > self._until:
                self._found = summarise(self._collection)
                ended = time.monotonic()
                self._until = ended + max(self._seconds, (ended - begun) / self._share)
            return self._found


def summarise(collection: Collection) -> Overview:
    """Make the overview: coverage, times, agreement, annotators and images, and the rows of all answers."""
    snapshot, study = collection.store.snapshot(), collection.study
    answers, _ = answers_of(collection, snapshot)
    valid = [answer for answer in answers if not answer.skipped]
    by_unit: dict[str, list[Answer]] = defaultdict(list)
    for answer in valid:
        by_unit[answer.unit.id].append(answer)

    sample = sample_maps(collection, valid)
    maps = map_agreement(sample)
    verdicts = judge_gold(collection, snapshot)
    gold = _gold(answers, verdicts)
    same = agreement_with_others(valid)
    doubts = suspicions(answers, gold, same, maps.by_person)
    values = [[_coded(answer) for answer in group if answer.value is not None] for group in by_unit.values()]
    seats = Counter(task.unit for task in snapshot.tasks if _is_taken(task))
    rows = [
        _person(collection, person, snapshot, seats, answers, gold, same, maps.by_person, doubts)
        for person in snapshot.people
    ]
    seconds = [answer.seconds for answer in valid]
    summary = {
        "title": collection.study.title,
        "mode": collection.study.mode,
        "annotators_per_image": collection.study.annotators_per_image,
        "coverage": _coverage(collection, by_unit, answers),
        "agreement": {
            "alpha": _told(krippendorff(values)),
            "answers": sum(len(group) > 1 for group in values),
            "map_cc": _told(maps.cc),
            "map_iou": _told(maps.iou),
            "map_ceiling": _told(maps.ceiling),
            "images": maps.images,
            "of": COMPARED,
        },
        "seconds": {"median": quantile(seconds, 0.5), "p90": quantile(seconds, 0.9)} if seconds else None,
        "annotators": rows,
        "suspicious": [
            {"annotator": row["id"], "name": row["name"], "reason": reason}
            for row in rows
            for reason in row["suspicious"]
        ],
        "arms": _arms(collection, valid, verdicts) if collection.study.mode == "assisted" else None,
        "review": summarise_review(collection, answers).view(study.enough) if study.mode == "review" else None,
        "broken": [{"path": path, "reason": reason} for path, reason in sorted(collection.broken.reasons().items())],
        "images": _images(collection, by_unit, answers),
        "another": split_half(sample.values(), study.seed).view(),
        "when": iso_time(time.time()),
    }
    return Overview(summary, list_answers(collection, answers, maps.by_image))


def _is_taken(task: Task) -> bool:
    return task.state in TAKEN or (task.state == "open" and task.leased > time.time())


def _coded(answer: Answer) -> str:
    """Return an answer in the form in which Krippendorff's alpha compares it.

    For pairs it is "first" or "second". Which of the two images is called first is drawn for each pair, because the
    pairs that a study draws by labels always begin with the image of the target class.
    """
    if answer.annotation.side is None:
        return str(answer.value)
    first = answer.value == answer.unit.images[0]
    return "first" if first == (draw("alpha", answer.unit.id) < 0.5) else "second"


def _coverage(collection: Collection, by_unit: dict[str, list[Answer]], answers: Sequence[Answer]) -> dict[str, Any]:
    per_unit = collection.study.annotators_per_image
    broken = collection.broken.units()
    visible = [unit for unit in collection.units.values() if unit.id not in broken or unit.id in by_unit]
    plain = [unit for unit in visible if unit.gold is None] or visible
    counts = [len(by_unit.get(unit.id, ())) for unit in plain]
    tally = Counter(counts)
    return {
        "images": len(plain),
        "wanted": len(plain) * per_unit,
        "answered": sum(min(count, per_unit) for count in counts),
        "complete": sum(count >= per_unit for count in counts),
        "untouched": tally[0],
        "skipped": sum(answer.skipped for answer in answers),
        "gold": len(visible) - len(plain),
        "by_count": [{"annotators": count, "images": tally[count]} for count in sorted(tally)],
    }


def _gold(answers: Sequence[Answer], verdicts: Mapping[int, bool]) -> dict[int, tuple[int, int]]:
    """Return for each annotator how many gold images were answered right, and how many were answered."""
    own: dict[int, list[bool]] = defaultdict(list)
    for answer in answers:
        if answer.task.id in verdicts:
            own[answer.person.id].append(verdicts[answer.task.id])
    return {person: (sum(values), len(values)) for person, values in own.items()}


def _person(
    collection: Collection,
    person: Person,
    snapshot: Snapshot,
    seats: Mapping[str, int],
    answers: Sequence[Answer],
    gold: dict[int, tuple[int, int]],
    same: dict[int, float],
    maps: dict[int, float],
    doubts: dict[int, list[str]],
) -> dict[str, Any]:
    own = [answer for answer in answers if answer.person.id == person.id]
    valid = [answer for answer in own if not answer.skipped]
    sure = [answer.annotation.confidence for answer in valid if answer.annotation.confidence is not None]
    right, total = gold.get(person.id, (0, 0))
    mine = [task for task in snapshot.tasks if task.annotator == person.id]
    arms = {task.arm for task in mine}
    return {
        "id": person.id,
        "name": person.name,
        "shown": person.shown,
        "answered": len(valid),
        "skipped": len(own) - len(valid),
        "blank": sum(answer.annotation.blank for answer in valid),
        "open": sum(task.waits for task in mine),
        "returned": sum(task.state == "returned" for task in mine),
        "left": collection.images_left(person, mine, seats),
        "median_seconds": _told(quantile([answer.seconds for answer in valid], 0.5)),
        "gold_right": right,
        "gold_seen": total,
        "agreement": same.get(person.id),
        "map_agreement": maps.get(person.id),
        "confidence": fmean(sure) if sure else None,
        "last": iso_time(max(answer.revision.created for answer in own)) if own else None,
        "consented": None if person.consented is None else iso_time(person.consented),
        "arm": arms.pop() if len(arms) == 1 else None,
        "suspicious": doubts.get(person.id, []),
    }


def _arms(collection: Collection, valid: Sequence[Answer], verdicts: Mapping[int, bool]) -> list[dict[str, Any]]:
    rows = []
    for arm in collection.study.assisted.arms:
        own = [answer for answer in valid if answer.task.arm == arm]
        judged = [verdicts[answer.task.id] for answer in own if answer.task.id in verdicts]
        rows.append(
            {
                "arm": arm,
                "answered": len(own),
                "gold_right": sum(judged),
                "gold_seen": len(judged),
                "median_seconds": _told(quantile([answer.seconds for answer in own], 0.5)),
            }
        )
    return rows


def _images(
    collection: Collection, by_unit: dict[str, list[Answer]], answers: Sequence[Answer]
) -> list[dict[str, Any]]:
    skipped = Counter(answer.unit.id for answer in answers if answer.skipped)
    rows: list[dict[str, Any]] = [
        {
            "id": " / ".join(unit.images),
            "count": len(by_unit.get(unit.id, ())),
            "skipped": skipped[unit.id],
            "answers": dict(Counter(answer.value for answer in by_unit.get(unit.id, ()) if answer.value is not None)),
            "gold": unit.gold is not None,
        }
        for unit in collection.units.values()
    ]
    return sorted(rows, key=lambda row: int(row["count"]))[:LISTED]


def _told(value: float) -> float | None:
    return None if math.isnan(value) else value
