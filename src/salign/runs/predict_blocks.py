"""Prediction of a folder of images, block by block on Ray; see `salign.runs.blocks`.

A finished block has two files: its rows, `000000.parquet`, and the list of what was left out of it, `000000.json`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salign.class_names import GIVEN
from salign.data.manifest.file_names import Part, picture_names
from salign.data.manifest.image_files import check_images, no_image
from salign.files import replace_text
from salign.models.config import WEIGHTS, describe_model, description_file
from salign.models.threshold import Threshold
from salign.readers import known_digest, read_parquet, read_text
from salign.runs.blocks import BLOCK, Blocks, do_on_ray

Opened = tuple[Callable[..., tuple[int, list[Any]]], Any]
"""A function `predict_folder`, and the model that it takes."""


@dataclass(frozen=True)
class PredictBlocks(Blocks[Part]):
    """A job that predicts images by a model, and where it writes the answers.

    Args:
        run: folder of a run, or an ONNX file of `salign export`.
        images: folder, searched with all its subfolders, or a file.
        out: `.csv` or `.parquet`.
        maps: folder for the class activation maps; None = no maps are written.
        overlays: folder for the images with that map laid over them; None = no overlays are written.
        block: images in a block. The batches are the same as without blocks if this is a multiple of `batch_size`, and
            a divisor or a multiple of the 4,096 images that `salign.runs.predict.predict_folder` takes at a time.
        batch_size: images that the network takes at a time.
        workers: number of processes or threads that read images for each actor.
        threshold: probability that replaces the threshold chosen on validation; None = keep that threshold.
        leave_out: leave out images that cannot be read, instead of stopping.
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

    label = "predicting"

    @property
    def folder(self) -> Path:
        """The folder of the blocks."""
        return self.out.with_name(f"{self.out.name}.blocks")

    def left_out(self, number: int) -> list[str]:
        """Return the faults of the images that were left out of a finished block."""
        return list(json.loads(read_text(self.table(number).with_suffix(".json"))))

    def is_done(self, number: int) -> bool:
        """Return whether a block is finished; a block with images left out counts only if leaving out is allowed."""
        return super().is_done(number) and (self.leave_out or not self.left_out(number))

    def describe(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Describe the model, the images by their names, and the options that the answers depend on.

        The batch size is not among them, so that after a lack of memory the work goes on with a smaller one. It changes
        no more than how a logit is rounded.
        """
        names = hashlib.sha256(json.dumps([str(self.images.resolve()), [part.files for part in parts]]).encode())
        model = [self.run] if self.run.suffix == ".onnx" else [description_file(self.run), self.run / WEIGHTS]
        return {
            "the model": [known_digest(path) for path in model],
            "the images": names.hexdigest(),
            "--block": self.block,
            "--threshold": self.threshold,
            "--maps": None if self.maps is None else str(self.maps.resolve()),
            "--overlays": None if self.overlays is None else str(self.overlays.resolve()),
        }

    def names(self, part: Part) -> list[str]:
        """Return the paths of the images of a block."""
        return [path for path, _ in part.files]

    def load(self) -> Opened:
        """Load the model; see `open_model`."""
        return open_model(self.run, self.threshold)

    def write(self, loaded: Opened, number: int, part: Part, table: Path) -> None:
        """Predict one block."""
        predicting, model = loaded
        _, faults = predicting(
            model,
            self.images,
            table,
            maps=self.maps,
            overlays=self.overlays,
            batch_size=self.batch_size,
            workers=self.workers,
            leave_out=self.leave_out,
            part=part,
        )
        replace_text(self.table(number).with_suffix(".json"), json.dumps(faults))


def open_model(run: Path, threshold: float | None = None) -> Opened:
    """Return the `predict_folder` for a run or an ONNX file, and the model that it takes.

    Args:
        run: folder of a run, or an ONNX file of `salign export`.
        threshold: probability that replaces the threshold chosen on validation; None = keep that threshold.

    Raises:
        SalignError: there is no model, or it is damaged.
    """
    if run.suffix == ".onnx":
        from salign.runtime import load as load_file
        from salign.runtime.folder import predict_folder as by_onnxruntime

        return by_onnxruntime, load_file(run) if threshold is None else load_file(run).with_threshold(threshold)
    from salign.models import load
    from salign.runs.predict import predict_folder as by_torch

    model = load(run)
    if threshold is not None:
        model.threshold = _threshold_of_run(run, threshold)
    return by_torch, model


def threshold_of(run: Path, threshold: float | None = None) -> object | None:
    """Return the threshold of the model that `open_model` gives; for a run, the network is not loaded.

    Args:
        run: as for `open_model`.
        threshold: as for `open_model`.

    Raises:
        SalignError: there is no model, or it is damaged.
    """
    if run.suffix == ".onnx":
        return open_model(run, threshold)[1].threshold
    return _threshold_of_run(run, threshold)


def _threshold_of_run(run: Path, threshold: float | None) -> Threshold | None:
    described = describe_model(run).get("threshold")
    if described is None:
        return None
    changes = {} if threshold is None else {"probability": threshold, "rule": GIVEN}
    return Threshold(**{**described, **changes})


def cut(images: Path, size: int) -> list[Part]:
    """Cut all images of a folder into blocks of `size`; the last may be smaller.

    Raises:
        SalignError: there is no image.
    """
    check_images(images)
    names, parts = picture_names(images), list[Part]()
    while files := list(itertools.islice(names, size)):
        parts.append(Part(len(parts) * size, files))
    return parts


def join(job: PredictBlocks, count: int) -> tuple[int, list[str]]:
    """Write the table from its blocks, with one block in memory at a time, and remove the blocks.

    Args:
        job: the work that was done.
        count: number of blocks.

    Returns:
        The number of images that were predicted, and the faults of the images that were left out.

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
    job: PredictBlocks,
    parts: Sequence[Part] | None = None,
    *,
    address: str | None = None,
    actors: int | None = None,
    progress: bool = False,
) -> tuple[int, list[str]]:
    """Predict every image of a folder on a Ray cluster, and write the table that `predict_folder` writes.

    Args:
        job: the work.
        parts: the result of `cut`; None = `cut` is called here.
        address: as for `do_on_ray`, which does the blocks.
        actors: as for `do_on_ray`.
        progress: show a progress bar.

    Returns:
        The number of images that were predicted, and the faults of the images that were left out.

    Raises:
        SalignError: an image cannot be read, the folder holds blocks of other work, or Ray failed. Finished blocks
            stay, and the same call continues from them.
    """
    parts = cut(job.images, job.block) if parts is None else parts
    do_on_ray(job, parts, address=address, actors=actors, progress=progress)
    return join(job, len(parts))
