"""Prediction block by block, on Ray: a block that is finished is a file, and the same command goes on after the last.

The blocks lie in a folder beside the table (`predictions.csv.blocks`) until they are joined: `000000.parquet` holds the
rows of the first block, `000000.json` what was left out of it, and `job.json` what all of them were made of.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from salign.data.manifest.file_names import Part, picture_names
from salign.data.manifest.image_files import check_images, no_image
from salign.errors import SalignError
from salign.files import check_output, replace_text
from salign.models.config import WEIGHTS, description_file
from salign.progress import Bar
from salign.readers import known_digest, read_parquet, read_text
from salign.runs.cluster import ATTEMPTS, connect

BLOCK = 1024
"""Images in a block: whole batches, and whole ones of the pieces that `predict_folder` goes in."""


@dataclass(frozen=True)
class Job:
    """Which images are predicted by which model, and where the answers go.

    Args:
        run: folder of a run, or an ONNX file of `salign export`.
        images: folder, searched to the bottom, or a file.
        out: `.csv` or `.parquet`.
        maps: folder for the class activation maps; None = none.
        overlays: folder for the images with that map laid over; None = none.
        block: images in a block.
        batch_size: images that the network takes at a time.
        workers: processes or threads that read images for each actor.
        threshold: probability that takes the place of the threshold chosen on validation; None = that one.
        leave_out: go on without images that cannot be read.
    """

    run: Path
    images: Path
    out: Path
    maps: Path | None = None
    overlays: Path | None = None
    block: int = BLOCK
    batch_size: int = 32
    workers: int = 0
    threshold: float | None = None
    leave_out: bool = False

    @property
    def folder(self) -> Path:
        """Where the blocks lie."""
        return self.out.with_name(f"{self.out.name}.blocks")

    def table(self, number: int) -> Path:
        """The file with the rows of a block."""
        return self.folder / f"{number:06d}.parquet"

    def left_out(self, number: int) -> list[str]:
        """What was left out of a finished block."""
        return list(json.loads(read_text(self.table(number).with_suffix(".json"))))

    def is_done(self, number: int) -> bool:
        """Whether a block need not be predicted again."""
        return self.table(number).is_file() and (self.leave_out or not self.left_out(number))


def open_model(run: Path, threshold: float | None = None) -> tuple[Callable[..., tuple[int, list[Any]]], Any]:
    """The `predict_folder` for a run or an ONNX file, and the model that it takes.

    Args:
        run: folder of a run, or an ONNX file of `salign export`.
        threshold: probability that takes the place of the threshold chosen on validation; None = that one.

    Raises:
        SalignError: no model is there, or a damaged one.
    """
    if run.suffix == ".onnx":
        from salign.runtime import load as load_file
        from salign.runtime.folder import predict_folder as by_onnxruntime

        return by_onnxruntime, load_file(run) if threshold is None else load_file(run).with_threshold(threshold)
    from salign.class_names import GIVEN
    from salign.models import load
    from salign.runs.predict import predict_folder as by_torch

    model = load(run)
    if threshold is not None and model.threshold is not None:
        model.threshold = model.threshold.model_copy(update={"probability": threshold, "rule": GIVEN})
    return by_torch, model


def cut(images: Path, size: int) -> list[Part]:
    """All images of a folder in blocks of `size`; the last may be smaller.

    Raises:
        SalignError: there is no image.
    """
    check_images(images)
    names, parts = picture_names(images), list[Part]()
    while files := list(itertools.islice(names, size)):
        parts.append(Part(len(parts) * size, files))
    return parts


def check_blocks(job: Job, parts: Sequence[Part]) -> dict[str, Any]:
    """Refuse what does not go on from the blocks that lie there; nothing is written.

    Args:
        job: what is to be done.
        parts: what `cut` gave for it.

    Returns:
        what the blocks are made of, as `job.json` holds it.

    Raises:
        SalignError: the blocks there were made by another model or of other images, with other options, or they cannot
            be written to.
    """
    check_output(job.folder, folder=True)
    names = hashlib.sha256(json.dumps([str(job.images.resolve()), [part.files for part in parts]]).encode())
    model = [job.run] if job.run.suffix == ".onnx" else [description_file(job.run), job.run / WEIGHTS]
    made_of = {
        "the model": [known_digest(path) for path in model],
        "the images": names.hexdigest(),
        "--block": job.block,
        "--threshold": job.threshold,
        "--maps": None if job.maps is None else str(job.maps.resolve()),
        "--overlays": None if job.overlays is None else str(job.overlays.resolve()),
    }
    note = job.folder / "job.json"
    if any(job.folder.glob("*.parquet")) and (there := json.loads(read_text(note))) != made_of:
        differ = " and ".join(key for key in made_of if there.get(key) != made_of[key])
        raise SalignError(
            f"{job.folder} holds blocks that were predicted before, and {differ} differed then. Give the same again, "
            "another --out, or delete that folder."
        )
    return made_of


def predict_block(opened: tuple[Callable[..., tuple[int, list[Any]]], Any], job: Job, number: int, part: Part) -> None:
    """Predict one block; its file is there when it is whole.

    Args:
        opened: what `open_model` gave.
        job: what is done.
        number: that of the block.
        part: its images.

    Raises:
        SalignError: an image cannot be read, the block cannot be written, or `ATTEMPTS` processes died at it.
    """
    predicting, model = opened
    table = job.table(number)
    if len(list(job.folder.glob(f"{number:06d}-*"))) >= ATTEMPTS:
        raise SalignError(f"Block {number} ({part.files[0][0]}, ...): its process died {ATTEMPTS} times.")
    with tempfile.TemporaryDirectory(prefix=f"{number:06d}-", dir=job.folder, ignore_cleanup_errors=True) as work:
        partial = Path(work) / table.name
        _, faults = predicting(
            model,
            job.images,
            partial,
            maps=job.maps,
            overlays=job.overlays,
            batch_size=job.batch_size,
            workers=job.workers,
            leave_out=job.leave_out,
            part=part,
        )
        replace_text(table.with_suffix(".json"), json.dumps(list(map(str, faults))))
        partial.replace(table)


def join(job: Job, count: int) -> tuple[int, list[str]]:
    """Write the table from its blocks, one in memory at a time, and remove them.

    Args:
        job: what was done.
        count: number of blocks.

    Returns:
        How many images were predicted, and what is wrong with those left out.

    Raises:
        SalignError: a block cannot be read, the table cannot be written, or all images were left out.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    from salign.evaluate.predictions import PredictionsWriter, classes_of, columns_for

    columns = pq.read_schema(job.table(0)).names
    classes = classes_of(pd.DataFrame(columns=columns))
    with PredictionsWriter(job.out, classes, columns[len(columns_for(classes)) :]) as writer:
        for number in range(count):
            writer.write(read_parquet(job.table(number)).to_pandas())
        if not writer.rows:
            raise no_image(job.images)
    faults = [fault for number in range(count) for fault in job.left_out(number)]
    shutil.rmtree(job.folder)
    return writer.rows, faults


