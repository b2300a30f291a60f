"""Tables with one row per fixation, as eye trackers export them; the image may have been zoomed, as in REFLACX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.formats.columns import Columns
from salign.annotations.formats.notes import Notes, Reader
from salign.annotations.rle import checked_size
from salign.errors import SalignError, one_of
from salign.maps.shapes import Fixation

Position = Literal["image", "screen", "shares", "degrees"]
Weight = Literal["duration", "count"]
Corners = tuple[float, float, float, float]
"""A rectangle as x0, y0, x1, y1."""
SHARES = (-1.0, 2.0)
"""Positions that all lie within this range are taken for shares of the screen instead of pixels. The range is wider
than 0 to 1 because some fixations may lie beside the screen."""

OURS = (
    "image", "subject", "x", "y", "duration", "start", "end", "per_degree_x", "per_degree_y",
    "image_x0", "image_y0", "image_x1", "image_y1", "screen_x0", "screen_y0", "screen_x1", "screen_y1",
)  # fmt: skip
"""The columns that a table may have: x, y and `duration` (or `start` and `end`) of a fixation; pixels of the image per
degree of visual angle; and, for zoomed images, the part of the image that was visible and where on the screen it was
shown."""

REFLACX = {
    "x": "x_position",
    "y": "y_position",
    "start": "timestamp_start_fixation",
    "end": "timestamp_end_fixation",
    "per_degree_x": "angular_resolution_x_pixels_per_degree",
    "per_degree_y": "angular_resolution_y_pixels_per_degree",
    "image_x0": "xmin_shown_from_image",
    "image_y0": "ymin_shown_from_image",
    "image_x1": "xmax_shown_from_image",
    "image_y1": "ymax_shown_from_image",
    "screen_x0": "xmin_in_screen_coordinates",
    "screen_y0": "ymin_in_screen_coordinates",
    "screen_x1": "xmax_in_screen_coordinates",
    "screen_y1": "ymax_in_screen_coordinates",
}
"""Columns of `fixations.csv` in REFLACX 1.0.0 (PhysioNet); times are in seconds, positions in pixels of the image."""


class Gaze(NamedTuple):
    """How to interpret a table of fixations, as far as its columns do not say it."""

    position: Position = "image"
    """The unit of x and y: pixels of the image, pixels of the screen, shares of the screen's width and height (0..1),
    or degrees right of and below the screen's centre. Positions in pixels of the screen that all lie within `SHARES`
    are taken as shares."""
    screen: tuple[int, int] | None = None
    """(H, W) of the screen in pixels."""
    shown: Corners | None = None
    """Where on the screen the image was shown, if it was never zoomed, in pixels of the screen. None stands for the
    whole screen."""
    per_degree: float | None = None
    """Pixels per degree of visual angle (`salign.maps.smooth.pixels_per_degree`). These are pixels of the image or of
    the screen as for x and y, and of the screen if x and y are shares or degrees."""
    sigma: float | None = None
    """Standard deviation of each fixation's Gaussian, in the same pixels as `per_degree`."""
    sigma_degrees: float | None = None
    """Standard deviation of each fixation's Gaussian in degrees of visual angle, instead of `sigma`."""
    weight: Weight = "duration"
    """Whether a fixation counts by its `duration`, or all fixations count the same (`count`)."""
    seconds: bool = False
    """Whether times are in seconds instead of milliseconds."""
    pooled: bool = True
    """Whether the fixations of all subjects of an image are put together; otherwise each subject has marks of their
    own."""


@Reader
def read_fixations(
    path: Path,
    notes: Notes,
    *,
    columns: Mapping[str, str] | None = None,
    gaze: Gaze | None = None,
    image: str | None = None,
    subject: str | None = None,
) -> list[Annotated]:
    """Read a CSV of fixations.

    Args:
        path: the table, of at most `columns.MAX_BYTES` bytes.
        notes: collects a fault for every cell that is empty, not a number or out of range, with its row.
        columns: the table's names of columns by those of `OURS`, where they differ, e.g. `{"x": "FPOGX"}`.
        gaze: how to interpret the table.
        image: the name of the image, if the table is of one image alone and has no column for it.
        subject: the name of the subject, if the table has no column for it.

    Returns:
        One `Annotated` per image, or per image and subject, whose shapes are `Fixation` in the order of the rows. If
        `gaze` gives no sigma, the fixations have no spread, and drawing them as maps needs a sigma. Positions that are
        not in pixels of the image are converted to pixels of the image if columns say how it was shown on the screen,
        and to shares of its width and height (`relative`) otherwise.

    Raises:
        SalignError: there is no such table, it is too large, a column is missing or not known, `image` or `subject` is
            given and is a column as well, or something in `gaze` is missing or has no valid value.
    """
    gaze = gaze or Gaze()
    one_of(gaze.position, get_args(Position), "position")
    one_of(gaze.weight, get_args(Weight), "weight")
    sheet = Columns.read(path, ("x", "y"), OURS, columns or {})
    if image is None and not sheet.has("image"):
        raise SalignError(f"{path}: no column says which image; map one (image=THEIRS) or name the image")
    for column, name in (("image", image), ("subject", subject)):
        if name is not None and sheet.has(column):
            raise SalignError(f"{path}: the column {sheet.theirs[column]!r} names each {column}; do not give {name!r}")
    view = _view(sheet, gaze, notes)
    weights = np.ones(len(sheet.rows)) if gaze.weight == "count" else _durations(sheet, gaze)
    starts = sheet.numbers("start") * (1000 if gaze.seconds else 1) if sheet.has("start") else None
    images, subjects = sheet.names("image", image), sheet.names("subject", subject)
    groups: dict[tuple[str, str | None], list[Fixation]] = {}
    spread, shown_part = None, None
    for i in sheet.sound(notes).tolist():
        name, who = images[i], subjects[i]
        times = None if starts is None else (float(starts[i]),)
        spread, shown_part = _again(view.spreads, i, spread), _again(view.shown, i, shown_part)
        x, y = view.points[i].tolist()
        fixation = Fixation(x, y, float(weights[i]), False, times, spread, shown_part)  # type: ignore[arg-type]
        groups.setdefault((name or "", None if gaze.pooled else who), []).append(fixation)
    return [
        Annotated(name, shapes=tuple(fixations), annotator=who, relative=view.relative)
        for (name, who), fixations in groups.items()
    ]


