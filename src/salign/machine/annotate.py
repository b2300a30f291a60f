"""Maps made by machines for the images that have none: by nets that learned from people, or by guided teachers.

What a machine made says so: the column `provenance` of the manifest names the model and the hash of its weights, and
`confidence` how sure it was. Maps that people made are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from salign import checks
from salign.data.manifest import CONFIDENCE, PROVENANCE, Manifest
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import image_size
from salign.data.reading.transforms import build_transform
from salign.limits import LARGEST_BATCH
from salign.machine.makers import Maker
from salign.machine.options import rows_to_mark
from salign.maps import resize
from salign.maps.files import write_map
from salign.progress import Bar

_WAITING = 64
"""Maps that may wait to be written, so that memory does not grow where the disk is slow."""


@dataclass(frozen=True)
class AutoAnnotation:
    """What `auto_annotate` made."""

    manifest: Manifest
    """All rows; those that had no map have one now, unless it was not sure enough."""
    drafts: Manifest | None
    """The rows of maps that were not sure enough, least sure first; None if there are none."""
    count: int
    """Maps made."""
    sureness: np.ndarray
    """`(made,)` how sure the maker was of each, in the order of the rows."""


def auto_annotate(
    manifest: Manifest,
    maker: Maker,
    out: Path,
    *,
    splits: Sequence[str] | None = None,
    below: float = 0.0,
    batch_size: int = 16,
    workers: int | str = "auto",
    device: str = "cpu",
    progress: bool = False,
) -> AutoAnnotation:
    """Mark every image that has no map, at constant memory and about the rate of the bare forward pass.

    Args:
        manifest: its maps are kept; only empty cells are filled.
        maker: marks the images.
        out: new folder for the maps, inside of the manifest's root.
        splits: mark these only; None = all. Give the training splits: nobody should be measured against a machine.
        below: maps less sure than this are kept apart as drafts for people, and fill no cell.
        batch_size: images at a time.
        workers: processes that read images.
        device: where the maker computes.
        progress: show a bar.

    Raises:
        SalignError: nothing to mark, the folder is not inside of the root or not empty, an image cannot be read, a
            device that is not here, or a number that cannot be.
    """
    checks.device("device", device)
    checks.number("below", below, "[0, 1]")
    checks.number("batch_size", batch_size, f"[1, {LARGEST_BATCH}]", whole=True)
    out, positions = out.resolve(), rows_to_mark(manifest, out, splits)
    drawings = draw_maps(
        manifest.take(positions), maker, out, batch_size=batch_size, workers=workers, device=device, progress=progress
    )
    return fill_cells(manifest, positions, drawings, below=below)


def fill_cells(
    manifest: Manifest, positions: np.ndarray, drawings: pd.DataFrame, *, below: float = 0.0
) -> AutoAnnotation:
    """Give rows the maps that were drawn for them.

    Args:
        manifest: all rows.
        positions: those of the rows that were marked.
        drawings: what `draw_maps` gave for them.
        below: maps less sure than this are kept apart as drafts, and fill no cell.
    """
    names = [Path(path).relative_to(manifest.root).as_posix() for path in drawings["saliency"]]
    filled = _filled(manifest, positions, drawings.assign(saliency=names))
    sure = np.ones(len(manifest), dtype=bool)
    sure[positions] = drawings["confidence"].to_numpy() >= below
    unsure = np.flatnonzero(~sure)
    drafts = None
    if len(unsure):
        order = np.argsort(filled.table[CONFIDENCE].iloc[unsure].astype(float).to_numpy(), kind="stable")
        drafts = filled.take(unsure[order])
        table = filled.table.copy()
        table.loc[~sure, ["saliency", PROVENANCE]] = pd.NA
        filled = replace(filled, table=table)
    return AutoAnnotation(filled, drafts, len(positions), drawings["confidence"].to_numpy(dtype=np.float64))


def draw_maps(
    rows: Manifest,
    maker: Maker,
    out: Path,
    *,
    batch_size: int = 16,
    workers: int | str = "auto",
    device: str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Mark every row and write the maps into `out`, at constant memory; see `auto_annotate`.

    Returns:
        Columns saliency (path of the map), provenance and confidence, in the order of the rows.
    """
    dataset = SaliencyDataset(rows, rows.classes, build_transform(maker.image_size))
    known = torch.tensor([maker.classes.index(name) if name in maker.classes else -1 for name in rows.classes])
    names, confidences, waiting = list[str](), list[float](), list[Future[Any]]()
    with ThreadPoolExecutor(2) as pool, Bar("marking images", len(rows), show=progress) as bar, torch.inference_mode():
        for batch in predict_loader(dataset, batch_size, workers):
            labels = torch.full((len(batch.labels),), -1) if rows.multi_label else known[batch.labels]
            maps, confidence = maker(batch.images.to(device), labels.to(device))
            for position, values in zip(batch.index.tolist(), maps.cpu(), strict=True):
                path = out / _file_name(rows, position)
                names.append(str(path))
                waiting.append(pool.submit(_write, path, values, rows.image_path(position), max(maker.image_size)))
            confidences += [round(value, 4) for value in confidence.tolist()]  # as the manifest says it
            while len(waiting) > _WAITING:
                waiting.pop(0).result()
            bar.advance(len(batch.labels))
        for job in waiting:
            job.result()
    return pd.DataFrame({"saliency": names, PROVENANCE: maker.name, CONFIDENCE: confidences})


def _file_name(rows: Manifest, position: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", rows.image_path(position).stem)[:80]
    return f"{rows.table['row'].iat[position]:06d}_{stem}.png"


def _write(path: Path, values: Tensor, image: Path, longest: int) -> None:
    """Write a map in the shape of its image."""
    write_map(path, resize(values[None], shape_for(image_size(image), longest))[0])


def shape_for(image: tuple[int, int], longest: int) -> tuple[int, int]:
    """(H, W) of a map for an image of (H, W): its shape at the size the maker saw, which is all that the map can know.

    The longer side has `longest` pixels, or as many more, up to twice, as it takes to change the shape by less than
    half a percent in rounding the other; the image's own size where that does not do or the image is smaller.
    """
    for side in range(longest, min(2 * longest, max(image))):
        scale = side / max(image)
        small = (round(image[0] * scale), round(image[1] * scale))
        if min(small) >= 2 and abs(small[0] * image[1] / (small[1] * image[0]) - 1) < 0.005:
            return small
    return image


def _filled(manifest: Manifest, positions: np.ndarray, maps: pd.DataFrame) -> Manifest:
    """The manifest with the cells of what was made, at these positions."""
    table, text = manifest.table, manifest.table["saliency"].dtype
    here = np.zeros(len(table), dtype=bool)
    here[positions] = True
    columns = maps.assign(**{CONFIDENCE: maps[CONFIDENCE].map("{:.4f}".format)})
    changed = {}
    for column in ("saliency", PROVENANCE, CONFIDENCE):
        before = table[column] if column in table else pd.Series(pd.NA, index=table.index, dtype=text)
        new = columns[column].astype(text).set_axis(positions).reindex(table.index)
        changed[column] = before.where(~here, new)
    return replace(manifest, table=table.assign(**changed))
