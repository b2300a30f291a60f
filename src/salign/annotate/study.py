"""A study of annotation: what is asked, of whom, how often; a frozen pydantic model that reads and writes YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from salign.config import Section, explained, read_values
from salign.data.manifest.folder_layout import Folders
from salign.errors import SalignError

Mode = Literal["single", "pair", "review", "assisted"]
Arm = Literal["none", "decision", "map", "both"]


class Assisted(Section):
    """What help is shown in mode `assisted`, and how it is drawn by lot."""

    arms: list[Arm] = Field(default=["none", "decision", "map", "both"], min_length=1)
    """The kinds of help compared."""
    by: Literal["annotator", "image"] = "annotator"
    """`annotator`: one arm for each person, all arms equally often; `image`: every person meets all arms, in random
    order, equally often."""
    decision: str = "decision"
    """Manifest column with the model's answer."""
    map: str = "model_map"
    """Manifest column with the model's map."""


class Export(Section):
    """How maps and splits are made when annotations are exported."""

    aggregate: Literal["union", "mean", "majority", "staple", "weighted"] = "mean"
    """How the maps of several people become one."""
    sigma: float = Field(default=0.0, ge=0)
    """Gaussian smoothing of the maps in pixels; 0 = as drawn."""
    grain: Literal["boundary", "area", "features"] = "features"
    """How fine the maps are: boxes around what was marked, it with what it encloses, or as painted."""
    shares: dict[str, float] = Field(default={"train": 0.6, "val": 0.2, "test": 0.2}, min_length=1)
    """Splits and their shares, drawn by `seed` within each label, where the manifest has no splits."""


class Limits(Section):
    """What the server takes from one client."""

    body: int = Field(default=2_000_000, ge=1000)
    """Bytes of a request."""
    rate: float = Field(default=20.0, gt=0)
    """Requests a second, for each token."""
    burst: int = Field(default=60, ge=1)
    """Requests at once, for each token."""
    seconds: float = Field(default=15.0, gt=0)
    """A client that takes longer to send its request is cut off."""
    text: int = Field(default=2000, ge=1)
    """Characters of a free text."""
    shapes: int = Field(default=5000, ge=1)
    """Shapes of one annotation."""


class Study(Section):
    """What annotators see and how images are handed out."""

    title: str = "Annotation"
    """Heading of the page."""
    question: str = ""
    """Asked of every image; empty = one that fits the mode, see `asked`."""
    instructions: str = ""
    """Plain text shown before the first image; blank lines part paragraphs."""
    consent: str = ""
    """Plain text that an annotator must agree to; empty = nothing is asked."""
    mode: Mode = "single"
    """One image; which of a pair; judging other people's maps; answering with a model's help."""
    classes: list[str] = []
    """Answers, in the order of the number keys; empty = the labels of the manifest, without one only marks are made."""
    target: str | None = None
    """Pair mode: which class the question asks for; None = the last."""
    pairs: list[tuple[str, str]] | None = None
    """Pair mode: image ids; None = drawn by `seed`, each an image of the target class with one of another."""
    unmarked: bool = False
    """Ask only about images that have no map in the manifest (its column `saliency`), and about gold images."""
    annotators_per_image: int = Field(default=1, ge=1)
    """How many people see an image; gold images are shown to everybody."""
    least_sure_first: bool = True
    """Review mode: drafts come by the column `confidence` of the manifest, where it has one; else in random order."""
    seed: int = 0
    """Of the order, the pairs, the arms and the splits of the export."""
    gold: dict[str, str] = {}
    """Image id (in pair mode the id of either image) -> the answer that is known to be right."""
    gold_feedback: bool = False
    """Tell the annotator at once whether the answer to a gold image was right."""
    gold_share: float = Field(default=0.1, gt=0, le=0.5)
    """One in so many tasks is a gold image, until all were seen."""
    drafts: str | None = None
    """Review mode: a `shapes.json` as exported, beside this file; None = the maps of the manifest."""
    enough: float | None = Field(default=None, gt=0, le=1)
    """Review mode: mean IoU of the drafts with what became of them from which on the rest need nobody; see the owner's
    page."""
    assisted: Assisted = Assisted()
    """Assisted mode: which help."""
    skip_reasons: list[str] = ["cannot tell", "bad image", "something else"]
    """Offered when an image is skipped; a reason of one's own can be written too."""
    confidence: bool = False
    """Ask how sure the annotator is, 1 to 5."""
    require_map: bool = True
    """An answer needs a mark, or a click on "nothing to mark"."""
    window_level: bool = False
    """Offer window and level, for images of more than 8 bits."""
    lease_minutes: float = Field(default=60.0, gt=0)
    """An image handed out and not answered in this time goes to somebody else."""
    folders: Folders = "auto"
    """What the folders above the images say where no manifest does: `split/class`, `class`, `split` or `none`; `auto` =
    found out, see docs/annotate.md."""
    export: Export = Export()
    """How annotations are exported."""
    limits: Limits = Limits()
    """What the server takes from one client."""
    hosts: list[str] = []
    """Further names under which browsers may reach the server, e.g. that of a proxy."""

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
        """Read a YAML file; keywords that are not None win over it.

        Raises:
            SalignError: every fault at once.
        """
        content = read_values(path, None, "annotation study", "title, question, classes")
        return cls.build({**content, **{key: value for key, value in over.items() if value is not None}}, str(path))

    @classmethod
    def build(cls, content: dict[str, Any], source: str = "study") -> Study:
        """Check a nested dict.

        Raises:
            SalignError: every fault at once; an unknown key comes with the nearest known one.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise SalignError(explained(error, cls, source)) from error

    @property
    def asked(self) -> str:
        """The question, or the one that fits the mode."""
        if self.mode == "review":
            return self.question or "Is this map right? Accept it, edit it, or reject it."
        return self.question or "Which class is it? Mark what supports your answer."

    def to_yaml(self) -> str:
        """The whole study, defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
