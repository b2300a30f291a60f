"""Maps and answers that are shown with an image: other people's, to be judged, or a model's, as help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salign.annotate.catalog import Catalog, Picture
from salign.annotate.study import Study
from salign.data.manifest import PROVENANCE
from salign.errors import SalignError
from salign.readers import read_json


@dataclass(frozen=True)
class Draft:
    """A map that is shown with an image, to be judged or as help."""

    source: str
    answer: str | None = None
    shapes: tuple[dict[str, Any], ...] = ()
    column: str | None = None
    """Manifest column of the map, where it is a picture."""


def find_drafts(study: Study, catalog: Catalog) -> dict[str, list[Draft]]:
    """What is shown with each image, by its id.

    Raises:
        SalignError: help is to be shown that the manifest does not have, or the drafts cannot be read.
    """
    if study.mode == "assisted":
        _check_help(study, catalog)
        return {
            picture.id: [Draft("model", picture.cells.get(study.assisted.decision), (), study.assisted.map)]
            if study.assisted.map in picture.cells
            else [Draft("model", picture.cells.get(study.assisted.decision))]
            for picture in catalog.pictures.values()
        }
    if study.mode != "review":
        return {}
    if study.drafts is not None:
        return _drafts_of_export(Path(study.drafts), catalog)
    return {picture.id: _drafts_of_columns(picture) for picture in catalog.pictures.values()}


def _drafts_of_columns(picture: Picture) -> list[Draft]:
    columns = [name for name in picture.cells if name == "saliency" or name.startswith("saliency_")]
    people = [name for name in columns if name != "saliency"] or columns
    made = picture.cells.get(PROVENANCE, "saliency")
    return [
        Draft(made if name == "saliency" else name.removeprefix("saliency_"), picture.label, (), name)
        for name in people
    ]


def _drafts_of_export(path: Path, catalog: Catalog) -> dict[str, list[Draft]]:
    try:
        entries = read_json(path)["annotations"]
        found: dict[str, list[Draft]] = {}
        for entry in entries:
            if entry["image"] in catalog.pictures and entry["skipped"] is None:
                shapes = tuple(entry["shapes"])
                found.setdefault(entry["image"], []).append(Draft(entry["annotator"], entry["answer"], shapes))
    except (KeyError, TypeError) as error:
        raise SalignError(f"{path}: expected a shapes.json as exported by `salign annotate`; {error!r}") from error
    return found


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
