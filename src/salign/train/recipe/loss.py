"""Section `loss` of a recipe, which says what is minimised."""

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
"""Loss and option of earlier versions -> the loss, with its options, whose weight the option was.

Today's recipes give this loss in `also`.
"""
_DOSE = {"dose": Annotated[float, Field(gt=0)]}
"""Options that an entry of `also` has besides the options of its loss, with their types."""


class LossRecipe(BaseModel):
    """The section names the loss; besides the keys below, it takes the options of that loss."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str = "cyborg"
    """The loss is one of salign.losses.LOSSES."""
    class_weights: Literal["none", "balanced"] | list[float] = "none"
    """The cross-entropy has these weights per class; "balanced" is images / (classes * images of the class)."""
    also: dict[str, dict[str, Any]] = {}
    """The weighted terms of these losses are added to the total: name -> options, such as `hint: {form: mse, weight:
    10}`."""
    teacher: str | None = None
    """This folder of a finished run is the teacher for a loss that learns from a teacher, such as `distill`."""
    dose: float | None = Field(default=None, gt=0)
    """The weight of the loss, or its alpha, is chosen in every step so that its terms pull at the last feature maps
    this many times as hard as cross-entropy; null takes the weight or alpha as given. An entry of `also` may have a
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
        if torch and not faults and self.model_fields_set:  # the default loss needs no check
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
        """The keyword arguments of the loss itself, without `class_weights`."""
        return {key: value for key, value in (self.model_extra or {}).items() if (self.name, key) not in _TERMS}

    @property
    def earlier(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Options of earlier versions that this recipe uses -> the loss and its options that `also` would have today.

        In earlier versions, both terms belonged to one loss with one ramp, so that the added term takes `ramp_epochs`
        of this loss.
        """
        extras = self.model_extra or {}
        return {
            key: (name, {**options, "weight": extras[key]})
            for key, (name, options) in self._earlier_names().items()
            if extras.get(key)
        }

    def content(self) -> dict[str, Any]:
        """Return the values that count in a fingerprint.

        A term in `also` that earlier versions gave as an option appears as this option, so that earlier runs are found
        again.
        """
        content = self.model_dump(mode="json")
        for key, (name, options) in self._earlier_names().items():
            added = dict(self.also.get(name, {}))
            weight = added.pop("weight", None)
            if weight is not None and added == options:
                content[key] = weight
                del content["also"][name]
        return content

    def _earlier_names(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return option of earlier versions -> the loss whose weight it was, and the other options of that loss."""
        extras = self.model_extra or {}
        ramp = {"ramp_epochs": extras["ramp_epochs"]} if "ramp_epochs" in extras else {}
        return {
            key: (name, {**options, **ramp}) for (loss, key), (name, options) in _TERMS.items() if loss == self.name
        }

    def build(self, class_weights: Tensor | None = None, teacher: Teacher | None = None) -> Loss:
        """Build the loss with all losses that are added to it.

        Args:
            class_weights: `(K,)`, the weights of the classes in every cross-entropy of the loss; None means that all
                classes count alike.
            teacher: the teacher for the terms that need one.

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
    """The section says what is learned without labels: to embed images as a teacher does, or to tell images apart."""

    target: Literal["teacher", "contrast"] = "teacher"
    """`teacher` learns the embeddings of a network that was trained before (S2-BNN); `contrast` learns to tell two
    views of an image from other images (MoCo v2), and needs no teacher."""
    teacher: str | None = None
    """This finished run of a classifier is the teacher; null means tf_efficientnet_lite0 with the ImageNet weights that
    come with the installation."""
    temperature: float = Field(default=0.2, gt=0)
    """The numbers of an embedding (`teacher`) or the similarities of two embeddings (`contrast`) are divided by this
    number before the softmax; 0.2 is published."""
    queue: int = Field(default=256, ge=1, le=1_000_000)
    """`contrast` tells an image from this many images of earlier steps; the number must be below that of the training
    images."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """`contrast` has a second network; in each step, its weights are this share of themselves and the rest of the first
    network's weights."""

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
    """Check that the folder of a teacher holds a finished run, if files are checked, and return the folder."""
    complete = folder is None or folder.startswith("stage:") or description_file(folder).exists()
    if Pass.of(info).files and not complete:
        raise ValueError(f"{folder} is no folder of a finished run: there is no model.json in it")
    return folder


def _faults(name: str, options: dict[str, Any], *, values: bool, further: Mapping[str, Any] | None = None) -> list[str]:
    earlier = {key: float for (loss, key) in _TERMS if loss == name}
    return option_faults("loss", LOSSES, name, options, values=values, further={**earlier, **(further or {})})


def _dose_faults(name: str, options: dict[str, Any]) -> list[str]:
    """Return faults if a loss has a dose and also says itself, by `weight` or `alpha`, how much its terms count."""
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
    """The section says what the net predicts, and how the distance of its prediction is measured."""

    target: Literal["map", "image"] = "map"
    """The net predicts the human map, or the image itself. The image is a control for pretraining: the net sees as many
    images, and no map of people."""
    name: Literal["mse", "bce", "kl", "cc", "dice"] = "mse"
    """The distance is one of salign.losses.map_losses.MAP_LOSSES; images are always compared by mse."""
