"""Plan the manifest of a folder of images: where classes, splits and maps come from, and what may be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from salign.annotations.annotated import Annotated
from salign.class_names import SEPARATOR, alike, names_in
from salign.data.manifest import Fault, Manifest
from salign.data.manifest.folder_layout import splits_by_role
from salign.data.manifest.image_files import stem
from salign.data.manifest.labels import NONE, by_name
from salign.data.manifest.split import SHARES, divide, groups_of_rows, small_classes
from salign.data.manifest.table import NO_SPLIT
from salign.errors import SalignError, one_of
from salign.files import relative_path
from salign.project.absent import Absent, absent_classes
from salign.project.choices import CLASSES_FROM, Choices
from salign.project.classes import find_classes, values_of
from salign.project.look import Look, Tool
from salign.project.names import MANIFEST
from salign.project.pictures import Maps, named_maps
from salign.project.tables import HOT, IMAGE

GAZE = "fixations"
FOLDER = "folder"
"""Column of the outer folder of an image, where the inner one is its class."""
_MANY_FOLDERS = 10
"""From so many outer folders on, each is kept whole: they are then patients or visits, not two or three sites."""
_SHOWN = 6


@dataclass
class Plan:
    """The manifest that will be written, and sentences about what was found and decided."""

    manifest: Manifest
    """Rows with classes and splits. Only a manifest that was there before has maps; others come from `marks`."""
    marks: list[Annotated]
    """Marks that will be drawn as maps."""
    faults: list[Fault]
    """Faults of marks that are left out."""
    remarks: list[tuple[str, str]]
    """Remarks on what was found: a keyword, and a sentence."""
    absent: Absent
    """Classes without an image in a split of the study."""
    source: Path | None = None
    """The manifest that was there before, if it is used unchanged."""


DOUBTS = ("left out", "not used", "alike", "few images", "no image")
"""Keywords of the remarks that may point to a mistake and should be read; they come last."""


def make_plan(look: Look, choices: Choices) -> Plan:
    """Decide what will be written for a folder; nothing is written yet.

    Raises:
        SalignError: the folder can be understood in several ways, or has no classes; the message names the options.
        ManifestError: marks have faults that are not left out.
    """
    remarks = [("images", f"{len(look.images)} ({_endings(look.images)})")]
    marks, faults = _marks(look, choices, remarks)
    source, labels, several = find_classes(look, choices, marks, faults)
    if choices.label is not None:
        labels = dict.fromkeys(look.images, choices.label) | dict(labels)
    classes = Counter(name for cell in labels.values() for name in (names_in(cell) or [NONE] if several else [cell]))
    listed = ", ".join(f"{name} {count}" for name, count in sorted(classes.items())[:_SHOWN])
    ways = f"from {source}; several per image" if several else f"from {source}"
    remarks.insert(1, ("classes", f"{listed}{', ...' * (len(classes) > _SHOWN)} ({ways})"))
    if len(classes) < 2:
        bare = len(look.images) - len(labels)
        hint = (
            f"{bare} images have no class: say theirs by --label NAME, such as normal"
            if bare
            else "Is this the folder above the classes? Else give --classes-from " + ", ".join(CLASSES_FROM)
        )
        raise SalignError(
            f"{look.folder}: all {len(labels)} images with a class are of {next(iter(classes), '')!r} (from {source}); "
            f"a classifier needs two classes or more. {hint}"
        )
    if missing := [path for path in look.images if path not in labels]:
        remarks.append(("left out", f"{len(missing)} images without a class, first {missing[0]}"))
    table = _rows(look, labels, source)
    groups = [name for source_table in look.tables for name in source_table.groups if name in table]
    if look.outer and labels is not look.outer and FOLDER not in table:
        table[FOLDER] = table["path"].map(look.outer)
        groups += _outer_folders(table[FOLDER], choices, remarks)
    manifest = Manifest.of(table, look.folder, MANIFEST, multi_label=several)
    remarks += [
        (
            "alike",
            f"the classes {' and '.join(names)} differ in the case of letters alone; if they are one, give it one name",
        )
        for names in alike(classes)
    ]
    remarks += [("not used", sentence) for sentence in look.useless]
    if marks or faults:
        from salign.project.marks import check_marks

        marks = check_marks(manifest, look.images, marks, faults, remarks, leave_out=choices.leave_out)
    manifest = _divided(manifest, groups, choices, remarks)
    used = [split for names in splits_by_role(manifest.splits).values() for split in names]
    remarks += [("few images", line) for line in small_classes(manifest, used)]
    absent = absent_classes(manifest)
    remarks += [("no image", sentence) for sentence in absent.sentences]
    remarks.sort(key=lambda pair: pair[0] in DOUBTS)
    return Plan(manifest, marks, faults, remarks, absent)


def plan_of_manifest(path: Path, choices: Choices) -> Plan:
    """Make a plan of the manifest that a folder already has. Splits are added where it lacks them.

    Raises:
        ManifestError: the manifest has faults; the message names all of them.
        SalignError: the splits cannot be completed, or too few classes can be trained.
    """
    cells = Manifest.unchecked(path)[0].table.get("label", pd.Series(dtype=str))
    several = bool(cells.str.contains(SEPARATOR, regex=False).any())
    manifest = Manifest.read(path, unsplit=True, multi_label=several)
    mapped = int(manifest.table["saliency"].notna().sum())
    remarks = [
        ("manifest", f"{path}: {len(manifest)} images"),
        ("classes", values_of(by_name(manifest.table)["label"]) + "; several per image")
        if several
        else ("classes", ", ".join(f"{name} {count}" for name, count in sorted(Counter(cells).items()))),
        ("maps", f"{mapped}" if mapped else "none"),
    ]
    divided = _divided(manifest, [], choices, remarks)
    absent = absent_classes(divided)
    remarks += [("no image", sentence) for sentence in absent.sentences]
    return Plan(divided, [], [], remarks, absent, source=path if divided is manifest else None)


def _marks(look: Look, choices: Choices, remarks: list[tuple[str, str]]) -> tuple[list[Annotated], list[Fault]]:
    """Read the marks from one source of maps: the one that was chosen, or that a table names, or the only one."""
    named = [(f"named in {table.name}", table.maps) for table in look.tables if table.maps]
    sources: dict[str, Any] = {kind: named_maps(look.folder, kind, pairs) for kind, pairs in named}
    sources |= {maps.kind: maps for maps in look.maps}
    for tool in look.tools:
        if tool.format == GAZE and choices.sigma is None:
            sentence = "gaze becomes maps with --sigma PIXELS, the spread of a fixation, such as a degree of vision"
            remarks.append(("not used", f"{tool.path.name}: {sentence}"))
            continue
        if tool.format == "yolo" and choices.maps != "yolo" and _is_without_names(look.folder, tool, remarks):
            continue
        sources.setdefault(tool.format, []).append(tool)
    if choices.sigma is not None and GAZE not in sources:
        raise SalignError(f"{look.folder}: --sigma is for a table of fixations (x, y, duration), and none is there")
    choice = choices.maps
    if choice is not None:
        one_of(choice, [*sources, "none"], "--maps")
    if choice == "none" or not sources:
        remarks.append(("maps", "none"))
        return [], []
    if choice is None and len(sources) > 1 and len(named) != 1:
        raise SalignError(
            f"{look.folder}: maps may come from {', '.join(sources)}; say which by --maps NAME, or --maps none"
        )
    name = choice or next(iter(sources))
    source = sources[name]
    rest = [key for key in sources if key != name]
    if rest:
        remarks.append(("not used", f"maps from {', '.join(rest)} (--maps NAME takes them instead)"))
    if isinstance(source, Maps):
        from salign.project.marks import read_maps

        marks, faults, sentence = read_maps(look.folder, source)
    else:
        from salign.project.marks import read_tools

        sigma = choices.sigma if name == GAZE else None
        marks, faults, sentence = read_tools(look.folder, source, unlisted=choices.unlisted, sigma=sigma)
    remarks.append(("maps", sentence))
    return marks, faults


def _outer_folders(folders: pd.Series, choices: Choices, remarks: list[tuple[str, str]]) -> list[str]:
    """What is said of the outer folders, and the column by which images stay together, if they are many."""
    many = folders.nunique() >= _MANY_FOLDERS and not choices.group
    stay = "images of one folder stay together" if many else f"--group {FOLDER} keeps each in one split"
    remarks.append((FOLDER + "s", f"{folders.nunique()} above the classes, in the column {FOLDER}; {stay}"))
    return [FOLDER] * many


def _is_without_names(folder: Path, tool: Tool, remarks: list[tuple[str, str]]) -> bool:
    """Whether no file names the classes of what looks like YOLO's labels, as any text of five small numbers does.

    If none does, a remark is added.
    """
    from salign.annotations.formats.yolo import NAMES
    from salign.project.marks import names_of_yolo

    if names_of_yolo(folder, tool) is not None:
        return False
    count = f"{tool.files} file{'s' * (tool.files > 1)} like YOLO's labels"
    names = f"none of {', '.join(NAMES)} there or above names the classes"
    remarks.append(("not used", f"{relative_path(tool.path, folder)}: {count}, and {names}"))
    return True


def _rows(look: Look, labels: Mapping[str, str], source: str) -> pd.DataFrame:
    paths = [path for path in look.images if path in labels]
    names = Counter(map(stem, paths))
    rows = pd.DataFrame(
        {
            "id": [stem(path) if names[stem(path)] == 1 else path for path in paths],
            "path": paths,
            "label": [labels[path] for path in paths],
            "split": [look.splits.get(path, NO_SPLIT) for path in paths],
            "saliency": "",
        }
    )
    table = next((table for table in look.tables if f" of {table.name}" in source), None)
    if table is None:
        return rows
    cells = table.rows.set_index(IMAGE)
    if table.split is not None:
        splits = cells[table.split].fillna("")
        rows["split"] = [str(splits.get(path) or NO_SPLIT) for path in paths]
    own = {"id", "label", "split", "saliency", "path", "row", HOT, table.split, *table.labels}
    free = [name for name in cells.columns if name not in own]
    return rows.assign(**{name: [cells[name].get(path, "") for path in paths] for name in free}).fillna("")


def _divided(manifest: Manifest, groups: Sequence[str], choices: Choices, remarks: list[tuple[str, str]]) -> Manifest:
    """Return the manifest with the splits that a study needs.

    Known splits stay; a missing validation or test split is taken from training. The same manifest is returned where
    nothing is missing.
    """
    groups = list(choices.group or groups)
    known = [split for split in manifest.splits if split != NO_SPLIT]
    roles = splits_by_role(known)
    rest = [split for split in known if not any(split in names for names in roles.values())]
    if rest and not any(roles.values()):
        raise SalignError(
            f"{manifest.root}: the splits {', '.join(known)} are called neither train, val nor test; rename them, so "
            "that it is known which one is trained on"
        )
    if rest:
        remarks.append(("not used", f"splits whose names do not say what they are for: {', '.join(rest)}"))
    missing = [role for role in ("val", "test") if known and not roles[role]]
    if not known or not (roles["train"] or NO_SPLIT in manifest.splits):
        shares, move, sentence = dict(choices.shares), known, "none; divided now, each class alike"
    elif missing == ["val", "test"]:
        shares, move, sentence = dict(choices.shares), roles["train"], "train alone; divided now, each class alike"
    elif missing:
        share = choices.shares.get(missing[0], SHARES["val"])
        train = next(iter(roles["train"]), "train")
        shares, move = {train: 1 - share, missing[0]: share}, roles["train"][:1]
        sentence = f"{', '.join(known)}; {missing[0]} is missing and is taken from {train} ({share:.0%})"
    elif NO_SPLIT in manifest.splits:
        shares, move, sentence = dict(choices.shares), [], f"{', '.join(known)}; rows without a split are divided"
    else:
        remarks.append(("splits", ", ".join(known)))
        return manifest
    divided = divide(manifest, groups_of_rows(manifest, groups), shares, seed=choices.seed, move=move)  # fails early
    from salign.data.checks.deduplicate import equal_pictures
    from salign.data.checks.patients import same_patients

    alike = equal_pictures(manifest, progress=True)
    patients, by_header = same_patients(manifest)
    together = groups_of_rows(manifest, groups, [*alike, *patients])
    divided = divide(manifest, together, shares, seed=choices.seed, move=move)
    near = f"equal or nearly equal pictures ({len(alike)} group{'s' * (len(alike) > 1)})"
    roles = splits_by_role(divided.splits)
    if empty := [role for role in SHARES if not roles[role]]:
        raise SalignError(
            f"{manifest.root}: nothing is left for {' and '.join(empty)} where {len(manifest)} images, in "
            f"{len(together)} groups that stay together, are divided among {', '.join(shares)}. Add images "
            "(20 of each class are the least that is worth a study), or give other --shares"
        )
    kinds = [f"images of one {name}" for name in groups] + [near] * bool(alike)
    stay = f"{' and '.join(kinds)} stay together" if kinds else "no two pictures are nearly equal"
    remarks.append(("splits", f"{sentence}; {stay}"))
    remarks += [("patients", by_header)] * bool(by_header)
    return divided


def _endings(paths: Sequence[str]) -> str:
    counts = Counter(Path(path).suffix.lower() or "no ending" for path in paths)
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(4))
