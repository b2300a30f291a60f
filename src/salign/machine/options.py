"""What can be asked of a machine annotator, and whether it can be done; torch is not needed to know it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.files import check_output
from salign.models.config import CLASSIFIER, NET, describe_model, describe_net, description_file

METHODS = ("cam", "grad_cam", "rise")
"""How a classifier says where."""
CLASSES = ("true", "predicted")
"""Whose evidence a classifier marks: that for the class of the label, or for the class that it takes an image for."""


def check_maker(run: Path | str) -> str:
    """Refuse a folder that holds nothing that can mark images.

    Args:
        run: the run of a net that draws maps, or of a classifier.

    Returns:
        The file that describes it: `saliency.json` of a net, else that of the classifier.

    Raises:
        SalignError: neither is there, one is damaged, or images may have several labels.
    """
    folder = Path(run)
    if (folder / NET).is_file():
        describe_net(folder)
        return NET
    if not description_file(folder).is_file():
        raise SalignError(
            f"{folder}: neither {NET} nor {CLASSIFIER} there; expected a run of salign saliency train or train."
        )
    if describe_model(folder).get("multi_label"):
        raise SalignError(
            f"{folder}: images may have several labels there (data.multi_label), and a teacher marks the evidence "
            "for one class. Train a net that marks without classes: salign saliency train."
        )
    return description_file(folder).name


def unknown_classes(rows: Manifest, classes: Sequence[str], of: str) -> list[str]:
    """The classes of images that a classifier does not know: it marks these by the class that it takes them for.

    Args:
        rows: the images.
        classes: those that it knows; none = it marks without classes.
        of: see `CLASSES`.

    Raises:
        SalignError: it is to mark by the label and knows none of the labels.
    """
    if not classes or of != "true" or not rows.classes:
        return []
    strange = [name for name in rows.classes if name not in classes]
    if len(strange) == len(rows.classes):
        raise SalignError(
            f"{rows.source}: the images are of {', '.join(strange[:5])}{' ...' * (len(strange) > 5)}, and what is to "
            f"mark them knows {', '.join(classes[:5])}{' ...' * (len(classes) > 5)}: it cannot say where their class "
            "shows. Take a run that learned these classes; or mark by the class that it takes an image for: --of "
            "predicted (in a recipe of: predicted)."
        )
    return strange


def rows_to_mark(
    manifest: Manifest, out: Path, splits: Sequence[str] | None = None, *, begun: bool = False
) -> np.ndarray:
    """Positions of the rows without a map.

    Args:
        manifest: the images.
        out: new folder for their maps.
        splits: only rows of these; None = all.
        begun: some of the maps lie there already.

    Raises:
        SalignError: the folder is not inside of the root, cannot be written to or is not empty, a split does not occur,
            or every row has a map.
    """
    out = out.resolve()
    if not out.is_relative_to(manifest.root):
        raise SalignError(f"{out}: maps of a manifest lie inside of its root {manifest.root}; choose a folder there.")
    check_output(out, folder=True)
    if not begun and out.exists() and any(out.iterdir()):
        raise SalignError(f"{out} is not empty; choose a new folder, so that no map is replaced.")
    empty = manifest.table["saliency"].isna()
    if splits is not None:
        manifest.select(splits)  # refuses what does not occur
        empty &= manifest.table["split"].isin(list(splits))
    positions = np.flatnonzero(empty.to_numpy(dtype=bool))
    if not len(positions):
        raise SalignError(f"{manifest.source}: every image asked for has a map already; nothing to mark.")
    return positions
