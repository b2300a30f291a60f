"""Long work on images block by block, on Ray: a finished block is a file, and the same command goes on after the last.

The blocks lie in a folder beside what becomes of them (`predictions.csv.blocks`) until all are done: `000000.parquet`
is the table of the first block, and `job.json` says what all of them were made of.
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
"""Images in a block."""
NOTE = "job.json"
"""The file that says what the blocks beside it are made of."""

Part = TypeVar("Part")
"""The images of one block."""


class Blocks(ABC, Generic[Part]):
    """Work that is done block by block; it travels to the processes that do it."""

    label: str
    """What is being done, for the bar."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the blocks lie."""

    @abstractmethod
    def describe(self, parts: Sequence[Part]) -> dict[str, Any]:
        """What must be the same for whoever goes on from blocks that lie there, as JSON; the keys stand in messages."""

    @abstractmethod
    def names(self, part: Part) -> Sequence[str]:
        """Paths of the images of a block."""

    @abstractmethod
    def load(self) -> Any:
        """What a process loads once for all blocks that it does.

        Raises:
            SalignError: no model is there, or a damaged one.
        """

    @abstractmethod
    def write(self, loaded: Any, number: int, part: Part, table: Path) -> None:
        """Do a block, and write its table to this file.

        Raises:
            SalignError: an image cannot be read, or something cannot be written.
        """

    def table(self, number: int) -> Path:
        """The file with the table of a block."""
        return self.folder / f"{number:06d}.parquet"

    def is_done(self, number: int) -> bool:
        """Whether a block need not be done again."""
        return self.table(number).is_file()

    @property
    def is_begun(self) -> bool:
        """Whether something lies there that must not be mixed with other work."""
        return any(self.folder.glob("*.parquet"))


def check_blocks(job: Blocks[Part], parts: Sequence[Part]) -> dict[str, Any]:
    """Refuse what does not go on from the blocks that lie there; nothing is written.

    Args:
        job: what is to be done.
        parts: its blocks.

    Returns:
        what the blocks are made of, as `job.json` holds it.

    Raises:
        SalignError: the blocks there were made by another model or of other images, with other options, or they cannot
            be written to.
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
    """Do one block; its file is there when it is whole.

    Args:
        job: what is done.
        loaded: what `load` of the job gave.
        number: that of the block.
        part: its images.

    Raises:
        SalignError: an image cannot be read, the block cannot be written, or `ATTEMPTS` processes died at it.
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
    """Do all blocks that are not done yet on a Ray cluster.

    Each actor loads once what it needs and takes a block at a time. The block of an actor that dies is begun again. All
    machines of the cluster must see the model, the images and the output under the same path.

    Args:
        job: what is done.
        parts: its blocks.
        address: address of the cluster; see `salign.runs.cluster.connect`.
        actors: processes that do blocks, each on one CPU; None = one per CPU of the cluster.
        progress: show a bar.

    Raises:
        SalignError: an image cannot be read, blocks of something else lie there, or Ray gave up. Finished blocks stay,
            and the same call goes on from them.
    """
    made_of = check_blocks(job, parts)
    left = [(number, part) for number, part in enumerate(parts) if not job.is_done(number)]
    job.folder.mkdir(parents=True, exist_ok=True)
    for begun in job.folder.glob("*-*"):  # by processes killed earlier; `do_block` counts those of now
        shutil.rmtree(begun)
    replace_text(job.folder / NOTE, json.dumps(made_of))
    total = sum(len(job.names(part)) for part in parts)
    done = total - sum(len(job.names(part)) for _, part in left)
    with Bar(job.label, total, show=progress, done=done) as bar:
        for number in _on_ray(job, left, address, actors) if left else ():
            bar.advance(len(job.names(parts[number])))


def _on_ray(job: Blocks[Part], left: list[tuple[int, Part]], address: str | None, actors: int | None) -> Iterator[int]:
    """Numbers of blocks, as they are finished."""
    ray = connect(address)
    import logging

    import ray.data as ray_data

    ray_data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    most = min(int(ray.cluster_resources().get("CPU", 1)), len(left))
    rows = [{"number": number, "part": pickle.dumps(part)} for number, part in left]  # Arrow knows no objects of ours
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
    """Does blocks in a process of the cluster."""

    def __init__(self, job: Blocks[Any]) -> None:
        self.job, self.error = job, ""
        try:
            self.loaded = job.load()
        except (SalignError, OSError) as error:  # Ray would begin the actor again
            self.error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["number"])
        if self.error:
            return {"number": number, "error": self.error}
        try:
            do_block(self.job, self.loaded, number, pickle.loads(row["part"]))
        except (SalignError, OSError) as error:  # it is told once, and Ray would wrap it in its own
            return {"number": number, "error": str(error)}
        return {"number": number, "error": ""}
