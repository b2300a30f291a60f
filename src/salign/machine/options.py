"""What can be asked of a machine annotator, and checks of whether it can be done; they need no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.files import check_output
from salign.models.config import CLASSIFIER, NET, describe_model, describe_net, description_file

METHODS = ("cam", "grad_cam", "rise")
"""How a classifier can mark its evidence."""
CLASSES = ("true", "predicted")
"""The class whose evidence a classifier marks: that of the label, or that which it predicts."""
DEVICES = ("auto", "cpu", "cuda", "mps")
"""The devices of a recipe. A machine annotator computes on CUDA for `auto` and `cuda` if it is available, and on the
CPU for the others."""


def check_maker(run: Path | str) -> str:
    """Check that a folder holds a run that can mark images.

    Args:
        run: the folder of a run of a net that draws maps, or of a classifier.

    Returns:
        Name of the file that describes the model: `saliency.json` of a net, or the file of the classifier.

    Raises:
        SalignError: the folder holds neither a net nor a classifier, the description of the model is damaged, or the
            images of the classifier may have several labels.
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
    """Return the classes of the images that a classifier does not know.

    In the images of these classes, it marks the evidence for the class that it predicts.

    Args:
        rows: the images.
        classes: the classes that the classifier knows; empty if it marks without classes.
        of: see `CLASSES`.

    Raises:
        SalignError: the classifier is to mark the evidence for the label, but knows none of the labels.
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
    """Return the positions of the rows without a map.

    Args:
        manifest: the images.
        out: new folder for their maps.
        splits: only rows of these splits; None = all.
        begun: whether some of the maps may lie in the folder already.

    Raises:
        SalignError: the folder is not inside the manifest's root, cannot be written to, or is not empty although
            `begun` is False; a split does not occur; or every row has a map.
    """
    out = out.resolve()
    if not out.is_relative_to(manifest.root):
        raise SalignError(f"{out}: maps of a manifest lie inside of its root {manifest.root}; choose a folder there.")
    check_output(out, folder=True)
    if not begun and out.exists() and any(out.iterdir()):
        raise SalignError(f"{out} is not empty; choose a new folder, so that no map is replaced.")
    empty = manifest.table["saliency"].isna()
    if splits is not None:
        manifest.select(splits)  # raises if a split does not occur
        empty &= manifest.table["split"].isin(list(splits))
    positions = np.flatnonzero(empty.to_numpy(dtype=bool))
    if not len(positions):
        raise SalignError(f"{manifest.source}: every image asked for has a map already; nothing to mark.")
    return positions
