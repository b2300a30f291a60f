"""The only place that decides which columns of a manifest hold maps, who made them, and how that is written."""

from __future__ import annotations

import re
from collections.abc import Iterable

PROVENANCE, CONFIDENCE = "provenance", "confidence"
"""Free columns that say who made a map (`human:<who>`, `model:<which>`, `mask`) and how sure a model was of it."""
MACHINE, PERSON = "model:", "human:"
"""Prefixes of the provenance of a map that a machine made, and of a map that a person made."""
MASK, UNKNOWN = "mask", "unknown"
"""Provenance of a map from a tool that does not say who made it, and of a map whose maker nobody knows. Only `MACHINE`
marks a machine's map; a map with any other provenance, or with none, is treated as a person's."""
ONE_PERSON = "saliency_"
"""Prefix of the names of columns with the maps of one person."""

_MOST_TEXT = 200
_COUNTED = re.compile(r"[0-9]+ annotators")


def provenance_column(column: str) -> str:
    """Return the name of the column that says who made the maps of a column."""
    return PROVENANCE if column == "saliency" else f"{column}_{PROVENANCE}"


def map_columns(names: Iterable[object]) -> dict[str, str]:
    """Find the columns that hold maps: `saliency`, columns of one person, and columns with a column of provenance.

    Args:
        names: names of all columns; a table can be given, too.

    Returns:
        For each column of maps, in the order of the names, the provenance of its maps if no column of provenance gives
        it: `human:ann` for `saliency_ann`, "" for `saliency`, and `unknown` for any other column.
    """
    known = list(dict.fromkeys(map(str, names)))
    columns: dict[str, str] = {}
    for name in known:
        if name == "saliency":
            columns[name] = ""
        elif name.endswith(f"_{PROVENANCE}"):
            continue  # a column of provenance; no column of a person's maps ends like this (`file_names.slugs`)
        elif name.startswith(ONE_PERSON):
            columns[name] = f"{PERSON}{name.removeprefix(ONE_PERSON)}"
        elif provenance_column(name) in known:
            columns[name] = UNKNOWN
    return columns


def provenance_of(makers: Iterable[str | None], unnamed: str = MASK) -> str:
    """Return the provenance of a map that several makers made together.

    People are written as `human:ann+ben`, or as `human:50 annotators` if the names need more than 200 characters. A map
    that a machine had a part in is a machine's map: `model:net@1`, `model:net@1+net@2`, `model:net@1 with human:ann`. A
    person who accepts or edits a machine's draft answers for the map, and it is then that person's map.

    Args:
        makers: for each maker, the name of a person, `model:<which>` for a machine, or None if the maker is not known.
        unnamed: what is written if no person has a name. Makers that are not known are left out beside people with
            names.
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
    """Replace names by numbers for the public: `human:ann+ben` becomes `human:annotator 1+annotator 2`.

    People are numbered in the order in which they occur. The parts about machines and the number of people stay.

    Returns:
        Each provenance -> the text to publish instead.
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
    """Return a text for the public, in which the column with one person's maps is called `saliency_annotator`.

    Args:
        text: a recipe, a card or the name of a run.
        column: a column of maps. If it does not hold one person's maps, the text is returned as it is.
    """
    if not column.startswith(ONE_PERSON):
        return text
    in_names = re.sub(r"[^A-Za-z0-9._-]+", "-", column)  # how an arm `maps:COLUMN` writes it in the name of a run
    forms = "|".join(map(re.escape, sorted({column, in_names}, key=len, reverse=True)))
    return re.sub(rf"(?<![A-Za-z0-9])(?:{forms})(?![A-Za-z0-9_])", f"{ONE_PERSON}annotator", text)
