"""A gallery of images with human and model maps, which can be sorted and filtered in the page.

The page needs no server. It contains the maps of the models, which are small. Images and human maps are files beside
it, which the browser reads as they come into view, so that a page of thousands of images opens at once.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from PIL import Image
from torch import Tensor

from salign.files import replacing
from salign.maps.overlay import HEAT, OPACITY
from salign.maps.render import thumbnail, to_picture
from salign.maps.tensor_ops import min_max, resize

MAP_SIDE = 56
"""Cells on the longer side of a model's map on the page; larger maps are averaged down to it."""
PICTURE_SIDE = 2048
"""Pixels on the longer side of an image on the page; larger images are shrunk to it."""
_LOSSLESS = 128 * 128


@dataclass(frozen=True)
class Answer:
    """A run's answer to an image."""

    predicted: str
    probability: float
    """Probability of the predicted class. Where images may have several labels, the probability of the least certain
    yes or no."""
    map: str
    """The model's map, as `encode_map` gives it."""
    agreement: float | None = None
    """Correlation of the map with people's, in [-1, 1]; None where there is nothing to compare."""
    energy: float | None = None
    """Share of the map that lies where people marked, in [0, 1]; None where there is nothing to compare."""
    note: str = ""
    """A remark on the map, for instance that it is constant."""


@dataclass(frozen=True)
class Item:
    """One image of the gallery."""

    id: str
    set: str
    label: str | None
    """True class; None where it is unknown."""
    image: str
    """Path of the picture, relative to the page."""
    aspect: float
    """Width of the picture divided by its height; the page reserves the room for it before it is read."""
    human: str | None
    """Path of the human map, relative to the page; None if the image has none."""
    answers: Sequence[Answer]
    """One per run, in the order of `Gallery.runs`."""
    note: str = ""
    """A remark on the human map: nobody looked, nothing was marked, or a machine made it."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Further columns to filter by -> this image's value; a column in which the image has no value is left out."""


@dataclass
class Gallery:
    """A block of a page that shows the gallery."""

    kind: ClassVar[str] = "gallery"
    caption: str
    items: Sequence[Item]
    runs: Sequence[str]
    """Names of the one or two runs."""

    @property
    def data(self) -> str:
        """The items as JSON, escaped so that it may stand in a script element."""
        text = json.dumps({"runs": list(self.runs), "items": [asdict(item) for item in self.items]}, allow_nan=False)
        return text.replace("<", "\\u003c")

    @property
    def heat(self) -> list[str]:
        """The colours of `salign.maps.render.heat` for an SVG filter.

        The three strings hold evenly spaced values of red, of green and of blue, in [0, 1].
        """
        return [" ".join(f"{value:.4f}" for value in channel) for channel in (HEAT / 255).T.tolist()]

    opacity: ClassVar[float] = OPACITY


def encode_map(values: Tensor) -> str:
    """Return a map as a grey PNG in base64, min-max scaled and at most `MAP_SIDE` cells long.

    Args:
        values: `(h, w)`, any range.
    """
    scaled = min_max(values.detach().float().cpu())
    if max(scaled.shape) > MAP_SIDE:
        share = MAP_SIDE / max(scaled.shape)
        scaled = resize(scaled, (max(1, round(scaled.shape[0] * share)), max(1, round(scaled.shape[1] * share))))
    stream = io.BytesIO()
    Image.fromarray(scaled.mul(255).round().byte().numpy()).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def write_picture(folder: Path, name: str, image: Tensor) -> str:
    """Write an image for the page, and return its path relative to the folder.

    Small images are stored without loss (PNG), others as JPEG of high quality; images larger than `PICTURE_SIDE` are
    shrunk.

    Args:
        folder: folder of the page.
        name: file name without a suffix.
        image: `(3, H, W)` uint8, or floating point in [0, 1].
    """
    picture = thumbnail(to_picture(image), PICTURE_SIDE)
    if picture.width * picture.height <= _LOSSLESS:
        return _write(folder, f"images/{name}.png", picture)
    return _write(folder, f"images/{name}.jpg", picture, quality=92)


def write_human_map(folder: Path, name: str, values: Tensor) -> str:
    """Write a human map as a grey PNG, and return its path relative to the folder of the page.

    Args:
        folder: folder of the page.
        name: file name without a suffix.
        values: `(H, W)` in [0, 1]; min-max scaled here, as the loss does it.
    """
    picture = Image.fromarray(min_max(values).mul(255).round().byte().numpy())
    return _write(folder, f"maps/{name}.png", thumbnail(picture, PICTURE_SIDE))


def _write(folder: Path, name: str, picture: Image.Image, **options: int) -> str:
    with replacing(folder / name) as partial, partial.open("wb") as stream:
        picture.save(stream, "JPEG" if name.endswith(".jpg") else "PNG", **options)
    return name
