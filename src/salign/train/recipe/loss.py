"""Section `loss` of a recipe: what is minimised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from salign.config import Pass, Section
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.models.config import description_file
from salign.train.recipe.options import option_faults

if TYPE_CHECKING:
    from torch import Tensor

    from salign.losses import Loss
    from salign.losses.base import Teacher

_TERMS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("swap", "evidence_weight"): ("evidence", {}),
    ("swap", "map_weight"): ("hint", {"form": "mse"}),
}
"""Loss and option of earlier versions -> the loss, with its options, whose weight it was; `also` says that now."""
_DOSE = {"dose": Annotated[float, Field(gt=0)]}
"""What an entry of `also` has besides the options of its loss."""


class LossRecipe(BaseModel):
    """The section names the loss; it takes the options of that loss besides the keys below."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str = "cyborg"
    """The loss is one of salign.losses.LOSSES."""
    class_weights: Literal["none", "balanced"] | list[float] = "none"
    """The cross-entropy has these weights per class; "balanced" is images / (classes * images of the class)."""
    also: dict[str, dict[str, Any]] = {}
    """The weighted terms of these losses are added to the total: name -> options, such as `hint: {form: mse, weight:
    10}`."""
    teacher: str | None = None
    """A loss that learns from a teacher, as `distill` does, takes this finished run for it: its folder."""
    dose: float | None = Field(default=None, gt=0)
    """The weight of the loss, or its alpha, is chosen in every step so that its terms pull at the last feature maps
    this many times as hard as cross-entropy; null means that the weight is what it says. An entry of `also` has a
    dose of its own."""

    @field_validator("teacher")
    @classmethod
    def _is_there(cls, folder: str | None, info: ValidationInfo) -> str | None:
        return _finished(folder, info)

    @model_validator(mode="after")
    def _options_fit(self, info: ValidationInfo) -> LossRecipe:
        extras, torch = self.model_extra or {}, Pass.of(info).torch
        faults = _faults(self.name, extras, values=torch)
        if self.dose is not None:
            faults += _dose_faults(self.name, extras)
        for name, options in self.also.items():
            faults += [f"also.{name}: {fault}" for fault in _faults(name, options, values=torch, further=_DOSE)]
            if "dose" in options:
                faults += [f"also.{name}: {fault}" for fault in _dose_faults(name, options)]
        for key, (name, _) in self._earlier_names().items():
            if extras.get(key) and name in self.also:
                faults.append(f"{key} is an earlier name of also.{name}.weight, and both are given; leave {key} out")
        if torch and not faults and self.model_fields_set:  # of a loss that a recipe says nothing of all is known
            try:
                taught = "teacher" in self.build().needs
            except SalignError as error:
                faults.append(str(error))
            else:
                if taught and self.teacher is None:
                    faults.append("it has a term that needs a teacher; name a finished run: loss.teacher: RUN")
                if self.teacher is not None and not taught:
                    faults.append("no term of it learns from a teacher; add one, as by also: {distill: {}}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of the loss itself, `class_weights` apart."""
        return {key: value for key, value in (self.model_extra or {}).items() if (self.name, key) not in _TERMS}

    @property
    def earlier(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Options of earlier versions that this recipe uses -> the loss and the options that `also` has instead.

        What was one loss had one ramp, so the added term follows `ramp_epochs` of the loss.
        """
        extras = self.model_extra or {}
        return {
            key: (name, {**options, "weight": extras[key]})
            for key, (name, options) in self._earlier_names().items()
            if extras.get(key)
        }

    def content(self) -> dict[str, Any]:
        """What counts in a fingerprint: a term that had an earlier name has it here, so that runs are found again."""
        content = self.model_dump(mode="json")
        for key, (name, options) in self._earlier_names().items():
            added = dict(self.also.get(name, {}))
            weight = added.pop("weight", None)
            if weight is not None and added == options:
                content[key] = weight
                del content["also"][name]
        return content

    def _earlier_names(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Option of earlier versions -> the loss whose weight it was, and its other options."""
        extras = self.model_extra or {}
        ramp = {"ramp_epochs": extras["ramp_epochs"]} if "ramp_epochs" in extras else {}
        return {
            key: (name, {**options, **ramp}) for (loss, key), (name, options) in _TERMS.items() if loss == self.name
        }

    def build(self, class_weights: Tensor | None = None, teacher: Teacher | None = None) -> Loss:
        """The loss with all that is added to it.

        Args:
            class_weights: `(K,)` for every cross-entropy in it, as computed from the training labels; None = all alike.
            teacher: what its terms learn from that need a teacher.

        Raises:
            SalignError: An option has a value that its loss refuses, or a loss cannot be added to another.
        """
        from salign.train.objective import Objective

        main = _built(self.name, class_weights, **self.options, dose=self.dose)
        added = sorted([*self.earlier.values(), *self.also.items()])
        also = {name: _built(name, class_weights, **options) for name, options in added}
        for loss in (main, *also.values()):
            loss.teacher = teacher
        return Objective(main, also) if also else main


class PretrainLossRecipe(Section):
    """The section says what is learned without labels: to embed images as a teacher does, or to tell them apart."""

    target: Literal["teacher", "contrast"] = "teacher"
    """`teacher` learns the embeddings of a network that was trained before (S2-BNN); `contrast` tells two views of an
    image from other images (MoCo v2), and needs no teacher."""
    teacher: str | None = None
    """This finished run of a classifier is the teacher; null means tf_efficientnet_lite0 with the ImageNet weights that
    the installation brings."""
    temperature: float = Field(default=0.2, gt=0)
    """Embeddings are divided by this number before the softmax; .2 is published."""
    queue: int = Field(default=256, ge=1, le=1_000_000)
    """`contrast` tells an image from this many images of the steps before; less than the training images."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """`contrast` has a second network, whose weights follow by this share of themselves in each step."""

    @field_validator("teacher")
    @classmethod
    def _is_there(cls, folder: str | None, info: ValidationInfo) -> str | None:
        return _finished(folder, info)

    @model_validator(mode="after")
    def _teacher_teaches(self) -> Self:
        if self.target == "contrast" and self.teacher is not None:
            raise ValueError("target: contrast has no teacher; leave loss.teacher out, or take target: teacher")
        return self


def _finished(folder: str | None, info: ValidationInfo) -> str | None:
    """The folder of a teacher, which must be there when the files are looked for."""
    complete = folder is None or folder.startswith("stage:") or description_file(folder).exists()
    if Pass.of(info).files and not complete:
        raise ValueError(f"{folder} is no folder of a finished run: there is no model.json in it")
    return folder


def _faults(name: str, options: dict[str, Any], *, values: bool, further: Mapping[str, Any] | None = None) -> list[str]:
    earlier = {key: float for (loss, key) in _TERMS if loss == name}
    return option_faults("loss", LOSSES, name, options, values=values, further={**earlier, **(further or {})})


def _dose_faults(name: str, options: dict[str, Any]) -> list[str]:
    """What else of a loss speaks against a dose: it says itself how much its terms count."""
    twice = [key for key in ("weight", "alpha") if key in options and not (key == "alpha" and name != "cyborg")]
    return [f"a dose chooses {key}; leave {key} or dose out" for key in twice]


def _built(name: str, class_weights: Tensor | None, *, dose: float | None = None, **options: Any) -> Loss:
    from salign.losses import GuidedLoss
    from salign.losses.dose import Dose

    loss = LOSSES[name](class_weights=class_weights, **options)
    if dose is not None:
        if not (loss.takes_dose and isinstance(loss, GuidedLoss)):
            raise SalignError(
                f"loss {name} takes no dose: its total is not cross-entropy plus terms that act through the last "
                "feature maps; leave dose out, and give weight where it has one"
            )
        loss.dose = Dose(dose)
    return loss


class SaliencyLossRecipe(Section):
    """The section says what is predicted, and how the distance to it is measured."""

    target: Literal["map", "image"] = "map"
    """The net predicts the human map, or the image itself: a control for pretraining that sees as many images and no
    map of people."""
    name: Literal["mse", "bce", "kl", "cc", "dice"] = "mse"
    """The distance is one of salign.losses.map_losses.MAP_LOSSES; images are always compared by mse."""