def _again(rows: np.ndarray | None, i: int, last: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Return row `i` as a tuple; if it equals `last`, return `last` itself, so that equal rows share their memory."""
    if rows is None:
        return None
    own = tuple(rows[i].tolist())
    return last if own == last else own


@Reader
def read_reflacx(
    metadata: Path, notes: Notes, folder: Path | str | None = None, *, sigma_degrees: float = 1.0
) -> list[Annotated]:
    """Read the fixations of all readings that a metadata table of REFLACX lists.

    Each fixation has a Gaussian of `sigma_degrees`, whose size on the image follows the zoom at that moment, and which
    is cut to the visible part of the image. Readings whose gaze data the authors of REFLACX discarded are left out.

    Args:
        metadata: `metadata_phase_1.csv`, or the table of another phase.
        notes: collects the faults of single readings and fixations.
        folder: the folder that holds `READING/fixations.csv` for each reading; None takes the folder of the metadata.
        sigma_degrees: standard deviation in degrees of visual angle; the authors of REFLACX use 1.

    Returns:
        One annotation per reading; its annotator is the name of the reading.

    Raises:
        SalignError: as for `read_fixations`, or a column of the metadata is missing.
    """
    sheet = Columns.read(metadata, ("id", "image", "image_size_x", "image_size_y", "eye_tracking_data_discarded"))
    names, images, discarded = (sheet.names(key, None) for key in ("id", "image", "eye_tracking_data_discarded"))
    widths, heights = sheet.numbers("image_size_x", 1), sheet.numbers("image_size_y", 1)
    sheet.refuse(np.array([not _plain(name) for name in names], dtype=bool), "id", "expected letters and digits")
    gaze = Gaze(sigma_degrees=sigma_degrees, seconds=True)
    root, readings = metadata.parent if folder is None else Path(folder), list[Annotated]()
    for i in sheet.sound(notes).tolist():
        if str(discarded[i]).lower() == "true":
            continue
        name, image = str(names[i]), str(images[i])
        with notes.noting(f"{name}/fixations.csv"):
            size = checked_size(int(heights[i]), int(widths[i]))
            table = root / name / "fixations.csv"
            if not table.resolve().is_relative_to(root.resolve()):
                raise SalignError(f"{table} is a link that leaves {root}")
            for reading in read_fixations.noting(table, notes, columns=REFLACX, gaze=gaze, image=image):
                readings.append(replace(reading, size=size, annotator=name))
    return readings


def _plain(name: str | None) -> bool:
    return name is not None and name.replace("_", "").isalnum()


def _durations(sheet: Columns, gaze: Gaze) -> np.ndarray:
    """Return the durations of the fixations as `(rows,)`, in milliseconds."""
    if sheet.has("duration"):
        durations = sheet.numbers("duration", 0)
    elif sheet.has("start", "end"):
        durations = sheet.numbers("end") - sheet.numbers("start")
        sheet.refuse(durations < 0, "end", "expected an end after the start")
    else:
        raise SalignError(
            f"{sheet.path}: expected a column duration, or start and end; or let each fixation count the same"
        )
    return durations.clip(min=0) * (1000 if gaze.seconds else 1)


class _View(NamedTuple):
    """Positions, spreads and visible parts, in pixels of the image or as shares of its width and height."""

    points: np.ndarray
    """`(rows, 2)` positions x, y."""
    spreads: np.ndarray | None
    """`(rows, 2)` standard deviations in x and y; None if the fixations have no spread."""
    shown: np.ndarray | None
    """`(rows, 4)` visible parts x0, y0, x1, y1; None if they are not known."""
    relative: bool
    """Whether all values are shares of the image's width and height."""


def _view(sheet: Columns, gaze: Gaze, notes: Notes) -> _View:
    x, y = sheet.numbers("x"), sheet.numbers("y")
    if gaze.position != "degrees" and _are_shares(sheet, x, y, gaze, notes):
        gaze = gaze._replace(position="screen")
        if gaze.screen is None:
            raise SalignError(f"{sheet.path}: positions in shares of the screen need its size, screen=WIDTHxHEIGHT")
        x, y = x * gaze.screen[1], y * gaze.screen[0]
    visible, stood = sheet.corners("image", 1e-3), sheet.corners("screen", 1)
    shown_part = visible
    across = down = np.ones(len(x))
    relative = False
    if gaze.position == "degrees":
        if gaze.screen is None or gaze.per_degree is None:
            raise SalignError(
                f"{sheet.path}: positions in degrees need the size of the screen and its pixels per degree"
            )
        x, y = gaze.screen[1] / 2 + x * gaze.per_degree, gaze.screen[0] / 2 + y * gaze.per_degree
    if gaze.position != "image":
        relative = visible is None or stood is None
        if visible is None or stood is None:
            visible, stood = np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([_place(gaze, sheet.path)], dtype=float)
        across, down = ((visible[:, k + 2] - visible[:, k]) / (stood[:, k + 2] - stood[:, k]) for k in (0, 1))
        x, y = visible[:, 0] + (x - stood[:, 0]) * across, visible[:, 1] + (y - stood[:, 1]) * down
    spreads = _spreads(sheet, gaze, np.broadcast_to(across, len(x)), np.broadcast_to(down, len(x)), relative)
    return _View(np.column_stack([x, y]), spreads, None if relative else shown_part, relative)


def _are_shares(sheet: Columns, x: np.ndarray, y: np.ndarray, gaze: Gaze, notes: Notes) -> bool:
    """Return whether positions are shares of the screen: `gaze` says so, or they can be nothing else.

    Raises:
        SalignError: `gaze` says shares and the positions lie outside `SHARES`, or `gaze` says pixels of the image and
            all positions lie within `SHARES`.
    """
    sound = np.concatenate([x, y])[np.tile(~sheet.wrong, 2)]
    within = bool(len(sound) and sound.min() >= SHARES[0] and sound.max() <= SHARES[1])
    where = f"positions lie within {SHARES[0]:g} and {SHARES[1]:g}"
    if gaze.position == "shares":
        if not within:
            raise SalignError(f"{sheet.path}: expected shares of the screen, 0 to 1; not all {where}")
        return True
    if within and gaze.position == "image":
        raise SalignError(
            f"{sheet.path}: all {where}: shares, not pixels of an image; say so (position=shares, screen=WIDTHxHEIGHT)"
        )
    if within:
        notes.remarks.append(
            f"{sheet.path.name}: all {where}, and are taken as shares of the screen's width and height"
        )
    return within


def _place(gaze: Gaze, path: Path) -> Corners:
    """Return where on the screen the image was shown, in pixels of the screen."""
    if gaze.screen is None and gaze.shown is None:
        raise SalignError(f"{path}: positions on the screen need its size, or where on it the image stood")
    x0, y0, x1, y1 = gaze.shown or (0, 0, *(gaze.screen or (0, 0))[::-1])
    if not (x0 + 1 <= x1 and y0 + 1 <= y1):
        raise SalignError(f"{path}: expected the image to stand on at least 1 x 1 pixels, got {x0}, {y0} to {x1}, {y1}")
    return x0, y0, x1, y1


def _spreads(sheet: Columns, gaze: Gaze, across: np.ndarray, down: np.ndarray, relative: bool) -> np.ndarray | None:
    """Return the standard deviations of the fixations' Gaussians.

    Args:
        sheet: the table.
        gaze: how to interpret it.
        across: `(rows,)` what one unit of x becomes: pixels of the image, or its share of the image's width.
        down: the same for y.
        relative: whether positions become shares of the image.

    Returns:
        `(rows, 2)`, or None if `gaze` gives no sigma.
    """
    if gaze.sigma is not None and gaze.sigma_degrees is not None:
        raise SalignError(f"{sheet.path}: expected sigma in pixels or in degrees, got both")
    if gaze.sigma is not None:
        wide, high = gaze.sigma * across, gaze.sigma * down
    elif gaze.sigma_degrees is None:
        return None
    elif sheet.has("per_degree_x", "per_degree_y") and not relative:
        wide, high = (gaze.sigma_degrees * sheet.numbers(f"per_degree_{axis}", 1e-3) for axis in "xy")
    elif gaze.per_degree is not None:
        wide, high = gaze.sigma_degrees * gaze.per_degree * across, gaze.sigma_degrees * gaze.per_degree * down
    else:
        raise SalignError(
            f"{sheet.path}: sigma in degrees needs pixels per degree, as a number or as columns per_degree_x, _y"
        )
    return np.column_stack([wide, high])
