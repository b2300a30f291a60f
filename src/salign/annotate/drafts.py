"""Maps and answers that are shown with an image: drafts to be judged, or those of a model, as help."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from salign.annotate.catalog import Catalog, Picture
from salign.annotate.study import Study
from salign.annotations.match import Images
from salign.annotations.shape_files import read_shapes
from salign.data.manifest import ONE_PERSON
from salign.data.manifest.provenance import provenance_column
from salign.errors import SalignError
from salign.maps.shapes import Fixation, Shape

log = logging.getLogger("salign.annotate")


@dataclass(frozen=True)
class Draft:
    """A map, an answer or both that are shown with an image, to be judged or as help."""

    source: str
    """Who made the draft."""
    answer: str | None = None
    shapes: tuple[Shape, ...] = ()
    blank: bool = False
    """Whether the draft says that there is nothing to mark."""
    size: tuple[int, int] | None = None
    """(H, W) of the image in whose pixels the shapes are; None means the image's own size."""
    column: str | None = None
    """Column of the manifest with the map, if the map is a picture; None if the draft has shapes or no map."""


def find_drafts(study: Study, catalog: Catalog) -> dict[str, list[Draft]]:
    """Return the drafts that are shown with each image, by its id; none unless the mode is `assisted` or `review`.

    Raises:
        SalignError: the manifest lacks the help that is to be shown, or the drafts cannot be read or are gaze.
    """
    if study.mode == "assisted":
        _check_help(study, catalog)
        return {
            picture.id: [Draft("model", picture.cells.get(study.assisted.decision), column=study.assisted.map)]
            if study.assisted.map in picture.cells
            else [Draft("model", picture.cells.get(study.assisted.decision))]
            for picture in catalog.pictures.values()
        }
    if study.mode != "review":
        return {}
    if study.drafts is not None:
        return _drafts_of_file(Path(study.drafts), catalog)
    return {picture.id: _drafts_of_columns(picture, catalog.maps) for picture in catalog.pictures.values()}


def _drafts_of_columns(picture: Picture, maps: Mapping[str, str]) -> list[Draft]:
    """Return a draft for each map of one person, or else one for the image's map `saliency`, if it has one.

    The source of a draft is the map's provenance; if the manifest has none, it is the column's name without
    `saliency_`.
    """
    there = [name for name in maps if name in picture.cells]
    people = [name for name in there if name.startswith(ONE_PERSON)] or [name for name in there if name == "saliency"]
    whose = {name: picture.cells.get(provenance_column(name), name.removeprefix(ONE_PERSON)) for name in people}
    return [Draft(whose[name], picture.label, column=name) for name in people]


def _drafts_of_file(path: Path, catalog: Catalog) -> dict[str, list[Draft]]:
    """Return the drafts in a `shapes.json`, by image id.

    Entries are matched by the id of their image, or else by its path, in the same way as `salign maps import` does it.
    A warning tells how many match no image.
    """
    ids = {picture.path: name for name, picture in catalog.pictures.items()}
    images = Images(ids)
    drafts: dict[str, list[Draft]] = {}
    strange: list[str] = []
    for entry in read_shapes(path):
        name = entry.image
        if name not in catalog.pictures:
            try:
                name = ids[images.find(entry.marks.image)]
            except SalignError:
                strange.append(entry.marks.image)
                continue
        if any(isinstance(shape, Fixation) for shape in entry.marks.shapes):
            raise SalignError(f"{path}: the marks on {entry.image!r} are gaze; drafts are areas that can be judged")
        marks, blank = entry.marks, entry.locates and not entry.marks.shapes
        draft = Draft(marks.annotator or "unknown", entry.answer, marks.shapes, blank, marks.size)
        drafts.setdefault(name, []).append(draft)
    if strange:
        log.warning("%s: %d drafts are of no image of this study, first %r", path, len(strange), strange[0])
    return drafts


def _check_help(study: Study, catalog: Catalog) -> None:
    arms = set(study.assisted.arms)
    needed = [study.assisted.decision] if arms & {"decision", "both"} else []
    needed += [study.assisted.map] if arms & {"map", "both"} else []
    for column in needed:
        lacking = [picture.id for picture in catalog.pictures.values() if column not in picture.cells]
        if lacking:
            raise SalignError(
                f"{catalog.source}: assisted mode needs a value in column {column!r} of every image; {len(lacking)} "
                f"have none, first {lacking[0]!r}"
            )
    if study.assisted.map in needed:
        for picture in catalog.pictures.values():
            if not catalog.file(picture.cells[study.assisted.map]).is_file():
                raise SalignError(f"{catalog.source}: no such map: {picture.cells[study.assisted.map]}")
