"""Plant a shortcut into a copy of a data set: a mark off the human map that gives the label away.

A network that takes the shortcut does well where the mark agrees with the label, and badly where it does not. A network
that looks where people look does equally well in both cases. The correlation between mark and label is chosen for each
split, so that both cases can be measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy import ndimage
from torch import Tensor

from salign.class_names import SEPARATOR
from salign.data.manifest import Manifest, map_columns
from salign.data.manifest.file_names import file_key
from salign.data.manifest.image_files import stem
from salign.data.reading.image import read_image, read_saliency
from salign.data.shortcuts.marks import MOST_CLASSES, SIDES, Kind, mark
from salign.errors import SalignError, one_of
from salign.files import check_output
from salign.maps.tensor_ops import resize
from salign.progress import track

MARGIN = 0.02
"""Least distance between mark and human map, as a share of the image's shorter side."""

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


class Planted(NamedTuple):
    """What `plant_shortcut` wrote."""

    manifest: Path
    measured: pd.DataFrame
    """One row per split, with the columns `split, asked, measured, images, clean`. `asked` is the correlation, and
    `measured` is the share of marked images whose mark names their own class; `clean` counts images without a mark."""
    clean: tuple[str, ...]
    """Images without a mark, because none fits off the human map; each is named like `manifest.csv row 7 (a.png)`."""


def plant_shortcut(
    manifest: Manifest,
    out: Path | str,
    *,
    kind: Kind,
    correlation: Mapping[str, float],
    seed: int,
    size: float = 0.1,
    progress: bool = False,
) -> Planted:
    """Write a copy of every image with a mark that names a class, and a manifest with the column `shortcut`.

    With correlation c, the mark names the image's own class with probability c, and otherwise one of the other classes,
    all equally likely. With K classes, 1 always agrees, 1 / K says nothing, and 0 always misleads. A mark covers no
    pixel where the human map is above 0, nor any within `MARGIN` of such a pixel. Images are written as PNG (deeper
    ones keep 8 bits), and maps are copied byte for byte.

    Args:
        manifest: The data set to copy.
        out: The folder to write to, which must be empty or new.
        kind: `patch`: a shape in a colour of its own (ring, cross, ...) anywhere; `text`: a short white tag on black
            anywhere; `border`: a coloured strip along a part of one side. The marks of all classes cover equal areas.
        correlation: For each split of the manifest, c in [0, 1].
        seed: Decides all choices. Equal seeds give equal files, whatever else changes in the set.
        size: Side of a patch, or height of a tag, as a share of the image's shorter side; 0.1 gives 13 pixels in an
            image of 128 x 128. A strip is a quarter as thick and five times as long.
        progress: Show a bar.

    Raises:
        SalignError: the kind or a split is unknown, a split has no correlation, `correlation` or `size` is out of
            range, images may have several labels, there are too many or too few classes, no image has room for a mark,
            or `out` is not empty or cannot be written to.
    """
    out, classes = Path(out), manifest.classes
    check_output(out, folder=True)
    _refuse(manifest, out, kind, correlation, size)
    names = _names(manifest)
    shortcuts: list[str] = []
    clean: list[str] = []
    try:
        for position in track(range(len(manifest)), "planting", show=progress):
            record = manifest.table.iloc[position]
            rng = np.random.default_rng([seed, *str(record["id"]).encode()])
            name = _named_class(classes, str(record["label"]), correlation[str(record["split"])], rng)
            image = _eight_bit(read_image(manifest.image_path(position), where=manifest.where(position)))
            pixels = mark(kind, classes.index(name), max(4, round(size * min(image.shape[:2]))))
            corners = free_places(_free(manifest, position, image.shape[:2]), pixels.shape[:2])
            if kind == "border":
                corners = _along(corners, SIDES[classes.index(name) % 4])
            spots = np.argwhere(corners)
            if len(spots):
                top, left = spots[rng.integers(len(spots))]
                image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            else:
                clean.append(manifest.where(position))
            shortcuts.append(name if len(spots) else "")
            _save(image, out / names[position])
            _copy_maps(manifest, position, out)
    except OSError as error:
        raise SalignError(f"cannot write the copy to {out}: {error.strerror or error}") from error
    if len(clean) == len(manifest):
        raise SalignError(
            f"{manifest.source}: no image has room for a mark of {size:g} of its shorter side off the human map. "
            "Choose a smaller size, or maps that are 0 where nothing was marked"
        )
    table = manifest.table.drop(columns=["row", "shortcut"], errors="ignore").assign(path=names, shortcut=shortcuts)
    planted = Manifest.of(table, out, "manifest.csv")
    return Planted(planted.write(out / "manifest.csv"), _measure(planted, correlation), tuple(clean))


