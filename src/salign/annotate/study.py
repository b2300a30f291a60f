"""The settings of an annotation study, as a frozen pydantic model that is read from YAML and written to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from salign.config import Section, explain_faults, read_values
from salign.data.manifest.folder_layout import Folders
from salign.errors import SalignError
from salign.web.guard import RequestLimits

Mode = Literal["single", "pair", "review", "assisted", "reveal"]
Arm = Literal["none", "decision", "map", "both"]


class Assisted(Section):
    """The section says what help is shown in mode `assisted`, and how the kinds of help are assigned at random."""

    arms: list[Arm] = Field(default=["none", "decision", "map", "both"], min_length=1)
    """These kinds of help are compared."""
    by: Literal["annotator", "image"] = "annotator"
    """`annotator` gives each person one arm, all arms equally often; `image` gives every person all arms, in random
    order, equally often."""
    decision: str = "decision"
    """This column of the manifest has the model's answer."""
    map: str = "model_map"
    """This column of the manifest has the model's map."""


class Reveal(Section):
    """The section says how mode `reveal` hides an image, and how much of it a click shows.

    This is BubbleView (Kim, Bylinskii, Borkin, Gajos, Oliva, Durand and Pfister, "BubbleView: An Interface for
    Crowdsourcing Image Importance Maps and Tracking Visual Attention", ACM Transactions on Computer-Human Interaction
    24(5), 2017): the image is blurred, and a click shows a round part of it until the next click. The authors blur
    their clicks by a Gaussian to make a map. Here the windows are the map, and `export.sigma` blurs them.
    """

    radius: float = Field(default=0.05, gt=0, le=0.5)
    """A window has this radius, as a share of the longer side of the image."""
    blur: float = Field(default=0.04, gt=0, le=0.5)
    """The image is blurred by a Gaussian of this standard deviation, as a share of its longer side."""


class Export(Section):
    """The section says how maps and splits are made when annotations are exported."""

    aggregate: Literal["union", "mean", "majority", "staple", "weighted"] = "mean"
    """The maps of several people become one by this method."""
    sigma: float = Field(default=0.0, ge=0)
    """Maps are smoothed by a Gaussian with this standard deviation, in pixels; 0 leaves them as they were drawn."""
    grain: Literal["boundary", "area", "features"] = "features"
    """Maps are exported this fine: `boundary` gives boxes around the marks, `area` the marks with what they enclose,
    `features` the marks as they were painted."""
    shares: dict[str, float] = Field(default={"train": 0.6, "val": 0.2, "test": 0.2}, min_length=1)
    """Images without a split in the manifest get one of these splits. The splits are drawn by `seed`, with these shares
    within each label."""


class Limits(RequestLimits):
    """The section says what the server accepts from one client."""

    text: int = Field(default=2000, ge=1)
    """A free text has at most this many characters."""
    shapes: int = Field(default=5000, ge=1)
    """An annotation has at most this many shapes."""


