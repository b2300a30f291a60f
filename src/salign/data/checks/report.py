"""A `Report` in words, and as a page of pictures by which people judge their data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from salign.data.checks.check import Report
from salign.data.checks.duplicates import NearPair
from salign.data.checks.map_similarity import ALIKE
from salign.data.reading.image import read_image, read_saliency
from salign.maps.render import overlay, thumbnail, to_picture
from salign.pages.sheet import SIDE, Section, Table, Tile, Tiles, write_sheet

SHOWN = 24
"""Number of tiles per section, and of faults that are printed; further ones are only counted."""
SAMPLES = 4
"""Number of images shown per class."""


def write_report_html(report: Report, path: Path | str) -> Path:
    """Write the page: faults first, then samples of every class with their maps laid over them."""
    sections = [
        *_fault_section(report),
        *_pair_section(
            report, "split", "The same picture in two splits", "A score on the second split is then too good."
        ),
        *_pair_section(
            report,
            "label",
            "The same picture with two labels",
            "Equal pictures: one label is wrong. Alike only: see whether they differ in what matters.",
        ),
        *_map_sections(report),
        Section("Images and maps", [Table("", pd.DataFrame(coverage(report)))]),
        Section("Maps per class", [Table(_MAPS_TEXT, pd.DataFrame(_map_rows(report)))]),
        *_sample_sections(report),
    ]
    lines = "\n".join(f"{'✗' if bad else '✓'} {line}" for bad, line in findings(report))
    return write_sheet(path, f"Data check: {report.manifest.source}", sections, intro=lines)


_MAPS_TEXT = (
    "marked: median share of the image at or above half of its map's highest value, of maps that have a shape.\n"
    "Below, each image stands beside itself with the map laid over: blue is low, yellow high, the line is at half."
)


def findings(report: Report) -> list[tuple[bool, str]]:
    """Return what a person should know about a data set, as pairs: whether it is bad, and a line that says it."""
    leaks, conflicts = report.differing("split"), report.differing("label")
    broken = len({fault.row for fault in report.faults})
    questions = report.sound_rows.questions()
    fine = "no row is broken" if questions or report.drawn_from is not None else "all rows can be used"
    lines = [
        *_sample_line(report),
        (broken > 0, f"{_count(broken, 'row')} that cannot be used" if broken else fine),
        *((True, question) for question in questions),
        *((True, line) for line in [*report.lacking, *report.small]),
        _pairs_line(leaks, "in two splits"),
        _pairs_line(conflicts, "with two labels"),
    ]
    within = sum(len(group) - 1 for group in report.same) + len(report.near)
    lines.append((False, f"{_count(within, 'pair')} of equal or near-equal pictures in all"))
    plain = sum(picture.print is not None and picture.print.codes is None for picture in report.examined)
    if plain:
        lines.append((False, f"{_count(plain, 'picture')} too plain to be compared with others (only pixel for pixel)"))
    machine = report.manifest.machine_made
    if machine.any():
        people, machines, unknown = report.manifest.makers
        measured = sorted(set(report.manifest.table["split"][machine]) - {"train"})
        where = f"; outside of train in {', '.join(measured)}: measure against people alone" if measured else ""
        unknown_note = f", {unknown} of unknown origin" if unknown else ""
        lines.append(
            (bool(measured), f"{_count(people, 'map')} of people and {machines} of machines{unknown_note}{where}")
        )
    unread = report.maps("unread")
    blank, constant = report.maps("blank"), report.maps("constant")
    if len(unread) < len(report.examined) - len(report.maps("none")):
        lines.append((False, f"{_count(len(blank), 'blank map')} (looked, marked nothing)"))
        if constant:
            lines.append((True, f"{_count(len(constant), 'map')} of one value everywhere: no shape to learn from"))
    if not np.isnan(report.shuffled):
        alike = report.shuffled >= ALIKE
        advice = ": shuffled maps are hardly a control here, take blobs or inverted (data.maps)" if alike else ""
        lines.append((alike, f"maps of two images correlate {report.shuffled:.2f} on average{advice}"))
    return lines


def _sample_line(report: Report) -> list[tuple[bool, str]]:
    """Return a line about the rows that were not examined, if only a sample was."""
    if report.drawn_from is None:
        return []
    examined, rows = len(report.manifest), len(report.drawn_from)
    return [
        (True, f"{examined:,} of {_count(rows, 'row')} were drawn, and their images and maps read: a damaged file or a "
         "picture in two splits among the others stays unseen. Of all rows the cells and paths were checked")
    ]  # fmt: skip


def _pairs_line(pairs: Sequence[NearPair], what: str) -> tuple[bool, str]:
    equal = sum(pair.similarity == 1 for pair in pairs)
    if not pairs:
        return False, f"no picture {what}"
    return True, f"{_count(len(pairs), 'pair')} of pictures {what}: {equal} equal, {len(pairs) - equal} nearly equal"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def coverage(report: Report) -> list[dict[str, Any]]:
    """Return the rows of a table: how many images of each split and label there are, and how many have a map."""
    rows: list[dict[str, Any]] = [
        {"split": split, "label": label, "images": images, "with map": mapped, "share": f"{share:.0%}"}
        for split, label, images, mapped, share in report.sound_rows.coverage().itertuples(index=False)
    ]
    machine = report.sound_rows.machine_made
    if machine.any():
        by_machines = report.sound_rows.table[machine].groupby(["split", "label"]).size().to_dict()
        rows = [{**row, "by machines": by_machines.get((row["split"], row["label"]), 0)} for row in rows]
    return rows


def _map_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "label": label,
            "images": images,
            "with map": mapped,
            "blank": blank,
            "constant": constant,
            "marked": "" if np.isnan(marked) else f"{marked:.1%}",
        }
        for label, images, mapped, blank, constant, marked in report.map_table().itertuples(index=False)
    ]


def _fault_section(report: Report) -> list[Section]:
    if not report.faults:
        return []
    rows = [{"row": fault.row or "", "column": fault.column, "fault": fault.message} for fault in report.faults[:500]]
    text = (
        f"{_count(len(report.faults), 'fault')}; the first {len(rows)} are listed."
        if len(rows) < len(report.faults)
        else ""
    )
    return [Section("Rows that cannot be used", [Table(text, pd.DataFrame(rows))], flagged=True)]


def _pair_section(report: Report, column: str, title: str, consequence: str) -> list[Section]:
    pairs = report.differing(column)
    if not pairs:
        return []
    tiles = [
        Tile(
            f"{_where(report, pair.first)} ↔ {_where(report, pair.second)}",
            [(side, _image(report, k)) for side, k in (("first", pair.first), ("second", pair.second))],
            f"{_name(report, pair.first)} ↔ {_name(report, pair.second)}, "
            + ("pixel for pixel" if pair.similarity == 1 else f"correlation {pair.similarity:.3f}"),
            flagged=pair.similarity == 1,
        )
        for pair in pairs[:SHOWN]
    ]
    text = f"{_count(len(pairs), 'pair')}{_first(tiles, pairs)}. {consequence}"
    return [Section(title, [Tiles(text, tiles)], flagged=True)]


def _map_sections(report: Report) -> list[Section]:
    sections = []
    for state, title, text in (
        ("constant", "Maps of one value everywhere", "They have no shape: a loss learns nothing from them."),
        ("blank", "Blank maps", 'All zeros say "looked, marked nothing". If nobody looked, empty the cell instead.'),
    ):
        positions = report.maps(state)  # type: ignore[arg-type]
        if positions:
            readable = [position for position in positions if not report.examined[position].faults]
            tiles = [_tile(report, position) for position in _spread(readable, SHOWN if state == "constant" else 6)]
            text = f"{_count(len(positions), 'map')}{_first(tiles, positions)}. {text}"
            sections.append(Section(title, [Tiles(text, tiles)], flagged=state == "constant"))
    return sections


def _sample_sections(report: Report) -> list[Section]:
    labels = np.array(report.manifest.table["label"].tolist(), dtype=object)
    sections = []
    for label in report.manifest.classes:
        readable = [int(p) for p in np.flatnonzero(labels == label) if not report.examined[p].faults]
        shaped = [p for p in readable if report.examined[p].saliency in ("shaped", "unread")]
        positions = _spread(shaped, SAMPLES) or _spread(readable, SAMPLES)
        text = "" if shaped else "No map with a shape in this class."
        sections.append(Section(f"Class {label}", [Tiles(text, [_tile(report, position) for position in positions])]))
    return sections


def _spread(positions: Sequence[int], count: int) -> list[int]:
    """Return up to `count` of the positions, evenly spaced from the first to the last."""
    if len(positions) <= count:
        return list(positions)
    return [positions[round(step)] for step in np.linspace(0, len(positions) - 1, count)]


def _first(tiles: Iterable[Tile], of: Sequence[object]) -> str:
    number = len(list(tiles))
    return f", {number} shown" if number < len(of) else ""


def _tile(report: Report, position: int) -> Tile:
    """Make a tile of the image and, beside it, the image with the map laid over it."""
    image, path = _tensor(report, position), report.manifest.saliency_path(position)
    pictures = [("image", thumbnail(to_picture(image), SIDE))]
    if path is not None:
        pictures.append(("map", thumbnail(overlay(image, read_saliency(path)), SIDE)))
    picture = report.examined[position]
    note = {"none": "no map", "blank": "blank map", "constant": "constant map", "unread": "map"}
    quiet = note.get(picture.saliency, f"{picture.marked:.1%} marked")
    whose = ", by a machine" if report.manifest.machine_made[position] else ""
    return Tile(_where(report, position), pictures, f"{_name(report, position)}, {quiet}{whose}")


def _image(report: Report, position: int) -> Image.Image:
    return thumbnail(to_picture(_tensor(report, position)), SIDE)


def _tensor(report: Report, position: int) -> torch.Tensor:
    return read_image(report.manifest.image_path(position), where=report.manifest.where(position))


def _where(report: Report, position: int) -> str:
    table = report.manifest.table
    return f"{table['split'].iat[position]} · {table['label'].iat[position]} · row {table['row'].iat[position]}"


def _name(report: Report, position: int) -> str:
    return Path(str(report.manifest.table["path"].iat[position])).name
