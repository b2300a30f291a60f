"""Predictions, and class activation maps on request, for any number of images at constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from salign.data.checks.check import find_faults
from salign.data.manifest import Manifest
from salign.data.manifest.derive import MAP_FILE, free_columns
from salign.data.manifest.file_names import Part, picture_names
from salign.data.manifest.image_files import check_images, no_image
from salign.data.manifest.text_table import TEXT
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import ImageError, read_image
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.predictions import AT_THRESHOLD, LOGIT, PROB, PredictionsWriter, probabilities_of, text_of
from salign.files import check_output
from salign.losses.labels import predicted_class
from salign.maps import min_max
from salign.maps.render import overlay
from salign.models import Model
from salign.progress import Bar
from salign.types import Batch, Output

Visit = Callable[[Batch, Output], None]
_CHUNK = 4096


def predict_batches(
    classifier: Model,
    dataset: SaliencyDataset,
    *,
    batch_size: int = 32,
    workers: int | str = "auto",
    visit: Visit | None = None,
    progress: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Predict batch by batch, always in float32.

    Args:
        classifier: the model, on the device to use; it is put into evaluation mode.
        dataset: images; labels may be missing.
        batch_size: images at a time.
        workers: number of processes that read images.
        visit: called with every batch and its output, for instance to keep class activation maps.
        progress: text of a progress bar; None = no bar.

    Yields:
        Rows of the predictions table (see `salign.evaluate.predictions`), in the order of the dataset.

    Raises:
        SalignError: a logit is not finite; the message names the image.
    """
    device = next(classifier.parameters()).device
    classifier.eval()
    table, free = dataset.manifest.table, free_columns(dataset.manifest)
    with Bar(progress or "", len(dataset), show=progress is not None) as bar, torch.inference_mode():
        for batch in predict_loader(dataset, batch_size, workers):
            output = classifier(batch.images.to(device))
            if visit is not None:
                visit(batch, output)
            logits = output.logits.float().cpu()
            if len(wrong := (~logits.isfinite()).any(1).nonzero()):
                where = dataset.manifest.where(int(batch.index[wrong[0, 0]]))
                raise SalignError(
                    f"{where}: the network's answer is not finite, so that it names no class. Are the weights whole, "
                    "and did training not diverge (train.lr)?"
                )
            rows = table.iloc[batch.index.numpy()]
            bar.advance(len(rows))
            yield pd.DataFrame(
                {
                    **{name: text_of(rows, name).to_numpy() for name in ("id", "path", "split", "label")},
                    "predicted": classifier.answers(logits),
                    **_columns(LOGIT, classifier.classes, logits),
                    **_columns(PROB, classifier.classes, classifier.probabilities(logits.double())),
                    **{name: text_of(rows, name).to_numpy() for name in free},
                }
            )


