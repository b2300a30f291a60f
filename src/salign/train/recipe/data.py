"""Section `data` of a recipe: which images, which rows, how they are prepared."""

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
"""What is said to a recipe that balances groups and names no columns of them."""


class DrawnRecipe(Section):
    """A machine draws maps for the training images; each says in its provenance which model it is from."""

    by: str | list[str]
    """This finished run, or `stage:NAME`, draws: a net that draws maps, or a classifier that marks its evidence. The
    mean of several is taken."""
    images: Literal["rest", "all"] = "rest"
    """`rest` draws for the images without a map after `annotated`; `all` draws for every image, and people's maps are
    not used."""
    label: str | None = None
    """Maps are drawn for the images of this class alone; null means all."""
    method: Literal["cam", "grad_cam", "rise"] = "cam"
    """A classifier marks its evidence in this way; a net needs none."""
    of: Literal["true", "predicted"] = "true"
    """A classifier marks the evidence for the true or for the predicted class."""
    masks: int = Field(default=1000, ge=1)
    """`rise` takes this many masks, which `data.seed` draws."""


class RepeatErrorsRecipe(Section):
    """Training images that a finished run answers wrong are shown several times an epoch (JTT, arXiv 2107.09044)."""

    of: str
    """This finished run of a classifier, or `stage:NAME`, is asked about the training images."""
    times: int = Field(default=20, ge=2, le=10_000)
    """Each image that it answers wrong is there so many times; the published search takes 20, 50 and 100."""


class DataRecipe(Section):
    """The section says which images and rows take part, and how they are prepared."""

    hints: ClassVar[dict[str, str]] = {
        "saliency": "`map_column` names the column with the maps, `annotated: 0` trains without any, and a loss that "
        "needs none is loss.name: ce"
    }

    manifest: str
    """This CSV or Parquet file lists the images; a relative path begins beside the recipe, else in the working
    folder."""
    root: str | None = None
    """The paths in the manifest begin at this folder; null means the manifest's own root."""
    train: list[str] = ["train"]
    """The network is trained on these splits."""
    val: list[str] = ["val"]
    """The best epoch and the threshold are chosen on these splits."""
    test: dict[str, list[str]] | list[str] = ["test"]
    """Each of these splits is reported on by itself; a mapping `name: splits` takes several together."""
    classes: list[str] | None = None
    """The logits have this order of classes; rows of other classes are left out. Null takes all classes of the training
    splits."""
    multi_label: bool = False
    """An image may have several labels, joined by `;` in the manifest, or none; each class is a yes or no by itself."""
    positive: str | None = None
    """This one of two classes is to be detected (the attack, the disease); null means the last."""
    task: Literal["classes", "pad"] = "classes"
    """With `pad`, presentation attack detection, figures have the names of ISO/IEC 30107-3 (APCER, BPCER), and
    `positive` is the attack; so they have if `species` is given. It changes nothing but what is shown."""
    image_size: int | tuple[int, int] = 224
    """Images are resized to this side, or to this (height, width)."""
    augment: Literal["none", "flip", "standard"] = "flip"
    """Training images and their maps are changed at random: `flip` mirrors every other one, `standard` also rotates,
    shifts, scales and brightens slightly, `none` is the published setting. `none` is right where left and right matter,
    as in letters and digits."""
    limit: int | None = Field(default=None, ge=2)
    """This many training images are drawn with `seed`, the same share of each class; null takes all."""
    map_column: str = "saliency"
    """This column of the manifest has the maps of the training images, e.g. segmentation masks."""
    annotated: float | None = Field(default=None, ge=0, le=1)
    """This share of the annotated training images keeps its map, of each class alike; null means all, 0 none."""
    annotated_before_limit: bool = False
    """With true, `annotated` draws among all training images and `limit` draws after it, so it does not depend on
    `limit` which images keep their map."""
    annotated_val: float | None = Field(default=None, ge=0, le=1)
    """This share of the annotated validation images keeps its map; null means all. A net that draws maps is chosen by
    them, so that few maps should be few there, too."""
    drawn: DrawnRecipe | None = None
    """A machine draws maps for the training images; null means that people's are all there are."""
    label_noise: float = Field(default=0, ge=0, le=1)
    """This share of the training images gets the label of another class on purpose, drawn with `seed`, to study what
    wrong labels do; validation and test images keep theirs."""
    targets: str | None = None
    """This CSV or Parquet file says how probable each class is, for the cross-entropy: it has a column `id` and one per
    class. An image that is not in it has its label for certain. A relative path begins where the manifest's does."""
    seconds_column: str | None = None
    """This column of the manifest has the seconds that people looked at each training image; the loss reaction_time
    needs it."""
    maps: str = "own"
    """An annotated image is trained with its "own" map or with a control: "shuffled", "shuffled_within" or
    "shuffled_across" classes, "inverted", "centre", "blobs", "boxes", "template" (one map per class:
    the geometric median of its maps); with a share "shuffled@0.25", "dilated@0.1", "shifted@0.1".
    With "lda_maps" or "pca_maps" every training image gets a map that the pixels of these images alone give."""
    blur_outside: list[float] = []
    """Annotated training images are blurred outside of their map by one of these sigmas in pixels or by none, each
    equally often; 2, 4, ..., 16 are published."""
    swap_outside: float = Field(default=0, ge=0, le=1)
    """With this probability an annotated training image is shown in the surroundings of another image of its class."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """This number decides what `limit`, `annotated` and control maps draw, so runs with other training seeds share
    their data."""
    sampling: Literal["natural", "balanced", "groups"] = "natural"
    """`natural` shows each image once an epoch; `balanced` draws with replacement, every class equally often, and
    `groups` every group: each combination of the values of the columns in `groups` and of the class."""
    subsample: Literal["none", "classes", "groups"] = "none"
    """As many training images of every class, or of every group, are left as the smallest has; `seed` draws them."""
    repeat_errors: RepeatErrorsRecipe | None = None
    """Training images that a finished run answers wrong are shown several times; null means that all are shown
    alike."""
    faults: Literal["stop", "leave_out"] = "stop"
    """Unreadable images and maps `stop` the run with a list of them, or the run reports them and trains without
    (`leave_out`)."""
    workers: int | Literal["auto"] = "auto"
    """This many processes read images; `auto` goes by the number of CPUs. It affects nothing but the time."""
    cache: str | None = None
    """Images and maps are kept in this folder, decoded and resized, for later epochs and for other runs on the same
    images; they train the same with it and without. It grows by 0.15 MB for each image of 224 x 224 pixels, and by 0.2
    MB for its map; delete it when the last run is done. Null keeps none."""
    groups: list[str] = []
    """Metrics are also reported for each value of these columns of the manifest (domain, sex, device). Crossed with the
    class, they make the groups of `sampling`, `subsample`, of the loss group_dro and of `posthoc` dfr."""
    species: str | None = None
    """This column of the manifest has the kind of attack; APCER is then that of the worst kind (ISO/IEC 30107-3)."""

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
