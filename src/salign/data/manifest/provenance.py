"""Which columns of a manifest hold maps, whose these are, and how that is written: decided here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable

PROVENANCE, CONFIDENCE = "provenance", "confidence"
"""Free columns that say whose a map is (`human:<who>`, `model:<which>`, `mask`) and how sure a model was of it."""
MACHINE, PERSON = "model:", "human:"
"""Beginnings of the provenance of a map that a machine made, and of one that a person made."""
MASK, UNKNOWN = "mask", "unknown"
"""Provenance of a map that a tool gave without saying who made it, and of one of which nobody knows whose it is. Only
`MACHINE` marks a machine's map; any other provenance, none too, is taken for a person's."""
ONE_PERSON = "saliency_"
"""Beginning of the names of columns with the maps of one person."""

_MOST_TEXT = 200
_COUNTED = re.compile(r"[0-9]+ annotators")


def provenance_column(column: str) -> str:
    """The column that says whose the maps of a column are."""
    return PROVENANCE if column == "saliency" else f"{column}_{PROVENANCE}"


def map_columns(names: Iterable[object]) -> dict[str, str]:
    """The columns that hold maps: `saliency`, those of one person, those with a column of provenance.

    Args:
        names: names of all columns; a table gives them, too.

    Returns:
        By column, in the order of the names, whose its maps are where no column of provenance says it: `human:ann` of
        `saliency_ann`, "" of `saliency`, and `unknown` of any other.
    """
    known = list(dict.fromkeys(map(str, names)))
    columns: dict[str, str] = {}
    for name in known:
        if name == "saliency":
            columns[name] = ""
        elif name.endswith(f"_{PROVENANCE}"):
            continue  # says whose maps are; no person's column ends so (`file_names.slugs`)
        elif name.startswith(ONE_PERSON):
            columns[name] = f"{PERSON}{name.removeprefix(ONE_PERSON)}"
        elif provenance_column(name) in known:
            columns[name] = UNKNOWN
    return columns


def provenance_of(makers: Iterable[str | None], unnamed: str = MASK) -> str:
    """What the column `provenance` says of a map that these made together.

    `human:ann+ben`; of more names than fit into 200 characters `human:50 annotators`. A map that a machine had a part
    in is a machine's: `model:net@1`, `model:net@1+net@2`, `model:net@1 with human:ann`. Whoever accepts or edits a
    machine's draft answers for the map, which is that person's then.

    Args:
        makers: the name of a person, `model:<which>` of a machine, or None where nobody says who it was.
        unnamed: what is said of those without a name; they do not count beside people who have one.
    """
    known = list(dict.fromkeys(makers))
    machines = [who.removeprefix(MACHINE) for who in known if who and who.startswith(MACHINE)]
    people = [who for who in known if who and not who.startswith(MACHINE)]
    people_named = f"{PERSON}{'+'.join(people)}" if people else unnamed
    if len(people_named) > _MOST_TEXT:
        people_named = f"{PERSON}{len(people)} annotators"
    if not machines:
        return people_named
    with_people = f" with {people_named}" if len(machines) < len(known) else ""
    return f"{MACHINE}{'+'.join(machines)}{with_people}"


def without_names(provenances: Iterable[str]) -> dict[str, str]:
    """What stands in public in place of each provenance: `human:ann+ben` becomes `human:annotator 1+annotator 2`.

    People are numbered in the order in which they come; what a machine made, and how many people there were, stays.
    """
    numbers: dict[str, str] = {}
    public: dict[str, str] = {}
    for provenance in provenances:
        before, mark, people = provenance.partition(PERSON)
        if mark and not _COUNTED.fullmatch(people):
            named = [numbers.setdefault(who, f"annotator {len(numbers) + 1}") for who in people.split("+")]
            people = "+".join(named)
        public[provenance] = f"{before}{mark}{people}"
    return public


def without_annotator(text: str, column: str) -> str:
    """A text in public, where a column with one person's maps is `saliency_annotator`, also in the names of runs.

    Args:
        text: a recipe, a card or the name of a run.
        column: a column of maps; one that is not called after a person stays.
    """
    if not column.startswith(ONE_PERSON):
        return text
    in_names = re.sub(r"[^A-Za-z0-9._-]+", "-", column)  # an arm `maps:COLUMN` gives its name to the run
    forms = "|".join(map(re.escape, sorted({column, in_names}, key=len, reverse=True)))
    return re.sub(rf"(?<![A-Za-z0-9])(?:{forms})(?![A-Za-z0-9_])", f"{ONE_PERSON}annotator", text)