def free_places(free: Mask, size: tuple[int, int]) -> Mask:
    """Find where a box of `size` (h, w) fits into the pixels that are `free`, `(H, W)` bool.

    Returns:
        `(H - h + 1, W - w + 1)` bool: whether the box with its top left corner there is wholly free. `(0, 0)` if the
        box is larger than the image.
    """
    height, width = size
    if height > free.shape[0] or width > free.shape[1]:
        return np.zeros((0, 0), dtype=bool)
    occupied = np.pad(np.cumsum(np.cumsum(~free, axis=0), axis=1), ((1, 0), (1, 0)))
    inside = (
        occupied[height:, width:]
        - occupied[:-height, width:]
        - occupied[height:, :-width]
        + occupied[:-height, :-width]
    )
    return inside == 0


def _refuse(manifest: Manifest, out: Path, kind: str, correlation: Mapping[str, float], size: float) -> None:
    one_of(kind, get_args(Kind), "kind of shortcut")
    if set(correlation) != set(manifest.splits):
        raise SalignError(
            f"a correlation is needed for each split of {manifest.source} ({', '.join(manifest.splits)}) and no other; "
            f"got {', '.join(sorted(correlation)) or 'none'}"
        )
    wrong = {split: value for split, value in correlation.items() if not 0 <= value <= 1}
    if wrong:
        raise SalignError(f"a correlation is in [0, 1] (1 = always agrees, 0 = always misleads); got {wrong}")
    if joined := [name for name in manifest.classes if SEPARATOR in name]:
        raise SalignError(
            f"a mark names the one class of an image, and {joined[0]!r} in {manifest.source} joins several; plant into "
            "a set with one label per image"
        )
    if not 2 <= len(manifest.classes) <= MOST_CLASSES:
        raise SalignError(f"marks exist for 2 to {MOST_CLASSES} classes; {manifest.source} has {len(manifest.classes)}")
    if not 0 < size <= 0.2:
        raise SalignError(f"the size of a mark is above 0 and at most 0.2 of the image's shorter side; got {size:g}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SalignError(f"{out} is not an empty folder; name a new one, so that nothing is overwritten")


def _names(manifest: Manifest) -> list[str]:
    """Name a PNG file for each row after its image, with a number if a map or another row has that name."""
    columns = map_columns(manifest.table)
    used = {file_key(name) for column in columns for name in manifest.table[column].dropna()}
    names = []
    for path in manifest.table["path"]:
        base = PurePosixPath(f"{stem(path)}.png")
        name, number = base, 2
        while file_key(str(name)) in used:
            name, number = base.with_name(f"{base.stem}_{number}.png"), number + 1
        used.add(file_key(str(name)))
        names.append(str(name))
    return names


def _named_class(classes: tuple[str, ...], own: str, correlation: float, rng: np.random.Generator) -> str:
    agrees, other = rng.random() < correlation, int(rng.integers(len(classes) - 1))
    return own if agrees else [name for name in classes if name != own][other]


def _eight_bit(image: Tensor) -> Pixels:
    """Convert `(3, H, W)` to `(H, W, 3)` uint8 that can be written into."""
    if image.is_floating_point():
        image = (image * 255).round().byte()
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy()).copy()


def _free(manifest: Manifest, position: int, size: tuple[int, int]) -> Mask:
    """Return the pixels farther than the margin from everything that the human map marks; all pixels without a map."""
    path = manifest.saliency_path(position)
    if path is None:
        return np.ones(size, dtype=bool)
    marked = resize(read_saliency(path, where=manifest.where(position, "saliency")), size).numpy() > 0
    if not marked.any():
        return np.ones(size, dtype=bool)
    return np.asarray(ndimage.distance_transform_edt(~marked) > MARGIN * min(size))


def _along(corners: Mask, side: str) -> Mask:
    edge = np.zeros_like(corners)
    if corners.size:
        line = -1 if side in ("bottom", "right") else 0
        if side in ("top", "bottom"):
            edge[line] = corners[line]
        else:
            edge[:, line] = corners[:, line]
    return edge


def _save(image: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)  # three times as fast as the default


def _copy_maps(manifest: Manifest, position: int, out: Path) -> None:
    row = manifest.table.iloc[position]
    for name in row[list(map_columns(row.index))].dropna():
        target = out / str(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest.root / str(name), target)


def _measure(planted: Manifest, correlation: Mapping[str, float]) -> pd.DataFrame:
    table = planted.table
    marked = table["shortcut"].notna()
    agrees = (table["shortcut"] == table["label"]).fillna(False).astype(bool)
    rows = [
        {
            "split": split,
            "asked": correlation[split],
            "measured": float(agrees[in_split & marked].mean()) if (in_split & marked).any() else float("nan"),
            "images": int(in_split.sum()),
            "clean": int((in_split & ~marked).sum()),
        }
        for split in planted.splits
        for in_split in [table["split"] == split]
    ]
    return pd.DataFrame(rows)
