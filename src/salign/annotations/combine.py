"""Writing a manifest with new maps: several people's maps combined into one, or all maps at another grain."""

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
    """One person with a column of maps, and what `aggregate_maps` finds out about them over all images."""

    column: str
    """The column of the manifest with the person's maps."""
    maps: int = 0
    """How many images have a map by this person."""
    agreements: list[float] = field(default_factory=list)
    """Soft Dice of the person's map and the mean of the others' maps, for each image that others have a map of, too."""
    sensitivities: list[float] = field(default_factory=list)
    """Estimates of STAPLE, one per image with a map by this person; NaN for an image on which nobody marked a pixel."""
    specificities: list[float] = field(default_factory=list)
    """Estimates of STAPLE, one per image with a map by this person; NaN for an image on which everybody marked all."""
    weight: float | None = None
    """The person's weight for the method `weighted`; None for other methods."""

    @property
    def name(self) -> str:
        """The person's name as in the name of the column, which is without `saliency_`."""
        return self.column.removeprefix(ONE_PERSON)

    @property
    def agreement(self) -> float:
        """Mean of `agreements` over the images; NaN if there are none."""
        return mean_of(self.agreements)


def people_of(manifest: Manifest, columns: Sequence[str] | None = None) -> list[Person]:
    """Return the people whose maps a manifest has: one per given column, or per column `saliency_<who>` if None.

    Raises:
        SalignError: a given column does not exist, or no column is called `saliency_<who>`.
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
        manifest: the manifest; maps are matched with its images by name.
        folder: the folder with the maps as pictures.
        pattern: how the paths of the maps name the image and the person, see
            `salign.annotations.formats.stored.Names`.

    Raises:
        ManifestError: maps cannot be read or belong to no image, or a person has two maps of one image.
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
    """Combine the maps of several people into one map per image, and write a manifest with these maps as `saliency`.

    An image of which nobody has a map gets no map. If a machine made one of the maps, the provenance of the new map
    says so; otherwise, if one of the maps is of unknown origin, so is the new map. For `weighted` without `weights`, a
    person's weight is the mean of `leave_one_out` over the images, and at least 0. Agreements, STAPLE's estimates and
    weights are stored in `people`.

    Args:
        manifest: a manifest with a column of maps per person.
        target: the new manifest; its maps go into the folder beside it that has its name.
        method: one of `AGGREGATES`.
        people: the people, as `people_of` returns them; they are changed.
        weights: weights by column, for `weighted`.
        sigma: standard deviation, in pixels of the maps, of the Gaussian that smooths the result; 0 does not smooth.
        overwrite: whether to replace what was written before.

    Returns:
        The new manifest.

    Raises:
        ManifestError: maps cannot be read, or have two sizes for one image; the rows are named.
        SalignError: there is no such method, a person has no weight, `sigma` is negative, or something at `target` is
            in the way.
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

    from salign.maps.aggregate import aggregate, staple, weighted  # imports torch, so only after all checks

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
    """Write every map at another grain (`salign.maps.granularity`), and a manifest with these maps as `saliency`.

    Args:
        manifest: the manifest with the maps.
        target: the new manifest; its maps go into the folder beside it that has its name.
        grain: one of `GRAINS`.
        together: as for `salign.maps.granularity.boundary`.
        overwrite: whether to replace what was written before.

    Returns:
        The new manifest.

    Raises:
        ManifestError: maps cannot be read; the rows are named.
        SalignError: there is no such grain, or something at `target` is in the way.
    """
    one_of(grain, GRAINS, "grain")
    from salign.maps.granularity import coarsen

    def change(i: int) -> Tensor | None:
        if manifest.saliency_path(i) is None:
            return None
        return coarsen(_stack([manifest], i)[0], grain, together=together)

    return with_new_maps(manifest, target, change, overwrite=overwrite)


def weights_by_answers(answers: Path, people: Sequence[Person], classes: int) -> dict[str, float]:
    """Weight people by their right and wrong answers in a table; the weights are those of `accuracy_weights`.

    The table has the columns `annotator` and `right`, which is true, false, or empty if it is not known whether the
    answer is right. `annotations.csv` in an export of `salign annotate` is such a table, in which `right` is known for
    gold images. An annotator's name belongs to the column of maps that an export writes for it. A column without such a
    name belongs to the name that is spelt like the column, if it is the only one; all characters but ASCII letters,
    digits, `_` and `-` count as alike.

    Args:
        answers: the table, a CSV file.
        people: the people with their columns of maps.
        classes: how many answers there were to choose from.

    Returns:
        The weight of each person by column.

    Raises:
        SalignError: a column of the table is missing, or a person has no row in it.
        ManifestError: a cell of `right` holds something else, or a name is not printable.
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
    """Return the mean of the values that are not NaN; NaN if there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _columns_of(names: Iterable[str], people: Sequence[Person]) -> dict[str, str]:
    """Return the column of maps for each name that has one, as described at `weights_by_answers`."""
    columns, column_of, rest = {person.name: person.column for person in people}, {}, []
    for name in names:
        plain = slugs([name])[0]
        parts = [plain, *slugs([name], {plain.lower()})]  # second: the part if another name differs by case alone
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
    """Read the maps of image `i`, one from each source, as `(A, H, W)` float32."""
    import torch

    maps = [read_saliency(source.root / str(source.saliency_path(i)), where=source.where(i)) for source in sources]
    sizes = sorted({(values.shape[0], values.shape[1]) for values in maps})
    if len(sizes) > 1:
        listed = ", ".join(f"{width} x {height}" for height, width in sizes)
        raise SalignError(f"{sources[0].where(i)}: expected maps of one size, got {listed}")
    return torch.stack(maps)
