"""Answers and maps of exported models for whole folders, as `salign predict` and `salign saliency predict` write."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from salign.data.manifest.file_names import Part, picture_names
from salign.data.manifest.image_files import check_images, no_image
from salign.data.reading.image import ImageError
from salign.errors import SalignError
from salign.evaluate.predictions import AT_THRESHOLD, LOGIT, PROB, PredictionsWriter
from salign.files import check_output, replacing
from salign.maps.files import write_map
from salign.progress import Bar
from salign.runtime.model import Answer, OnnxModel, OnnxNet


def predict_folder(
    model: OnnxModel,
    images: Path,
    out: Path,
    *,
    maps: Path | None = None,
    overlays: Path | None = None,
    batch_size: int = 32,
    workers: int = 4,
    leave_out: bool = False,
    part: Part | None = None,
    progress: bool = False,
) -> tuple[int, list[str]]:
    """Predict every image below a folder (or one image) and write the table, as `salign.runs.predict` does with torch.

    Args:
        model: the model that `load` returned.
        images: a folder, which is searched to the bottom, or an image file.
        out: `.csv` or `.parquet` file; it is replaced only when everything is done.
        maps: folder for the map of the predicted class, one PNG per image; outside of `images`.
        overlays: folder for every image with that map laid over it, one PNG per image; outside of `images`.
        batch_size: number of images that are predicted at a time.
        workers: threads that read images; 0 reads them in turn.
        leave_out: whether to go on without images that cannot be read.
        part: the images to predict, in which case it is no error if all of them are left out; None = all images.
        progress: whether to show a bar.

    Returns:
        The number of images that were predicted, and for each image that was left out what is wrong with it.

    Raises:
        SalignError: there is no image, an image cannot be read, or maps are asked of a file that has none; no table is
            written then.
    """
    check_output(out)
    for folder in (maps, overlays):
        check_images(images, folder)
        if folder is not None:
            check_output(folder, folder=True)
            model.check_maps()
    root = images if images.is_dir() else images.parent
    names = picture_names(images) if part is None else iter(part.files)
    done, left_out = 0, list[str]()
    free = [AT_THRESHOLD] if model.threshold else []
    with (
        PredictionsWriter(out, model.classes, free=free) as writer,
        ThreadPoolExecutor(max(workers, 1)) as threads,
        Bar("predicting", None, show=progress) as bar,
    ):
        while chunk := list(itertools.islice(names, batch_size)):
            files = [root / path for path, _ in chunk]
            prepared = list(threads.map(lambda path: _prepare(model, path, leave_out), files))
            left_out += [str(pixels) for pixels in prepared if isinstance(pixels, ImageError)]
            sound = {i: pixels for i, pixels in enumerate(prepared) if not isinstance(pixels, ImageError)}
            if sound:
                answers = model.answer([files[i] for i in sound], np.stack(list(sound.values())))
                writer.write(pd.DataFrame(_rows([chunk[i][0] for i in sound], answers)))
                pictures = [chunk[i][1] for i in sound]
                list(threads.map(lambda name, answer: _draw(name, answer, maps, overlays), pictures, answers))
            done += len(sound)
            bar.advance(len(chunk))
        if not done and part is None:
            raise no_image(images)
    return done, left_out


def draw_folder(
    net: OnnxNet, images: Path, out: Path, *, batch_size: int = 16, workers: int = 4, progress: bool = False
) -> int:
    """Draw the map of every image below a folder (or of one image), as `salign.runs.saliency_report` does with torch.

    Args:
        net: the net that `load_net` returned.
        images: a folder, which is searched to the bottom, or an image file.
        out: folder for 16-bit PNG files, named as `output_names` does; outside of `images`.
        batch_size: number of images that are drawn at a time.
        workers: threads that read images and write maps; 0 does so in turn.
        progress: whether to show a bar.

    Returns:
        The number of maps that were written.

    Raises:
        SalignError: there is no image, or an image cannot be read.
    """
    check_images(images, out)
    check_output(out, folder=True)
    root, names, done = images if images.is_dir() else images.parent, picture_names(images), 0
    with ThreadPoolExecutor(max(workers, 1)) as threads, Bar("predicting maps", None, show=progress) as bar:
        while chunk := list(itertools.islice(names, batch_size)):
            pixels = np.stack(list(threads.map(lambda image: net.prepare(root / image[0]), chunk)))
            maps = net.run(pixels)["map"]
            list(threads.map(lambda image, values: write_map(out / image[1], values), chunk, maps))
            done += len(chunk)
            bar.advance(len(chunk))
    return done


def _prepare(model: OnnxModel, path: Path, leave_out: bool) -> NDArray[Any] | ImageError:
    try:
        return model.prepare(path)
    except ImageError as error:
        if not leave_out:
            raise SalignError(f"{error}. --leave-out-faulty goes on without such images.") from error
        return error


def _rows(paths: list[str], answers: list[Answer]) -> Iterator[dict[str, object]]:
    for path, answer in zip(paths, answers, strict=True):
        row: dict[str, object] = {"id": path, "path": path, "split": "", "label": "", "predicted": answer.predicted}
        row |= {LOGIT + name: value for name, value in answer.logits.items()}
        row |= {PROB + name: value for name, value in answer.probabilities.items()}
        yield row if answer.at_threshold is None else row | {AT_THRESHOLD: answer.at_threshold}


def _draw(name: str, answer: Answer, maps: Path | None, overlays: Path | None) -> None:
    if maps is not None:
        _save(maps / name, Image.fromarray(np.rint(answer.scaled_map * 255).astype(np.uint8)))
    if overlays is not None:
        _save(overlays / name, answer.overlay())


def _save(path: Path, picture: Image.Image) -> None:
    with replacing(path, sync=False) as partial:
        picture.save(partial, format="PNG")
