"""A gallery of what a model looked at: image, human map, model map and answer, mistakes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from salign.errors import SalignError
from salign.maps.render import overlay, to_picture
from salign.maps.tensor_ops import min_max, resize, varies
from salign.pages.sheet import Section, Tile, Tiles, write_sheet

_SIDE = 240
_FIELD, _INK = (225, 225, 225), (30, 30, 30)


@dataclass(frozen=True)
class Item:
    """One picture of the gallery."""

    id: str
    image: Tensor
    """`(3, H, W)` uint8, or floating point in [0, 1]."""
    model_map: Tensor
    """`(h, w)` raw, any range; scaled to [0, 1] for showing."""
    label: str | None
    """True class; None where it is unknown."""
    predicted: str
    probability: float
    """Probability of the predicted class; where there may be several, of the least sure yes or no."""
    human_map: Tensor | None = None
    """`(H, W)` in [0, 1]; None where nobody looked, all zeros where somebody marked nothing."""
    made_by: str | None = None
    """The machine that made what stands in `human_map`, e.g. `model:net@1a2b3c4d`; None = people."""

    @property
    def wrong(self) -> bool:
        """Whether the answer is known to be a mistake."""
        return self.label is not None and self.label != self.predicted

    @property
    def caption(self) -> str:
        """Predicted class with its probability, and the true class."""
        truth = "true class unknown" if self.label is None else f"true {self.label}"
        return f"{truth}, predicted {self.predicted} ({self.probability:.0%})"

    @property
    def human_note(self) -> str:
        """What there is to see of people; a missing map is not passed for a blank one, nor a machine's for people's."""
        if self.human_map is None:
            return "nobody looked"
        if self.made_by is not None:
            return f"no person looked: the map in the middle was made by {self.made_by}"
        return "" if bool(self.human_map.any()) else "a person looked and marked nothing"

    @property
    def model_note(self) -> str:
        """Says so where the model's map has no shape to show."""
        return "" if bool(varies(self.model_map.float())) else "the model's map is the same everywhere"

    def pictures(self) -> list[Image.Image]:
        """Image, human map on the image (a grey field where there is none), model map on the image.

        An image with a longer side below 240 pixels is enlarged, so that the maps can be read.
        """
        image = _enlarged(self.image)
        picture = to_picture(image)
        human = _absent(picture.size, self.human_note) if self.human_map is None else overlay(image, self.human_map)
        return [picture, human, overlay(image, min_max(self.model_map.float()))]


def write_gallery(path: str | Path, items: Sequence[Item], *, title: str, intro: str = "") -> Path:
    """Write one self-contained HTML page; each row shows image | human map | model map.

    Args:
        path: the HTML file; replaced in one step.
        items: in the order shown within their section.
        title: heading of the page.
        intro: a sentence below it.

    Returns:
        The path written.

    Raises:
        SalignError: there is nothing to show.
    """
    if not items:
        raise SalignError("a gallery needs at least one image; got none. Choose another split or filter.")
    kinds = (
        ("Mistakes", [item for item in items if item.wrong]),
        ("Right answers", [item for item in items if item.label is not None and not item.wrong]),
        ("True class unknown", [item for item in items if item.label is None]),
    )
    sections = [
        Section(
            f"{name} ({len(members)})",
            [Tiles(f"Left to right: image, {_middle(members)}, model map.", [*map(_tile, members)])],
        )
        for name, members in kinds
        if members
    ]
    return write_sheet(path, title, sections, intro=intro)


def _middle(items: Sequence[Item]) -> str:
    """What the picture in the middle shows."""
    by_machine = [item.made_by is not None for item in items if item.human_map is not None]
    if not any(by_machine):
        return "human map"
    return "machine's map" if all(by_machine) else "human or machine's map"


def _enlarged(image: Tensor) -> Tensor:
    """`(3, H, W)` with a longer side of at least `_SIDE` pixels."""
    height, width = image.shape[-2:]
    if max(height, width) >= _SIDE:
        return image
    values = image.float() if image.is_floating_point() else image.float() / 255
    scale = _SIDE / max(height, width)
    return resize(values, (max(1, round(height * scale)), max(1, round(width * scale))))


def _absent(size: tuple[int, int], text: str) -> Image.Image:
    field = Image.new("RGB", size, _FIELD)
    middle = (size[0] / 2, size[1] / 2)
    ImageDraw.Draw(field).text(
        middle, text, fill=_INK, font=ImageFont.load_default(size=max(13, size[0] / 13)), anchor="mm"
    )
    return field


def _notes(item: Item) -> str:
    return "; ".join(note for note in (item.human_note, item.model_note) if note)


def _tile(item: Item) -> Tile:
    note = " · ".join(part for part in (item.id, _notes(item)) if part)
    names = ("image", "map", "model map")
    return Tile(item.caption, [*zip(names, item.pictures(), strict=True)], note, flagged=item.wrong)