def predict_folder(
    classifier: Model,
    images: Path,
    out: Path,
    *,
    maps: Path | None = None,
    overlays: Path | None = None,
    batch_size: int = 32,
    workers: int | str = "auto",
    leave_out: bool = False,
    part: Part | None = None,
    progress: bool = False,
) -> tuple[int, list[str]]:
    """Predict every image below a folder (or one image) and write the table.

    If the classifier has a threshold, the column `AT_THRESHOLD` names the class according to the threshold, while
    `predicted` names the class of the highest probability.

    Args:
        classifier: the model, which also decides the size that images are scaled to.
        images: folder, searched with all its subfolders, or a file.
        out: `.csv` or `.parquet`; an existing file is replaced only when all is done.
        maps: folder for the class activation map of the predicted class, one 8-bit PNG per image, min-max scaled; it
            must lie outside of `images`. If several classes are predicted, the map is the mean of theirs; if none is,
            it is zero everywhere.
        overlays: folder for every image at its own size with that map laid over it, one PNG each; it must lie outside
            of `images`.
        batch_size: images at a time.
        workers: number of processes that read images.
        leave_out: leave out images that cannot be read, instead of stopping.
        part: the images to predict; with a part, it is no error if all its images are left out; None = all images.
        progress: show a progress bar.

    Returns:
        The number of images that were predicted, and the faults of the images that were left out.

    Raises:
        SalignError: there is no image, or an image cannot be read; the table is not written then.
    """
    check_output(out)
    folders = [folder for folder in (maps, overlays) if folder is not None]
    for folder in folders:
        check_images(images, folder)
        check_output(folder, folder=True)
    done, left_out, threshold = 0, list[str](), classifier.threshold
    with PredictionsWriter(out, classifier.classes, free=[AT_THRESHOLD] if threshold else []) as writer:
        for manifest in folder_manifests(images, maps, part):
            if leave_out:
                faults = find_faults(manifest, decode=True)
                left_out += [fault.message for fault in faults]
                faulty = {fault.row for fault in faults}
                manifest = manifest.take([i for i, row in enumerate(manifest.table["row"]) if row not in faulty])
            if len(manifest):
                dataset = SaliencyDataset(manifest, classifier.classes, build_transform(classifier.image_size))
                batches = predict_batches(
                    classifier,
                    dataset,
                    batch_size=batch_size,
                    workers=workers if len(manifest) > 4 * batch_size else 0,
                    visit=_map_writer(manifest, maps, overlays, classifier.multi_label) if folders else None,
                    progress=f"predicting, {done} done" if progress else None,
                )
                for rows in _with_remedy(batches):
                    if threshold:
                        called = threshold.answers(probabilities_of(rows, classifier.classes), classifier.classes)
                        rows[AT_THRESHOLD] = called
                    writer.write(rows)
                    done += len(rows)
        if not done and part is None:
            raise no_image(images)
    return done, left_out


def _with_remedy(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the same batches; add the option that leaves unreadable images out to the message about such an image."""
    try:
        yield from batches
    except ImageError as error:
        raise SalignError(f"{error}. --leave-out-faulty goes on without such images.") from error


def folder_manifests(images: Path, maps: Path | None = None, part: Part | None = None) -> Iterator[Manifest]:
    """Yield manifests without labels of all images below a folder (or of one image), a few thousand images each.

    The column `MAP_FILE` is the file name of each image's map, for callers that write maps.

    Args:
        images: folder, searched with all its subfolders in a fixed order, or a file.
        maps: folder that maps will be written to, which must not be among the images; None = no maps are written.
        part: the images to list; None = all.

    Raises:
        SalignError: there is no image, or the maps would replace images.
    """
    check_images(images, maps)
    root = images if images.is_dir() else images.parent
    files, count = (picture_names(images), 0) if part is None else (iter(part.files), part.first)
    while chunk := list(itertools.islice(files, _CHUNK)):
        yield _unlabelled(chunk, root, first=count)
        count += len(chunk)


def _columns(prefix: str, classes: Sequence[str], values: torch.Tensor) -> dict[str, list[float]]:
    return {prefix + name: values[:, k].tolist() for k, name in enumerate(classes)}


def _unlabelled(files: list[tuple[str, str]], root: Path, first: int) -> Manifest:
    paths, names = zip(*files, strict=True)
    table = pd.DataFrame({"id": paths, "path": paths, MAP_FILE: names}, dtype=TEXT)
    nothing = pd.Series(pd.NA, index=table.index, dtype=TEXT)
    table = table.assign(label=nothing, split=nothing, saliency=nothing, row=np.arange(len(files)) + first + 1)
    return Manifest(table, root.resolve(), source="")


def _map_writer(manifest: Manifest, maps: Path | None, overlays: Path | None, multi_label: bool) -> Visit:
    def write(batch: Batch, output: Output) -> None:
        classes = predicted_class(output.logits, multi_label=multi_label)
        scaled = min_max(output.cam(classes)).float().cpu()
        for position, values in zip(batch.index.tolist(), scaled, strict=True):
            name = str(manifest.table[MAP_FILE].iat[position])
            if maps is not None:
                _save(maps / name, Image.fromarray(values.mul(255).round().byte().numpy()))
            if overlays is not None:
                image = read_image(manifest.image_path(position), where=manifest.where(position))
                _save(overlays / name, overlay(image, values))

    return write


def _save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
