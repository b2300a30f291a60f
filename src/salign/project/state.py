"""The progress of a folder on the way from images to a report, judged by its files alone, and the next command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from salign.annotate.store_file import database_in
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.folder_layout import splits_by_role
from salign.errors import SalignError
from salign.experiment.glance import Glance, glance, studies_below
from salign.experiment.question import without_folders
from salign.experiment.study import Study
from salign.location import command_of, quote
from salign.project.names import MANIFEST, RECIPE, STUDIES, STUDY
from salign.project.plain import without_maps


class State(NamedTuple):
    """The progress of a folder."""

    lines: list[tuple[bool, str]]
    """Sentences on what is there (True) and what is missing (False)."""
    next: str
    """The command to type next."""


def state_of(folder: Path) -> State:
    """Look for manifest, maps, study, runs and report, in this order.

    Raises:
        SalignError: there is no such folder, or the study or a file of its runs in it is not valid.
    """
    if not folder.is_dir():
        raise SalignError(f"no such folder: {folder}")
    study_file, here = folder / STUDY, quote(folder)
    if not study_file.is_file() and (folder / RECIPE).is_file():
        trained = (True, f"{folder / RECIPE}: the recipe of images with several labels, which no study compares")
        return State([trained], f"salign train {quote(folder / RECIPE)}")
    if not study_file.is_file():
        studies = [f"studies below: {', '.join(map(str, below))}"] if (below := list(studies_below(folder))) else []
        lines = [(False, f"{study_file}: not there"), *((True, line) for line in studies)]
        return State(lines, f"salign runs {here}" if studies else f"salign init {here}")
    study = Study.read(study_file)
    data = study.recipe.get("data", {})
    path = Path(str(data.get("manifest", folder / MANIFEST)))
    try:
        manifest = Manifest.read(path, data.get("root"))
    except ManifestError as error:
        return State([(False, line) for line in str(error).splitlines()[:5]], f"salign data check {quote(path)}")
    train = manifest.table["split"].isin(data.get("train") or splits_by_role(manifest.splits)["train"])
    mapped = int(manifest.table["saliency"][train].notna().sum())
    lines = [
        (True, f"{path}: {len(manifest)} images of {len(manifest.classes)} classes in {', '.join(manifest.splits)}")
    ]
    page = path.with_name(f"{path.stem}-check.html")
    checked = page.is_file() and page.stat().st_mtime >= path.stat().st_mtime
    lines.append(
        (checked, "checked" if checked else f"not checked since it was written: salign data check {quote(path)}")
    )
    lines.append((mapped > 0, f"{mapped} of {int(train.sum())} training images have a map"))
    lines += _without_maps(folder, study)
    if not mapped:
        merge = database_in(folder / "annotations").is_file()
        return State(lines, f"salign annotate {here}{' --merge, when people are done' if merge else ''}")
    study_folder = folder / STUDIES / study.name
    if not (study_folder / STUDY).is_file():
        return State([*lines, (False, "nothing is trained yet")], f"salign run {here}")
    seen = glance(study_folder)
    lines.append(_runs_done(study, seen))
    lines.append((seen.page is not None, f"report: {seen.page or 'not written yet'}"))
    done = seen.done >= seen.cells and seen.page is not None
    if done:
        return State(lines, f"open {seen.page} in a browser, or: salign explain last")
    edited = study_file.stat().st_mtime > (study_folder / STUDY).stat().st_mtime
    return State(lines, f"salign run {here}" if edited else _go_on(folder, study, seen.study))


def _without_maps(folder: Path, study: Study) -> Iterator[tuple[bool, str]]:
    """Say how far `salign run --plain` came, if it was begun."""
    study = without_maps(study)
    path = folder / STUDIES / study.name
    if (path / STUDY).is_file():
        seen = glance(path)
        done, line = _runs_done(study, seen)
        then = f"report: {seen.page or 'not written yet'}" if done else _go_on(folder, study, seen.study, "--plain")
        yield done, f"{line}; {then}"


def _runs_done(study: Study, seen: Glance) -> tuple[bool, str]:
    """Return whether all runs of a study are done, and a sentence on how many are."""
    return seen.done >= seen.cells, f"study {study.name}: {seen.done} of {seen.cells} runs are done"


def _go_on(folder: Path, study: Study, begun: Study, *more: str) -> str:
    """Return the command that continues a study as it was begun, with the same `--set` and `--seeds`.

    Args:
        folder: the folder of the images.
        study: the study as its file in the folder has it.
        begun: the study as it was begun.
        more: further words of the command.
    """
    words = ["salign", "run", str(folder), *more]
    seeds = {grid.seeds for grid in begun.grids if isinstance(grid.seeds, int)}
    if [grid.model_copy(update={"seeds": min(seeds, default=1)}) for grid in study.grids] == begun.grids != study.grids:
        words += ["--seeds", str(min(seeds))]
        study = study.model_copy(update={"grids": begun.grids})
    for key, value in _changes(*(without_folders(each.model_dump(mode="json")) for each in (study, begun))):
        words += ["--set", f"{key}={_as_typed(value)}"]
    return command_of(words)


def _as_typed(value: Any) -> str:
    """Write a value in one line as `--set` reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").rstrip("\n")


def _changes(before: dict[str, Any], after: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in `after` that `before` has not, each with its key as `--set` takes it."""
    for key, value in after.items():
        old, nested = before.get(key), isinstance(value, dict)
        if nested and isinstance(old, dict) and not any("." in name for name in value):
            yield from _changes(old, value, f"{above}{key}.")
        elif key not in before or value != old:
            yield f"{above}{key}", value
