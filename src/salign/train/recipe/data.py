"""Section `data` of a recipe: which images and rows take part, and how they are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from salign.config import Pass, Section
from salign.errors import SalignError
from salign.files import check_output
from salign.limits import LARGEST_SEED, LONGEST_SIDE, MOST_PIXELS, MOST_WORKERS
from salign.location import is_remote

NO_GROUPS = (
    "balances groups, and there are none: name the columns of the manifest that make them, crossed with the class: "
    "data.groups: [COLUMN]"
)
"""End of the message for a recipe that balances groups but names no columns that make them."""


class DrawnRecipe(Section):
    """A machine draws maps for the training images; the provenance of each map names the model that drew it."""

    by: str | list[str]
    """This finished run, or `stage:NAME`, draws the maps: a net that draws maps, or a classifier that marks its
    evidence. If several runs are given, the mean of their maps is taken."""
    images: Literal["rest", "all"] = "rest"
    """`rest` draws maps for the images that have none after `annotated`; `all` draws maps for every image, and people's
    maps are not used."""
    label: str | None = None
    """Maps are drawn for the images of this class alone; null means for all classes."""
    method: Literal["cam", "grad_cam", "rise"] = "cam"
    """A classifier marks its evidence by this method; a net that draws maps ignores it."""
    of: Literal["true", "predicted"] = "true"
    """A classifier marks the evidence for the true or for the predicted class."""
    masks: int = Field(default=1000, ge=1)
    """The method `rise` uses this many random masks, which are drawn with `data.seed`."""


class RepeatErrorsRecipe(Section):
    """Training images that a finished run answers wrong are shown several times an epoch (JTT, arXiv 2107.09044)."""

    of: str
    """This finished run of a classifier, or `stage:NAME`, answers the training images."""
    times: int = Field(default=20, ge=2, le=10_000)
    """Each image that the run answers wrong is shown this many times an epoch; the published search tries 20, 50 and
    100."""


class DataRecipe(Section):
    """The section says which images and rows take part, and how they are prepared."""

    hints: ClassVar[dict[str, str]] = {
        "saliency": "`map_column` names the column with the maps, `annotated: 0` trains without any, and a loss that "
        "needs none is loss.name: ce"
    }

    manifest: str
    """The images are listed in this CSV or Parquet file. A relative path is searched beside the recipe, then in the
    working folder."""
    root: str | None = None
    """The paths in the manifest are relative to this folder; null means the manifest's own root."""
    train: list[str] = ["train"]
    """The network is trained on these splits."""
    val: list[str] = ["val"]
    """The best epoch and the threshold are chosen on these splits."""
    test: dict[str, list[str]] | list[str] = ["test"]
    """Each of these splits is a test set of its own; a mapping `name: splits` makes a test set of several splits."""
    classes: list[str] | None = None
    """The logits have the classes in this order, and rows of other classes are left out. Null takes all classes of the
    training splits."""
    multi_label: bool = False
    """With true, an image may have several labels, joined by `;` in the manifest, or none, and each class is a yes or
    no question of its own."""
    positive: str | None = None
    """This one of two classes is to be detected (the attack, the disease); null means the last class."""
    task: Literal["classes", "pad"] = "classes"
    """With `pad`, presentation attack detection, the figures have the names of ISO/IEC 30107-3 (APCER, BPCER), and
    `positive` is the attack. The same holds if `species` is given. This key changes only how figures are shown."""
    image_size: int | tuple[int, int] = 224
    """Images are resized to this side, or to this (height, width)."""
    augment: Literal["none", "flip", "standard"] = "flip"
    """Training images and their maps are changed at random: `flip` mirrors half of the images, `standard` also rotates,
    shifts, scales and brightens them slightly, and `none`, the published setting, changes nothing. Take `none` where
    left and right matter, as in letters and digits."""
    limit: int | None = Field(default=None, ge=2)
    """This many training images are drawn with `seed`, the same share of each class; null takes all."""
    map_column: str = "saliency"
    """This column of the manifest has the maps of the training images, e.g. segmentation masks."""
    annotated: float | None = Field(default=None, ge=0, le=1)
    """This share of the annotated training images keeps its map, the same share in each class; null means all images, 0
    means none."""
    annotated_before_limit: bool = False
    """With true, `annotated` draws among all training images, and `limit` draws after it. The images that keep
    their map do not depend on `limit` then."""
    annotated_val: float | None = Field(default=None, ge=0, le=1)
    """This share of the annotated validation images keeps its map; null means all. The best epoch of a net that draws
    maps is chosen with these maps, so that a study of few maps should have few of them, too."""
    drawn: DrawnRecipe | None = None
    """A machine draws maps for the training images; null means that there are no maps but those of the manifest."""
    label_noise: float = Field(default=0, ge=0, le=1)
    """This share of the training images gets the label of another class on purpose, drawn with `seed`, to study the
    effect of wrong labels; validation and test images keep their labels."""
    targets: str | None = None
    """This CSV or Parquet file has the probability of each class for the cross-entropy: it has a column `id` and a
    column per class. The label of an image that is not in the file is certain. A relative path is searched as that of
    the manifest."""
    seconds_column: str | None = None
    """This column of the manifest has the seconds that people looked at each training image; the loss reaction_time
    needs it."""
    maps: str = "own"
    """Annotated images are trained with their "own" maps or with control maps: "shuffled", "shuffled_within" or
    "shuffled_across" (classes), "inverted", "centre", "blobs", "boxes", or "template" (one map per class: the geometric
    median of its maps). Some controls take a share, as in "shuffled@0.25", "dilated@0.1" and "shifted@0.1". With
    "lda_maps" or "pca_maps", every training image gets a map that is computed from the pixels of the training images
    alone."""
    blur_outside: list[float] = []
    """Annotated training images are blurred outside of their map by one of these standard deviations in pixels or not
    at all, each equally often; 2, 4, ..., 16 are published."""
    swap_outside: float = Field(default=0, ge=0, le=1)
    """With this probability an annotated training image is shown in the surroundings of another image of its class."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """This number decides what `limit`, `annotated` and control maps draw, so that runs with different training seeds
    share their data."""
    sampling: Literal["natural", "balanced", "groups"] = "natural"
    """`natural` shows each image once an epoch. `balanced` draws images with replacement so that every class is equally
    frequent, and `groups` so that every group is: a group is a combination of a class and of values of the columns in
    `groups`."""
    subsample: Literal["none", "classes", "groups"] = "none"
    """Training images are left out, drawn with `seed`, until every class, or every group, has as many as the smallest
    one."""
    repeat_errors: RepeatErrorsRecipe | None = None
    """Training images that a finished run answers wrong are shown several times an epoch; null means that all images
    are shown equally often."""
    faults: Literal["stop", "leave_out"] = "stop"
    """With `stop`, unreadable images and maps end the run with a list of them; with `leave_out`, the run reports them
    and trains without them."""
    workers: int | Literal["auto"] = "auto"
    """This many processes read images; `auto` depends on the number of CPUs. This key affects nothing but the time."""
    cache: str | None = None
    """Decoded and resized images and maps are kept in this folder, for later epochs and for other runs on the same
    images; the result of the training is the same. The folder grows by 0.15 MB for each image of 224 x 224 pixels, and
    by 0.2 MB for its map; delete it after the last run. Null keeps nothing."""
    groups: list[str] = []
    """Metrics are also reported for each value of these columns of the manifest (domain, sex, device). Crossed with the
    class, the columns make the groups of `sampling`, of `subsample`, of the loss group_dro and of `posthoc` dfr."""
    species: str | None = None
    """This column of the manifest has the kind of attack; APCER is then the one of the worst kind (ISO/IEC 30107-3)."""

    @property
    def attacks(self) -> bool:
        """Whether the positive class is a presentation attack."""
        return self.task == "pad" or self.species is not None

    @property
    def tests(self) -> dict[str, list[str]]:
        """The test sets by name, each with its splits."""
        return self.test if isinstance(self.test, dict) else {name: [name] for name in self.test}

    @property
    def sets(self) -> dict[str, list[str]]:
        """The sets that a run predicts and reports on: `val`, then the test sets, each with its splits."""
        return {"val": self.val, **self.tests}

    @field_validator("manifest", "targets", "root")
    @classmethod
    def _is_there(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and Pass.of(info).files and not is_remote(path) and not Path(path).exists():
            raise ValueError(f"there is no {'folder' if info.field_name == 'root' else 'file'} {path}")
        return path

    @field_validator("cache")
    @classmethod
    def _can_be_written(cls, folder: str | None, info: ValidationInfo) -> str | None:
        if folder is not None and Pass.of(info).files:
            try:
                check_output(Path(folder), folder=True)
            except SalignError as error:
                raise ValueError(str(error)) from error
        return folder

    @field_validator("test")
    @classmethod
    def _tests_can_be_files(cls, test: dict[str, list[str]] | list[str]) -> dict[str, list[str]] | list[str]:
        for name in test:
            if name == "val" or name.startswith(".") or set(name) & set("/\\"):
                raise ValueError(
                    f"{name!r} cannot name a test set, whose predictions go into a file of that name beside val.csv. "
                    "Write another name in front: test: {far: [" + name + "]}"
                )
        return test

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

    @field_validator("blur_outside")
    @classmethod
    def _sigmas_fit(cls, sigmas: list[float]) -> list[float]:
        if not all(sigma > 0 for sigma in sigmas):
            raise ValueError(f"sigmas are above 0 pixels; got {', '.join(map(str, sigmas))}")
        return sigmas

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
            "task: pad": self.task == "pad",
            f"sampling: {self.sampling}": self.sampling != "natural",
            f"subsample: {self.subsample}": self.subsample != "none",
            "label_noise": self.label_noise > 0,
            f"maps: {self.maps}": self.maps in ("shuffled_within", "shuffled_across", "template", "lda_maps"),
        }
        if self.multi_label and any(single.values()):
            wrong = ", ".join(key for key, value in single.items() if value)
            raise ValueError(f"data.multi_label does not go with {wrong}: an image has no one class; leave that out")
        for key in ("sampling", "subsample"):
            if getattr(self, key) == "groups" and not self.groups:
                raise ValueError(f"{key}: groups {NO_GROUPS}")
        return self
