"""A manifest with other maps: those of several people as one, or all of them at another grain."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from salign.annotations.formats.columns import Columns
from salign.annotations.formats.mask_folder import read_masks
from salign.annotations.formats.stored import Names
from salign.annotations.match import Images
from salign.checks import number
from salign.data.manifest import MACHINE, ONE_PERSON, PROVENANCE, UNKNOWN, Fault, Manifest, ManifestError, map_columns
from salign.data.manifest.derive import move_root, with_new_maps
from salign.data.manifest.file_names import parts_of_people, slugs
from salign.data.manifest.provenance import provenance_of
from salign.data.manifest.text_table import from_spreadsheet
from salign.data.reading.image import read_saliency
from salign.errors import SalignError, nearest, one_of
from salign.files import common_folder, relative_path
from salign.maps import AGGREGATES, GRAINS
from salign.maps.smooth import smooth

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Person:
    """What the maps of one person say, over all images."""

    column: str
    maps: int = 0
    agreements: list[float] = field(default_factory=list)
    """With the mean of the others (soft Dice), for each image that others marked too."""
    sensitivities: list[float] = field(default_factory=list)
    """By STAPLE, for each image where somebody marked something."""
    specificities: list[float] = field(default_factory=list)
    weight: float | None = None

    @property
    def name(self) -> str:
        """As the column has it."""
        return self.column.removeprefix(ONE_PERSON)

    @property
    def agreement(self) -> float:
        """Mean over the images; NaN where there is none."""
        return mean_of(self.agreements)


def people_of(manifest: Manifest, columns: Sequence[str] | None = None) -> list[Person]:
    """The people whose maps a manifest has: the columns given, or all that are called `saliency_<who>`.

    Raises:
        SalignError: there is no such column.
    """
    there = [name for name in map_columns(manifest.table) if name.startswith(ONE_PERSON)]
    if columns is None and not there:
        raise SalignError(
            f"{manifest.source}: no column {ONE_PERSON}<who> with the maps of one person; name the columns, or the "
            "folder where each person has a folder of maps"
        )
    known = {str(name) for name in manifest.table.columns}
    for name in columns or ():
        if name not in known:
            raise SalignError(f"{manifest.source}: no column {name!r}{nearest(name, known)}")
    return [Person(name) for name in dict.fromkeys(columns or there)]


def with_folder(manifest: Manifest, folder: Path, pattern: str = "{annotator}/{image}") -> Manifest:
    """Add a column `saliency_<who>` for each person whose maps are in a folder.

    Args:
        manifest: its images are matched by name.
        folder: folder with the pictures.
        pattern: what their paths say, see `salign.annotations.formats.stored.Names`.

    Raises:
        ManifestError: maps that cannot be read or belong to no image, and people with two maps of one image.
    """
    names, read = Names(pattern), read_masks(folder, pattern=pattern)
    files = Images.below(folder).paths
    root = common_folder(manifest.root, folder.resolve())
    images = Images(manifest.table["path"])
    parts = parts_of_people((annotation.annotator for annotation in read), manifest.table)
    cells: dict[str, dict[str, str]] = {}
    faults: list[Fault] = []
    for file, annotation in zip(files, read, strict=True):
        try:
            path = images.find(annotation.image)
        except SalignError as error:
            faults.append(Fault(None, file, str(error)))
            continue
        column = cells.setdefault(f"{ONE_PERSON}{parts[annotation.annotator]}", {})
        if path in column:
            faults.append(Fault(None, file, f"a second map of {path} by the same person ({names.pattern})"))
        column[path] = relative_path(folder.resolve() / file, root)
    if faults:
        raise ManifestError.of(faults, str(folder))
    table = move_root(manifest, root)
    own = {name: manifest.table["path"].map(column).fillna("") for name, column in sorted(cells.items())}
    return Manifest.of(table.assign(**own), root, manifest.source, multi_label=manifest.multi_label)


def aggregate_maps(
    manifest: Manifest,
    target: Path,
    method: str,
    people: Sequence[Person],
    *,
    weights: Mapping[str, float] | None = None,
    sigma: float = 0,
    overwrite: bool = False,
) -> Manifest:
    """Write one map per image out of those of several people, and a manifest whose `saliency` they are.

    An image of which nobody has a map has none. A map that a machine had a part in is a machine's; else one that comes
    from a map of unknown origin is of unknown origin. For `weighted` without weights, a person's weight is the mean of
    `leave_one_out` over the images. What is found out about the people is noted in `people`.

    Args:
        manifest: with a column of maps per person.
        target: the new manifest; maps go into the folder beside it that has its name.
        method: one of `AGGREGATES`.
        people: as `people_of` gives them.
        weights: by column, for `weighted`.
        sigma: standard deviation of a Gaussian by which the result is smoothed, in pixels of the maps; 0 = none.
        overwrite: replace what was written before.

    Raises:
        ManifestError: maps that cannot be read, or of two sizes for one image, with their rows.
        SalignError: no such method, or something is in the way.
    """
    one_of(method, AGGREGATES, "way to aggregate")
    number("sigma", sigma, "[0, inf)")
    sources = [manifest.with_maps(person.column) for person in people]

    def maps_of(i: int) -> tuple[list[int], Tensor] | None:
        present = [k for k, source in enumerate(sources) if source.saliency_path(i) is not None]
        return (present, _stack([sources[k] for k in present], i)) if present else None

    if weights is not None and (without := [person.name for person in people if person.column not in weights]):
        raise SalignError(f"expected a weight for everybody; there is none for {', '.join(without)}")
    if method == "weighted":
        if weights is None:
            for i in range(len(manifest)):
                if (several := maps_of(i)) is not None:
                    _note_agreement([people[k] for k in several[0]], several[1])
        for person in people:
            own = 0.0 if not person.agreements else max(0.0, person.agreement)
            person.weight = own if weights is None else weights[person.column]

    from salign.maps.aggregate import aggregate, staple, weighted  # torch, after everything was looked at

    def change(i: int) -> Tensor | None:
        if (several := maps_of(i)) is None:
            return None
        present, maps = [people[k] for k in several[0]], several[1]
        for person in present:
            person.maps += 1
        if method == "weighted":
            if weights is not None:
                _note_agreement(present, maps)
            return smooth(weighted(maps, [person.weight or 0.0 for person in present]), sigma)
        _note_agreement(present, maps)
        if method == "staple":
            estimate = staple(maps)
            for person, sensitivity, specificity in zip(
                present, estimate.sensitivity.tolist(), estimate.specificity.tolist(), strict=True
            ):
                person.sensitivities.append(sensitivity)
                person.specificities.append(specificity)
            return smooth(estimate.probability, sigma)
        return smooth(aggregate(maps, method), sigma)

    def whose(i: int) -> str:
        sources_of_image = [
            (person.name, str(source.table[PROVENANCE].iat[i]))
            for person, source in zip(people, sources, strict=True)
            if source.saliency_path(i) is not None
        ]
        if not sources_of_image:
            return ""
        whole = provenance_of(own if own.startswith(MACHINE) else name for name, own in sources_of_image)
        of_nobody = any(own == UNKNOWN for _, own in sources_of_image)
        return UNKNOWN if of_nobody and not whole.startswith(MACHINE) else whole

    return with_new_maps(manifest, target, change, whose, overwrite=overwrite)


def coarsen_maps(
    manifest: Manifest, target: Path, grain: str, *, together: bool = False, overwrite: bool = False
) -> Manifest:
    """Write every map at another grain (`salign.maps.granularity`), and a manifest whose `saliency` they are.

    Raises:
        ManifestError: maps that cannot be read, with their rows.
        SalignError: no such grain, or something is in the way.
    """
    one_of(grain, GRAINS, "grain")
    from salign.maps.granularity import coarsen

    def change(i: int) -> Tensor | None:
        if manifest.saliency_path(i) is None:
            return None
        return coarsen(_stack([manifest], i)[0], grain, together=together)

    return with_new_maps(manifest, target, change, overwrite=overwrite)


def weights_by_answers(answers: Path, people: Sequence[Person], classes: int) -> dict[str, float]:
    """Weights by column, out of a table with the columns `annotator` and `right` (true, false or empty: not known).

    `annotations.csv` of an export of `salign annotate` is such a table; `right` is known for its gold images. A name
    belongs to the column that an export makes for it. To any other column belongs the only name that is spelt like it
    but for signs that are no letter of ASCII, digit, `_` or `-`.

    Raises:
        SalignError: a column is missing, or a person has no row.
        ManifestError: cells that say something else.
    """
    sheet = Columns.read(answers, ("annotator", "right"))
    names = sheet.names("annotator", None)
    cells = sheet.table[sheet.theirs["right"]].fillna("").str.strip().str.lower()
    sheet.refuse(~cells.isin(["true", "false", ""]).to_numpy(dtype=bool), "right", "expected true, false or nothing")
    sheet.check()
    from salign.maps.aggregate import accuracy_weights

    spelt = [from_spreadsheet(str(name)) for name in names]
    column_of = _columns_of(dict.fromkeys(spelt), people)
    columns = [person.column for person in people]
    if missing := [column for column in columns if column not in column_of.values()]:
        raise SalignError(f"{answers}: no answers of the person behind the column {missing[0]!r}")
    right, answered = dict.fromkeys(columns, 0), dict.fromkeys(columns, 0)
    for name, cell in zip(spelt, cells, strict=True):
        if (column := column_of.get(name)) is not None:
            right[column] += cell == "true"
            answered[column] += cell != ""
    return dict(
        zip(columns, accuracy_weights(list(right.values()), list(answered.values()), classes).tolist(), strict=True)
    )


def mean_of(values: Iterable[float]) -> float:
    """Mean of those that are not NaN; NaN where there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _columns_of(names: Iterable[str], people: Sequence[Person]) -> dict[str, str]:
    """The column of each name that has one."""
    columns, column_of, rest = {person.name: person.column for person in people}, {}, []
    for name in names:
        plain = slugs([name])[0]
        parts = [plain, *slugs([name], {plain.lower()})]  # as it is, and where somebody else is called so but for case
        if own := [columns[part] for part in parts if part in columns]:
            column_of[name] = own[0]
        else:
            rest.append(name)
    known = set(column_of.values())
    for part, column in columns.items():
        alike = [name for name in rest if _plain(name) == _plain(part)]
        if column not in known and len(alike) == 1:
            column_of[alike[0]] = column
    return column_of


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")


def _note_agreement(people: Sequence[Person], maps: Tensor) -> None:
    from salign.maps.aggregate import leave_one_out

    if len(people) > 1:
        for person, value in zip(people, leave_one_out(maps).tolist(), strict=True):
            person.agreements.append(value)


def _stack(sources: Sequence[Manifest], i: int) -> Tensor:
    """`(A, H, W)` float32: the maps of one image."""
    import torch

    maps = [read_saliency(source.root / str(source.saliency_path(i)), where=source.where(i)) for source in sources]
    sizes = sorted({(values.shape[0], values.shape[1]) for values in maps})
    if len(sizes) > 1:
        listed = ", ".join(f"{width} x {height}" for height, width in sizes)
        raise SalignError(f"{sources[0].where(i)}: expected maps of one size, got {listed}")
    return torch.stack(maps)