class Study(Section):
    """The settings of a study say what annotators see and how images are handed out."""

    title: str = "Annotation"
    """The page has this heading."""
    question: str = ""
    """This question is asked about every image; if it is empty, the mode decides the question, see `shown_question`."""
    instructions: str = ""
    """This plain text is shown before the first image; blank lines separate paragraphs."""
    consent: str = ""
    """An annotator must agree to this plain text; if it is empty, nobody is asked."""
    mode: Mode = "single"
    """`single` shows one image, `pair` asks which of two images shows the target class, `review` lets people judge
    maps, `assisted` shows a model's help, `reveal` shows a blurred image of which each click shows a part."""
    classes: list[str] = []
    """These are the possible answers, in the order of the number keys. An empty list takes the labels of the manifest;
    if it has none, people only mark."""
    target: str | None = None
    """In mode `pair` the question asks for this class; null means the last class."""
    pairs: list[tuple[str, str]] | None = None
    """In mode `pair` these are the pairs, as image ids. Null draws the pairs by `seed`: an image of the target class
    with one of another class, or any two images if the images have fewer than two labels."""
    unmarked: bool = False
    """Only images that have no map in the manifest (its column `saliency`), and gold images, are shown."""
    annotators_per_image: int = Field(default=1, ge=1)
    """This many people see each image; gold images are shown to everybody."""
    least_sure_first: bool = True
    """In mode `review` drafts come in the order of the manifest's column `confidence`, the lowest first; drafts without
    a confidence come last, in random order."""
    seed: int = 0
    """This number decides the order, the pairs, the arms and the splits of the export."""
    gold: dict[str, str] = {}
    """The right answer is known for these image ids. In mode `pair` the id is that of either image of a pair, and the
    answer is the class of that image."""
    gold_feedback: bool = False
    """The page says at once whether the answer to a gold image was right."""
    gold_share: float = Field(default=0.1, gt=0, le=0.5)
    """This share of an annotator's tasks are gold images, until all gold images have been seen."""
    drafts: str | None = None
    """In mode `review` the drafts come from this exported `shapes.json`, a path relative to this file; null takes the
    maps of the manifest."""
    enough: float | None = Field(default=None, gt=0, le=1)
    """In mode `review`, when the mean IoU of drafts and reviewed maps reaches this number, the owner's page says that
    the remaining drafts need no review."""
    assisted: Assisted = Assisted()
    """The section `assisted` says which help is shown in mode `assisted`."""
    reveal: Reveal = Reveal()
    """The section `reveal` says how much of an image is seen in mode `reveal`."""
    skip_reasons: list[str] = ["cannot tell", "bad image", "something else"]
    """These reasons are offered when an image is skipped; people can write their own, too."""
    confidence: bool = False
    """The page asks how sure the annotator is, from 1 to 5."""
    require_map: bool = True
    """An answer needs a mark, or a click on "nothing to mark"."""
    window_level: bool = False
    """The page offers window and level, for images of more than 8 bits."""
    lease_minutes: float = Field(default=60.0, gt=0)
    """An image that is not answered in this time may go to somebody else."""
    folders: Folders = "auto"
    """Without a manifest, the folders above the images are read as this: `split/class`, `class/split`, `class`, `split`
    or `none`. `auto` recognises which of them it is, see docs/annotate-server.md."""
    export: Export = Export()
    """The section `export` says how annotations are exported."""
    limits: Limits = Limits()
    """The section `limits` says what the server accepts from one client."""
    hosts: list[str] = []
    """Browsers may reach the server under these further names, for example that of a proxy."""

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} name one class twice")
        if spaced := [name for name in self.classes if name != name.strip() or not name]:
            raise ValueError(f"classes {spaced} are empty or have spaces around them; write them without")
        if self.target is not None and self.classes and self.target not in self.classes:
            raise ValueError(f"target {self.target!r} is none of the classes {self.classes}")
        if self.unmarked and self.mode == "review":
            raise ValueError("unmarked asks about images without a map, and mode review is about maps: choose one")
        if any(not 0 <= share <= 1 for share in self.export.shares.values()) or not (
            0.999 < sum(self.export.shares.values()) < 1.001
        ):
            raise ValueError(f"export.shares must add up to 1, got {self.export.shares}")
        if self.classes and (strange := set(self.gold.values()) - set(self.classes)):
            raise ValueError(f"gold answers {sorted(strange)} are none of the classes {self.classes}")
        used = [name for pair in self.pairs or [] for name in pair]
        if len(set(used)) != len(used):
            raise ValueError("pairs: an image stands in one pair only, so that nobody sees it twice")
        return self

    @classmethod
    def read(cls, path: Path | str, **over: Any) -> Study:
        """Read a YAML file. Keyword arguments that are not None replace its values.

        Raises:
            SalignError: the file has faults; the message lists all of them.
        """
        content = read_values(path, None, "annotation study", "title, question, classes")
        return cls.build({**content, **{key: value for key, value in over.items() if value is not None}}, str(path))

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "study") -> Study:
        """Make a study from a nested dict.

        Raises:
            SalignError: the dict has faults. The message lists all of them, with the nearest known key for an unknown
                one.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise SalignError(explain_faults(error, cls, source)) from error

    @property
    def shown_question(self) -> str:
        """The question that the page shows: `question`, or a default for the mode if that is empty."""
        if self.mode == "review":
            return self.question or "Is this map right? Accept it, edit it, or reject it."
        if self.mode == "reveal":
            return self.question or "Which class is it? Click where you want to look closely; answer when you are sure."
        return self.question or "Which class is it? Mark what supports your answer."

    def to_yaml(self) -> str:
        """Return the whole study as YAML, with the defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
