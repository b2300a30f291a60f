"""Write the files of a plan: the manifest, the maps drawn from marks, and the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from salign.data.manifest import Manifest
from salign.data.manifest.folder_layout import splits_by_role
from salign.data.manifest.root import root_option
from salign.errors import SalignError
from salign.files import check_output, relative_path, replace_text
from salign.location import quote
from salign.project.names import IMPORTED, MANIFEST, RECIPE, STUDY
from salign.project.plan import Plan
from salign.project.study_file import setting_for, study_text


class Written(NamedTuple):
    """The files that were written."""

    manifest: Path
    """The manifest that `settings` names: the one that was written, or one that was there before and is unchanged."""
    root: Path
    """The folder where the paths in the manifest begin."""
    settings: Path
    """The study, or the recipe where images have several labels."""
    maps: int
    """Number of maps that were drawn."""
    blank: int
    """Number of these maps that mark nothing."""


def check_free(out: Path, names: Sequence[str] = (MANIFEST, STUDY)) -> None:
    """Refuse to overwrite files.

    Raises:
        SalignError: one of the files exists, or nothing can be written into `out`.
    """
    if there := [str(out / name) for name in names if (out / name).exists()]:
        raise SalignError(
            f"{' and '.join(there)}: there already, and nothing is written over. Next: salign status {quote(out)}; or "
            "remove the file, or give another --out"
        )
    check_output(out, folder=True)


def write_plan(plan: Plan, out: Path, *, name: str) -> Written:
    """Write `manifest.csv`, `imported/` with maps, and `study.yaml` or `recipe.yaml`; each whole or not at all.

    Args:
        plan: the plan.
        out: folder to write into.
        name: name of the study.

    Raises:
        SalignError: the study or the recipe exists already.
        ManifestError: marks have a fault that the plan does not list; nothing was written then.
    """
    target, maps, blank, manifest = out / MANIFEST, 0, 0, plan.manifest
    settings = out / settings_name(manifest)
    check_free(out, (settings.name,))
    if plan.source is not None:
        target = plan.source
    elif plan.marks:
        from salign.annotations.write import Output, write_annotated

        output = Output(out=out / IMPORTED, target=target, leave_out=bool(plan.faults))
        result = write_annotated(plan.marks, output=output, base=plan.manifest, progress=True)
        maps, blank, manifest = result.maps, result.blank, result.manifest
    else:
        target = out / manifest_name(out)
        manifest.write(target)
    train = manifest.table["split"].isin(splits_by_role(manifest.splits)["train"])
    setting = setting_for(manifest, float(manifest.table["saliency"][train].notna().mean()))
    root = str(manifest.root) if root_option(target, manifest.root) else None
    text = study_text(manifest, setting, name=name, file=relative_path(target, out), root=root)
    replace_text(settings, text)
    return Written(target, manifest.root, settings, maps, blank)


def manifest_name(out: Path) -> str:
    """Return the name for a new manifest in a folder; an old `manifest.csv`, which lacks splits, is not overwritten."""
    return "manifest-split.csv" if (out / MANIFEST).exists() else MANIFEST


def settings_name(manifest: Manifest) -> str:
    """Return the name of the file that says what is trained: a study, or a recipe if images have several labels."""
    return RECIPE if manifest.multi_label else STUDY
