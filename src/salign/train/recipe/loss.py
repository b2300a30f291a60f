"""Section `loss` of a recipe: what is minimised."""

from __future__ import annotations

import typing
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from salign.config import Section
from salign.errors import SalignError, nearest
from salign.losses import LOSSES

_FINITE = ConfigDict(allow_inf_nan=False)


class LossRecipe(BaseModel):
    """Which loss; keys besides `name` and `class_weights` are that loss's own options."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str = "cyborg"
    """A name of salign.losses.LOSSES."""
    class_weights: Literal["none", "balanced"] | list[float] = "none"
    """Per class in the cross-entropy; "balanced" = images / (classes * images of the class)."""

    @model_validator(mode="after")
    def _options_fit(self) -> LossRecipe:
        if self.name not in LOSSES:
            raise ValueError(f"unknown loss {self.name!r}; there are {', '.join(LOSSES)}")
        known = typing.get_type_hints(LOSSES[self.name].__init__)
        known = {key: hint for key, hint in known.items() if key not in ("return", "class_weights")}
        given, faults = self.model_extra or {}, []
        for key, value in given.items():
            if key not in known:
                faults.append(f"loss {self.name} has no option {key!r}{nearest(key, known)}")
                continue
            try:
                given[key] = TypeAdapter(known[key], config=_FINITE).validate_python(value)
            except ValidationError as error:
                faults += [f"{key}: {fault['msg']}, got {value!r}" for fault in error.errors()]
        if not faults:
            try:
                LOSSES[self.name](**given)
            except SalignError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Keywords for the loss, `class_weights` apart."""
        return dict(self.model_extra or {})


class SaliencyLossRecipe(Section):
    """What is predicted, and how the distance to it is measured."""

    target: Literal["map", "image"] = "map"
    """The human map; or the image itself, the control for pretraining that sees as many images and no person."""
    name: Literal["mse", "bce", "kl", "cc", "dice"] = "mse"
    """A name of salign.losses.map_losses.MAP_LOSSES; images are always compared by mse."""
