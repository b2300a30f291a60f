"""Clones of a data set: images drawn from a normal distribution, which share only the moments of their class with it.

The method is that of Refinetti, Ingrosso & Goldt, *Neural networks trained with SGD learn distributions of increasing
complexity* (arXiv 2211.11567). A network that was trained on clones shows what can be learned from these moments alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from salign.checks import choice, number
from salign.class_names import SEPARATOR
from salign.data.manifest import Manifest, map_columns
from salign.data.manifest.derive import move_root
from salign.data.manifest.file_names import slugs
from salign.errors import SalignError, one_of
from salign.files import check_output, common_folder, relative_path
from salign.progress import Bar

Order = Literal[1, 2]
Region = Literal["all", "inside", "outside"]
Pixels = npt.NDArray[np.uint8]
RIDGE = 1e-3
"""Variance that is added to every pixel of a clone of order 2, as published, where black is 0 and white is 1."""
_BLOCK = 8_000_000
"""Number of values that are computed at a time."""


class Cloned(NamedTuple):
    """What `clone_set` wrote."""

    manifest: Path
    images: int
    """Number of clones."""
    unmarked: int
    """Number of images that stay as they are, because nobody marked a region on them."""


def draw_clones(pixels: Pixels, order: Order, generators: Sequence[np.random.Generator]) -> npt.NDArray[np.float32]:
    """Draw clones from the normal distribution with the moments of some images.

    With order 1, the distribution has the mean of the images and, in every direction, the variance averaged over their
    pixels. With order 2, it has their mean and their covariance, with `RIDGE` added to the variance in every direction.
    The covariance, `(D, D)`, is never formed: if `X` are the centred images and `a` are `n` independent standard normal
    numbers, `X^T a / sqrt(n - 1)` has this covariance. (The published code uses the singular values of `X`, which draws
    from the same distribution and takes longer.)

    Args:
        pixels: `(n, D)` in 0..255, two or more images.
        order: 1 or 2.
        generators: a generator for each clone.

    Returns:
        `(len(generators), D)` float32, where black is 0 and white is 1; the values are neither clamped nor rounded.

    Raises:
        SalignError: the order is neither 1 nor 2, or there are fewer than two images.
    """
    choice("order", order, Order)
    if pixels.ndim != 2 or len(pixels) < 2:
        raise SalignError(f"pixels: expected two or more images (n, D), got {pixels.shape}.")
    count, numbers = pixels.shape
    rows = max(1, _BLOCK // numbers)
    parts = [slice(start, start + rows) for start in range(0, count, rows)]
    mean = sum(pixels[part].sum(0, dtype=np.float64) for part in parts) / (255 * count)

    def centred(part: slice) -> npt.NDArray[np.float32]:
        return pixels[part].astype(np.float32) / 255 - mean.astype(np.float32)

    draws = np.empty((len(generators), numbers), np.float32)
    if order == 1:
        squares = sum(float(np.square(centred(part), dtype=np.float64).sum()) for part in parts)
        deviation = np.sqrt(squares / ((count - 1) * numbers))
        for draw, generator in zip(draws, generators, strict=True):
            generator.standard_normal(dtype=np.float32, out=draw)
        draws *= np.float32(deviation)
    else:
        share = np.stack([generator.standard_normal(count, dtype=np.float32) for generator in generators])
        share /= np.float32(np.sqrt(count - 1))
        for draw, generator in zip(draws, generators, strict=True):
            generator.standard_normal(dtype=np.float32, out=draw)
        draws *= np.float32(np.sqrt(RIDGE))
        for part in parts:
            draws += share[:, part] @ centred(part)
    draws += mean.astype(np.float32)
    return draws


def clone_set(
    manifest: Manifest,
    out: Path | str,
    *,
    order: Order,
    seed: int,
    split: str = "train",
    size: int | tuple[int, int] | None = None,
    region: Region = "all",
    progress: bool = False,
) -> Cloned:
    """Write clones of the images of a split, and a manifest in which they replace these images; all other rows stay.

    With the region "all", there are as many clones as images, and equally many of each class. With another region,
    each image has one clone, which replaces only that part of the image; labels and maps are those of the images.

    Args:
        manifest: the data set.
        out: the folder to write to, which must be empty or new.
        order: see `draw_clones`.
        seed: decides every clone; equal seeds give equal files.
        split: the split whose images are cloned.
        size: (H, W) that images are brought to, or one number for a square; None = all images have the same size.
        region: which part of an image is replaced: "all" of it, what people marked ("inside"), or the rest ("outside"),
            with soft edges where the map has them. An image that nobody marked stays as it is if a part is asked for.
        progress: show a bar.

    Raises:
        SalignError: there is no such split, images differ in size or have several labels, a class has fewer than two
            images, a region is asked for and no image has a map, or `out` is not empty or cannot be written to.
    """
    rows = check_clone(manifest, out, order=order, seed=seed, split=split, region=region)
    out, labels = Path(out), rows.table["label"].astype(str).to_numpy(dtype=object)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Bar("cloning", 2 * len(rows), show=progress) as bar, tempfile.TemporaryFile(dir=out) as file:
            pixels = _read(rows, size, file, bar.advance)
            counts = None if region == "all" else np.unique(labels, return_counts=True)[1].tolist()
            clones = _clones(pixels, labels, order, seed, counts)
            if region == "all":
                table, unmarked = _write_clones(clones, out, split, bar.advance), 0
            else:
                table, unmarked = _write_parts(clones, rows, pixels, out, region, size is not None, bar.advance)
    except OSError as error:
        raise SalignError(f"cannot write the clones to {out}: {error.strerror or error}") from error
    root = common_folder(manifest.root, out.resolve())
    for column in ("path", *map_columns(table)):
        table[column] = [path and relative_path(path, root) for path in table[column]]
    rest = move_root(manifest, root)
    rest = rest[rest["split"] != split]
    whole = pd.concat([table, rest]).reindex(columns=rest.columns).drop(columns="row").fillna("")
    written = Manifest.of(whole, root, "manifest.csv").write(out / "manifest.csv")
    return Cloned(written, len(table) - unmarked, unmarked)


def check_clone(
    manifest: Manifest, out: Path | str, *, order: int, seed: int, split: str = "train", region: str = "all"
) -> Manifest:
    """Find what would stop `clone_set` before any image is read.

    Returns:
        The rows to clone, class by class.

    Raises:
        SalignError: as `clone_set`.
    """
    choice("order", order, Order)
    choice("region", region, Region)
    number("seed", seed, "[0, inf)", whole=True)
    one_of(split, manifest.splits, "split")
    out = Path(out)
    check_output(out, folder=True)
    if out.exists() and any(out.iterdir()):
        raise SalignError(f"{out} is not an empty folder; name a new one, so that nothing is overwritten")
    rows = manifest.select([split])
    labels = rows.table["label"]
    if joined := next((name for name in map(str, labels) if SEPARATOR in name), None):
        raise SalignError(f"{manifest.source}: {joined!r} joins several labels; clones are drawn class by class")
    counts = labels.value_counts()
    if few := [f"{name} ({count})" for name, count in counts.items() if count < 2]:
        raise SalignError(
            f"{manifest.source}: split {split}: two images of each class are the least that vary; too few of "
            f"{', '.join(few)}"
        )
    if region != "all" and not rows.table["saliency"].notna().any():
        raise SalignError(f"{manifest.source}: split {split}: no image has a map, which says what is {region} of it")
    return rows.take(np.argsort(labels.astype(str).to_numpy(dtype=object), kind="stable"))


def _read(
    rows: Manifest, size: int | tuple[int, int] | None, file: IO[bytes], advance: Callable[[], None]
) -> npt.NDArray[np.uint8]:
    """Read all images as `(N, H, W, C)`, which is kept in a file, so that no data set is too large for the memory.

    C is 1 if all images are grey, else 3.
    """
    from salign.data.reading.image import image_size, read_image  # this and the next import take seconds
    from salign.data.reading.transforms import build_transform

    height, width = image_size(rows.image_path(0)) if size is None else (size, size) if isinstance(size, int) else size
    resize = None if size is None else build_transform(size)
    pixels = np.memmap(file, np.uint8, "w+", shape=(len(rows), height, width, 3))
    grey = True
    for i in range(len(rows)):
        image = read_image(rows.image_path(i), where=rows.where(i))
        if resize is not None:
            image, _ = resize(image, None)
        if tuple(image.shape[1:]) != (height, width):
            raise SalignError(
                f"{rows.where(i)}: {image.shape[1]} x {image.shape[2]} pixels, and the first image has {height} x "
                f"{width}; give the size that all are brought to: --size {height}"
            )
        if image.is_floating_point():
            image = (image * 255).round().byte()
        grey = grey and bool((image == image[:1]).all())
        pixels[i] = image.permute(1, 2, 0).numpy()
        advance()
    return pixels[..., :1] if grey else pixels


def _clones(
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.object_],
    order: Order,
    seed: int,
    counts: Sequence[int] | None,
) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Yield the class and the pixels `(H, W, C)` of each clone, class by class.

    `counts` gives the number of clones of each class; None = as many clones as images, equally many of each class.
    """
    names, starts = np.unique(labels, return_index=True)
    ends = [*starts[1:], len(labels)]
    for k, (name, start, end) in enumerate(zip(names, starts, ends, strict=True)):
        members = pixels[start:end].reshape(end - start, -1)
        count = len(labels) // len(names) + (k < len(labels) % len(names)) if counts is None else counts[k]
        chunk = max(1, _BLOCK // members.shape[1])
        for first in range(0, count, chunk):
            generators = [np.random.default_rng([seed, k, i]) for i in range(first, min(first + chunk, count))]
            batch = np.rint(draw_clones(members, order, generators).clip(0, 1) * 255).astype(np.uint8)
            for clone in batch:
                yield str(name), clone.reshape(pixels.shape[1:])


def _write_clones(
    clones: Iterator[tuple[str, npt.NDArray[np.uint8]]], out: Path, split: str, advance: Callable[[], None]
) -> pd.DataFrame:
    """Write a PNG file for each clone, and return the rows of the clones."""
    records = []
    for i, (name, clone) in enumerate(clones):
        path = out / "images" / f"{i:06d}.png"
        _save(clone, path)
        records.append(
            {"id": f"clone_{i:06d}", "path": str(path.resolve()), "label": name, "split": split, "saliency": ""}
        )
        advance()
    return pd.DataFrame(records)


def _write_parts(
    clones: Iterator[tuple[str, npt.NDArray[np.uint8]]],
    rows: Manifest,
    pixels: npt.NDArray[np.uint8],
    out: Path,
    region: str,
    resized: bool,
    advance: Callable[[], None],
) -> tuple[pd.DataFrame, int]:
    """Write a PNG file for each image, of which one part is its clone and the other part stays.

    Returns:
        The rows of the images, with absolute paths, and how many images stay wholly as they are.
    """
    import torch

    from salign.data.reading.image import read_saliency
    from salign.maps import resize, varies
    from salign.maps.blend import blend
    from salign.maps.files import write_map

    columns = list(map_columns(rows.table))
    folders = dict(zip(columns, slugs(columns), strict=True))
    table, unmarked = rows.table.fillna(""), 0
    paths: dict[str, list[str]] = {column: [] for column in ("path", *columns)}
    for i, (_, clone) in enumerate(clones):
        image, values = pixels[i], None
        for column in columns:
            source = (rows.root / cell).resolve() if (cell := str(table[column].iat[i])) else None
            if source is not None and (resized or column == "saliency"):
                at_size = resize(read_saliency(source, where=rows.where(i, column)), image.shape[:2])
                values = at_size if column == "saliency" else values
                if resized:
                    source = write_map(out / "maps" / folders[column] / f"{i:06d}.png", at_size).resolve()
            paths[column].append("" if source is None else str(source))
        if values is None or not varies(values):
            unmarked += 1
        else:
            parts = [torch.from_numpy(each / np.float32(255)).permute(2, 0, 1) for each in (clone, image)]
            within, around = parts if region == "inside" else parts[::-1]
            mixed = blend(within, around, values[None])
            image = (mixed * 255).round().byte().permute(1, 2, 0).numpy()
        path = out / "images" / f"{i:06d}.png"
        _save(image, path)
        paths["path"].append(str(path.resolve()))
        advance()
    return table.assign(**paths), unmarked


def _save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path, compress_level=1)
