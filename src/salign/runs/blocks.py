"""Long work on images, done block by block on Ray; after an interruption, the same command continues with what is left.

A finished block is a file. The blocks lie in a folder beside the final output (`predictions.csv.blocks`) until all are
done: `000000.parquet` is the table of the first block, and `job.json` describes the models, images and options that all
blocks were made with.
"""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from salign.errors import SalignError
from salign.files import check_output, replace_text
from salign.progress import Bar
from salign.readers import read_text
from salign.runs.cluster import ATTEMPTS, connect

BLOCK = 1024
"""The default number of images in a block."""
NOTE = "job.json"
"""The file that describes the models, images and options that the blocks beside it were made with."""

Part = TypeVar("Part")
"""The images of one block."""


class Blocks(ABC, Generic[Part]):
    """Work that is done block by block. The object is sent to the processes that do the work."""

    label: str
    """What the progress bar says is being done."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of the blocks."""

    @abstractmethod
    def describe(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Describe, as JSON, everything that must be equal to continue from blocks that were made before.

        The keys appear in error messages.
        """

    @abstractmethod
    def names(self, part: Part) -> Sequence[str]:
        """Return the paths of the images of a block."""

    @abstractmethod
    def load(self) -> Any:
        """Load what a process needs once for all its blocks.

        Raises:
            SalignError: there is no model, or it is damaged.
        """

    @abstractmethod
    def write(self, loaded: Any, number: int, part: Part, table: Path) -> None:
        """Do a block, and write its table to the file `table`.

        Raises:
            SalignError: an image cannot be read, or a file cannot be written.
        """

    def table(self, number: int) -> Path:
        """Return the path of a block's table."""
        return self.folder / f"{number:06d}.parquet"

    def is_done(self, number: int) -> bool:
        """Return whether a block is finished."""
        return self.table(number).is_file()

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds finished blocks, which must not be mixed with other work."""
        return any(self.folder.glob("*.parquet"))


def check_blocks(job: Blocks[Part], parts: Sequence[Part]) -> dict[str, Any]:
    """Refuse to continue from blocks that were made differently; write nothing.

    Args:
        job: the work to do.
        parts: its blocks.

    Returns:
        The description of the work, as `job.json` holds it.

    Raises:
        SalignError: the blocks there were made by another model, of other images or with other options, or the folder
            cannot be written to.
    """
    check_output(job.folder, folder=True)
    made_of = job.describe(parts)
    if job.is_begun and (there := json.loads(read_text(job.folder / NOTE))) != made_of:
        differ = " and ".join(key for key in made_of if there.get(key) != made_of[key])
        raise SalignError(
            f"{job.folder} holds blocks that were made before, and {differ} differed then. Give the same again, "
            "another --out, or delete that folder."
        )
    return made_of


def do_block(job: Blocks[Part], loaded: Any, number: int, part: Part) -> None:
    """Do one block. Its table is put in its place only when it is complete.

    Args:
        job: the work.
        loaded: what `job.load` returned.
        number: number of the block, from 0.
        part: its images.

    Raises:
        SalignError: an image cannot be read, the block cannot be written, or `ATTEMPTS` processes died while they
            worked on it.
    """
    table = job.table(number)
    if len(list(job.folder.glob(f"{number:06d}-*"))) >= ATTEMPTS:
        raise SalignError(f"Block {number} ({job.names(part)[0]}, ...): its process died {ATTEMPTS} times.")
    with tempfile.TemporaryDirectory(prefix=f"{number:06d}-", dir=job.folder, ignore_cleanup_errors=True) as work:
        partial = Path(work) / table.name
        job.write(loaded, number, part, partial)
        partial.replace(table)


def do_on_ray(
    job: Blocks[Part],
    parts: Sequence[Part],
    *,
    address: str | None = None,
    actors: int | None = None,
    progress: bool = False,
) -> None:
    """Do all unfinished blocks on a Ray cluster.

    Each actor loads the model once and takes one block at a time. If an actor dies, its block is started again. All
    machines of the cluster must see the model, the images and the output under the same paths.

    Args:
        job: the work.
        parts: its blocks.
        address: address of the cluster; see `salign.runs.cluster.connect`.
        actors: number of processes that do blocks, each on one CPU; None = one per CPU of the cluster.
        progress: show a progress bar.

    Raises:
        SalignError: an image cannot be read, the folder holds blocks of other work, or Ray failed. Finished blocks
            stay, and the same call continues from them.
    """
    made_of = check_blocks(job, parts)
    left = [(number, part) for number, part in enumerate(parts) if not job.is_done(number)]
    job.folder.mkdir(parents=True, exist_ok=True)
    for begun in job.folder.glob("*-*"):  # of processes killed in an earlier call; `do_block` counts this call's
        shutil.rmtree(begun)
    replace_text(job.folder / NOTE, json.dumps(made_of))
    total = sum(len(job.names(part)) for part in parts)
    done = total - sum(len(job.names(part)) for _, part in left)
    with Bar(job.label, total, show=progress, done=done) as bar:
        for number in _on_ray(job, left, address, actors) if left else ():
            bar.advance(len(job.names(parts[number])))


def _on_ray(job: Blocks[Part], left: list[tuple[int, Part]], address: str | None, actors: int | None) -> Iterator[int]:
    """Yield the number of each block when it is finished."""
    ray = connect(address)
    import logging

    import ray.data as ray_data

    ray_data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    most = min(int(ray.cluster_resources().get("CPU", 1)), len(left))
    rows = [{"number": number, "part": pickle.dumps(part)} for number, part in left]  # Arrow cannot hold our objects
    answers = ray_data.from_items(rows, override_num_blocks=len(rows)).map(
        cast(Callable[[dict[str, Any]], dict[str, Any]], _Actor),
        fn_constructor_args=[job],
        compute=ray_data.ActorPoolStrategy(size=max(1, min(actors or most, most))),
        num_cpus=1,
    )
    try:
        for answer in answers.iter_rows():
            if answer["error"]:
                raise SalignError(f"{answer['error']} Finished blocks stay in {job.folder}.")
            yield int(answer["number"])
    except ray.exceptions.RayError as error:
        raise SalignError(
            f"Ray gave up: {type(error).__name__}: {error}. Finished blocks stay in {job.folder}; the same command "
            "goes on from them."
        ) from error


class _Actor:
    """A worker process of the cluster that does blocks."""

    def __init__(self, job: Blocks[Any]) -> None:
        self.job, self.error = job, ""
        try:
            self.loaded = job.load()
        except (SalignError, OSError) as error:  # raised here, it would make Ray restart the actor
            self.error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["number"])
        if self.error:
            return {"number": number, "error": self.error}
        try:
            do_block(self.job, self.loaded, number, pickle.loads(row["part"]))
        except (SalignError, OSError) as error:  # returned as text, because Ray would wrap an exception in its own
            return {"number": number, "error": str(error)}
        return {"number": number, "error": ""}
