"""Maps that machines draw for images without a map: nets that learned from people, or guided teachers.

The manifest tells the maps of machines from those of people: its column `provenance` names the model and the hash of
its weights, and `confidence` says how sure the model was. Maps that people made are never touched.
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
"""Number of maps that may wait to be written, so that memory does not grow if the disk is slow."""


@dataclass(frozen=True)
class AutoAnnotation:
    """The result of `auto_annotate`."""

    manifest: Manifest
    """All rows. The rows that had no map have one now, unless the maker was not sure enough of it."""
    drafts: Manifest | None
    """The rows whose maps the maker was not sure enough of, least sure first; None if there are none."""
    count: int
    """Number of maps made."""
    sureness: np.ndarray
    """`(count,)` how sure the maker was of each map, in [0, 1], in the order of the rows."""


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
    """Draw a map for every image that has none, in constant memory and at about the rate of the bare forward pass.

    Args:
        manifest: the images. Their maps are kept; only empty cells are filled.
        maker: the machine annotator that draws the maps.
        out: new folder for the maps, inside the manifest's root.
        splits: draw for images of these splits only; None = all. Name the training splits, because no model should be
            measured against the maps of a machine.
        below: maps of which the maker is less sure than this, in [0, 1], are kept apart as drafts for people, and fill
            no cell.
        batch_size: number of images at a time.
        workers: number of processes that read images, or "auto".
        device: device on which the maker computes.
        progress: whether to show a progress bar.

    Raises:
        SalignError: there is nothing to mark, the folder is not inside the root or not empty, an image cannot be read,
            the device is not available, or a number is out of its range.
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
    """Fill the cells of rows with the maps that were drawn for them.

    Args:
        manifest: all rows.
        positions: positions of the rows for which maps were drawn.
        drawings: the result of `draw_maps` for these rows.
        below: maps of which the maker is less sure than this are kept apart as drafts, and fill no cell.
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
    """Draw a map for every row and write the maps into `out`, in constant memory; see `auto_annotate`.

    Returns:
        A row per map, in the order of the rows, with the columns saliency (path of the map), provenance and confidence.
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
            confidences += [round(value, 4) for value in confidence.tolist()]  # as in the manifest
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
    """Write a map in the aspect ratio of its image."""
    write_map(path, resize(values[None], shape_for(image_size(image), longest))[0])


def shape_for(image: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the (H, W) of a map for an image of (H, W): the image's aspect ratio at the size that the maker saw.

    A larger map would hold no more detail. The longer side has `longest` pixels. It gets more pixels, up to twice as
    many, until rounding the shorter side changes the aspect ratio by less than half a percent. If no such size is
    found, or the image is smaller, the map gets the image's own size.
    """
    for side in range(longest, min(2 * longest, max(image))):
        scale = side / max(image)
        small = (round(image[0] * scale), round(image[1] * scale))
        if min(small) >= 2 and abs(small[0] * image[1] / (small[1] * image[0]) - 1) < 0.005:
            return small
    return image


def _filled(manifest: Manifest, positions: np.ndarray, maps: pd.DataFrame) -> Manifest:
    """Return the manifest with the cells of the new maps filled in at these positions."""
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
