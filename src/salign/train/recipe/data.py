"""Section `data` of a recipe: which images, which rows, how they are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from salign.config import Pass, Section
from salign.errors import SalignError
from salign.limits import LARGEST_SEED, LONGEST_SIDE, MOST_PIXELS, MOST_WORKERS


class DataRecipe(Section):
    """Which images, which rows, how they are prepared."""

    meant: ClassVar[dict[str, str]] = {
        "saliency": "`map_column` names the column with the maps, `annotated: 0` trains without any, and a loss that "
        "needs none is loss.name: ce"
    }

    manifest: str
    """CSV or Parquet; a relative path is looked for beside the recipe, then in the working folder."""
    root: str | None = None
    """Folder the manifest's paths are relative to; None = the manifest's own."""
    train: list[str] = ["train"]
    """Splits to train on."""
    val: list[str] = ["val"]
    """Splits to choose the epoch and the threshold on."""
    test: dict[str, list[str]] | list[str] = ["test"]
    """Splits to report on, each by itself; or name -> splits taken together."""
    classes: list[str] | None = None
    """Classes in the order of the logits; rows of others are left out. None = all of the training splits."""
    multi_label: bool = False
    """An image may have several labels, joined by `;` in the manifest, or none; each class is a yes or no by itself."""
    positive: str | None = None
    """Of two classes the one to detect (the attack, the disease); None = the last."""
    image_size: int | tuple[int, int] = 224
    """Side, or (height, width), that images are resized to."""
    augment: Literal["none", "flip", "standard"] = "flip"
    """Random changes to training images and maps together: `flip` mirrors every other one, `none` is the published
    setting, and right where left and right matter, as in letters and digits."""
    limit: int | None = Field(default=None, ge=2)
    """Train on so many images, the same share of each class, drawn with `seed`."""
    map_column: str = "saliency"
    """Manifest column with the maps of the training images, e.g. one with segmentation masks."""
    annotated: float | None = Field(default=None, ge=0, le=1)
    """Share of the annotated training images that keep their map, of each class alike; None = all, 0 = none."""
    seconds_column: str | None = None
    """Manifest column with the seconds that people looked at each training image, for the loss reaction_time."""
    maps: str = "own"
    """Which map an annotated image is trained with: its "own", or a control: "shuffled", "shuffled_within" or
    "shuffled_across" classes, "inverted", "centre", "blobs", "boxes"; with a share "shuffled@0.25", "dilated@0.1",
    "shifted@0.1"."""
    blur_outside: list[float] = []
    """Sigmas in pixels, published 2, 4, ..., 16: annotated training images are blurred outside of their map by one of
    these or by none, each equally often."""
    swap_outside: float = Field(default=0, ge=0, le=1)
    """Probability that an annotated training image is shown in the surroundings of another image of its class."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Of what `limit`, `annotated` and control maps draw: runs with other training seeds share their data."""
    sampling: Literal["natural", "balanced"] = "natural"
    """`natural`: each image once an epoch; `balanced`: with replacement, every class equally often."""
    faults: Literal["stop", "leave_out"] = "stop"
    """What to do with unreadable images and maps: stop with a list, or report them and train without."""
    workers: int | Literal["auto"] = "auto"
    """Processes that read images; `auto` goes by the CPUs. Changes nothing but the time."""
    groups: list[str] = []
    """Manifest columns to report on by value (domain, sex, device)."""
    species: str | None = None
    """Manifest column with the kind of attack: APCER is that of the worst kind (ISO/IEC 30107-3)."""

    @field_validator("manifest", "root")
    @classmethod
    def _is_there(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and Pass.of(info).files and not Path(path).exists():
            raise ValueError(f"there is no {'file' if info.field_name == 'manifest' else 'folder'} {path}")
        return path

    @field_validator("maps")
    @classmethod
    def _control_is_known(cls, maps: str) -> str:
        if maps != "own":
            from salign.data.controls import find_control

            try:
                find_control(maps)
            except SalignError as error:
                raise ValueError(str(error).removeprefix("data.maps: ")) from error
        return maps

    @field_validator("image_size")
    @classmethod
    def _size_fits(cls, size: int | tuple[int, int]) -> int | tuple[int, int]:
        height, width = (size, size) if isinstance(size, int) else size
        if not (min(height, width) >= 1 and max(height, width) <= LONGEST_SIDE and height * width <= MOST_PIXELS):
            raise ValueError(
                f"expected sides of 1 to {LONGEST_SIDE:,} pixels, {MOST_PIXELS:,} in all at most; got {size}"
            )
        return size

    @field_validator("workers")
    @classmethod
    def _workers_fit(cls, workers: int | str) -> int | str:
        if isinstance(workers, int) and not 0 <= workers <= MOST_WORKERS:
            raise ValueError(f"expected auto, or 0 to {MOST_WORKERS:,} processes; got {workers}")
        return workers

    @model_validator(mode="after")
    def _several_labels_fit(self) -> DataRecipe:
        single = {
            "positive": self.positive is not None,
            "species": self.species is not None,
            "sampling: balanced": self.sampling == "balanced",
            f"maps: {self.maps}": self.maps in ("shuffled_within", "shuffled_across"),
        }
        if self.multi_label and any(single.values()):
            wrong = ", ".join(key for key, given in single.items() if given)
            raise ValueError(f"data.multi_label does not go with {wrong}: an image has no one class; leave that out")
        return self
