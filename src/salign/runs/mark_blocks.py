"""Marking images by machine annotators, block by block on Ray; see `salign.runs.blocks`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from salign.data.manifest import COLUMNS, Manifest
from salign.errors import SalignError
from salign.files import LEFTOVERS
from salign.machine.options import check_maker
from salign.models.config import WEIGHTS
from salign.readers import known_digest, read_parquet
from salign.runs.blocks import BLOCK, NOTE, Blocks, do_on_ray

if TYPE_CHECKING:
    from salign.machine.makers import Maker


@dataclass(frozen=True)
class MarkBlocks(Blocks[Manifest]):
    """A job that lets machine annotators mark images, and where it writes the maps.

    Args:
        runs: folders of runs; several make an ensemble.
        out: folder for the maps, inside the manifest's root.
        method: see `salign.machine.makers.TeacherMaker`.
        of: see `salign.machine.makers.TeacherMaker`.
        masks: see `salign.machine.makers.TeacherMaker`.
        block: images in a block, as `count_images` gives it: a multiple of the batch size.
        batch_size: images that the network takes at a time.
    """

    runs: tuple[Path, ...]
    out: Path
    method: str = "cam"
    of: str = "true"
    masks: int = 1000
    block: int = BLOCK
    batch_size: int = 16

    label = "marking images"

    @property
    def folder(self) -> Path:
        """The folder of the blocks, beside the folder of the maps."""
        return self.out.with_name(f"{self.out.name}.blocks")

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds blocks, or maps that this work wrote before its first block was complete."""
        noted = (self.folder / NOTE).is_file()
        return super().is_begun or (noted and self.out.is_dir() and any(self.out.iterdir()))

    def is_done(self, number: int) -> bool:
        """Return whether a block is finished: its table and every map that the table names exist."""
        return super().is_done(number) and all(Path(path).is_file() for path in self.drawings(number)["saliency"])

    def drawings(self, number: int) -> pd.DataFrame:
        """Return the table that `salign.machine.annotate.draw_maps` returned for a finished block."""
        table = read_parquet(self.table(number)).to_pandas()
        return table.assign(saliency=[str(self.out / name) for name in table["saliency"]])

    def describe(self, parts: Sequence[Manifest]) -> dict[str, Any]:
        """Describe the models, the images by their rows, and the options that the maps depend on."""
        rows = [part.table[["row", "path", "label"]].astype(str).to_numpy().tolist() for part in parts]
        roots = sorted({str(part.root) for part in parts})
        files = [run / name for run in self.runs for name in (check_maker(run), WEIGHTS)]
        return {
            "the models": [known_digest(path) for path in files],
            "the images": hashlib.sha256(json.dumps([roots, rows]).encode()).hexdigest(),
            "--block": self.block,
            "--batch-size": self.batch_size,
            "--method": self.method,
            "--of": self.of,
            "--masks": self.masks,
        }

    def names(self, part: Manifest) -> list[str]:
        """Return the paths of the images of a block."""
        return part.table["path"].tolist()

    def load(self) -> Maker:
        """Load the model that marks the images, on the CPU."""
        from salign.machine.makers import maker_of_runs

        return maker_of_runs(self.runs, method=self.method, of=self.of, masks=self.masks)

    def write(self, loaded: Maker, number: int, part: Manifest, table: Path) -> None:
        """Mark the images of one block."""
        from salign.machine.annotate import draw_maps

        drawings = draw_maps(part, loaded, self.out, batch_size=self.batch_size, workers=0)
        drawings.assign(saliency=[Path(path).name for path in drawings["saliency"]]).to_parquet(table, index=False)


def count_images(block: int | None, batch_size: int) -> int:
    """Return the number of images in a block, a multiple of the batch size.

    Whole batches make each map equal, to the last digit, to the map that is drawn without blocks.

    Args:
        block: the requested number; None = the largest multiple of the batch size up to `BLOCK`, but at least one
            batch.
        batch_size: images that the network takes at a time.

    Raises:
        SalignError: the requested number is not a multiple of the batch size.
    """
    if block is None:
        return max(BLOCK // batch_size, 1) * batch_size
    if block % batch_size:
        raise SalignError(
            f"--block: expected a multiple of --batch-size, which is {batch_size}, so that maps are the same to the "
            f"last digit as without blocks; got {block}."
        )
    return block


def cut_rows(rows: Manifest, size: int) -> list[Manifest]:
    """Cut the rows into blocks of `size`, with only the columns needed for marking; the last may be smaller."""
    needed = replace(rows, table=rows.table[[*COLUMNS, "row"]])
    return [needed.take(range(first, min(first + size, len(rows)))) for first in range(0, len(rows), size)]


def draw_maps_on_ray(
    job: MarkBlocks,
    parts: Sequence[Manifest],
    *,
    address: str | None = None,
    actors: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Mark every row on a Ray cluster, as `salign.machine.annotate.draw_maps` does in one process.

    The blocks are kept, so that nothing is lost before the manifest is written. The caller removes `job.folder` after
    it has written the manifest.

    Args:
        job: the work.
        parts: the result of `cut_rows`.
        address: as for `do_on_ray`, which does the blocks.
        actors: as for `do_on_ray`.
        progress: show a progress bar.

    Returns:
        What `draw_maps` returns, for all rows.

    Raises:
        SalignError: an image cannot be read, the folder holds blocks of other work, or Ray failed. Finished blocks
            stay, and the same call continues from them.
    """
    do_on_ray(job, parts, address=address, actors=actors, progress=progress)
    for partial in job.out.glob(LEFTOVERS):  # of processes that were killed while they wrote a map
        partial.unlink()
    return pd.concat([job.drawings(number) for number in range(len(parts))], ignore_index=True)