def predict_on_ray(
    job: Job,
    parts: Sequence[Part] | None = None,
    *,
    address: str | None = None,
    actors: int | None = None,
    progress: bool = False,
) -> tuple[int, list[str]]:
    """Predict every image of a folder on a Ray cluster, and write the table that `predict_folder` writes.

    Each actor loads the model once and takes a block at a time. The block of an actor that dies is begun again. All
    machines of the cluster must see run, images and output under the same path.

    Args:
        job: what is done.
        parts: what `cut` gave for it; None = the images are listed here.
        address: address of the cluster; see `salign.runs.cluster.connect`.
        actors: copies of the model, each on one CPU; None = one per CPU of the cluster.
        progress: show a bar.

    Returns:
        How many images were predicted, and what is wrong with those left out.

    Raises:
        SalignError: an image cannot be read, blocks of something else lie there, or Ray gave up. Finished blocks stay,
            and the same call goes on from them.
    """
    parts = cut(job.images, job.block) if parts is None else parts
    made_of = check_blocks(job, parts)
    left = [(number, part) for number, part in enumerate(parts) if not job.is_done(number)]
    job.folder.mkdir(parents=True, exist_ok=True)
    for begun in job.folder.glob("*-*"):  # by processes killed earlier; `predict_block` counts those of now
        shutil.rmtree(begun)
    replace_text(job.folder / "job.json", json.dumps(made_of))
    total = sum(len(part.files) for part in parts)
    done = total - sum(len(part.files) for _, part in left)
    with Bar("predicting", total, show=progress, done=done) as bar:
        for number in _on_ray(job, left, address, actors) if left else ():
            bar.advance(len(parts[number].files))
    return join(job, len(parts))


def _on_ray(job: Job, left: list[tuple[int, Part]], address: str | None, actors: int | None) -> Iterator[int]:
    """Numbers of blocks, as they are finished."""
    ray = connect(address)
    import logging

    import ray.data as ray_data

    ray_data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    most = min(int(ray.cluster_resources().get("CPU", 1)), len(left))
    rows = [
        {"number": number, "first": part.first, "paths": [path for path, _ in part.files],
         "names": [name for _, name in part.files]}
        for number, part in left
    ]  # fmt: skip
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
    """Predicts blocks in a process of the cluster."""

    def __init__(self, job: Job) -> None:
        self.job, self.error = job, ""
        try:
            self.opened = open_model(job.run, job.threshold)
        except (SalignError, OSError) as error:  # Ray would begin the actor again
            self.error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, files = int(row["number"]), list(zip(row["paths"], row["names"], strict=True))
        if self.error:
            return {"number": number, "error": self.error}
        try:
            predict_block(self.opened, self.job, number, Part(int(row["first"]), files))
        except (SalignError, OSError) as error:  # it is told once, and Ray would wrap it in its own
            return {"number": number, "error": str(error)}
        return {"number": number, "error": ""}
