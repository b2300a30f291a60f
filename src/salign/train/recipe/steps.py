"""Section `steps` of a recipe: the steps that change a training batch before the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from salign.config import Pass
from salign.errors import SalignError
from salign.train.recipe.options import option_faults
from salign.train.steps import STEPS

if TYPE_CHECKING:
    from salign.train.steps import Step


class StepRecipe(BaseModel):
    """An entry of `steps` names a step; its other keys are the options of that step."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str
    """The step is one of salign.train.steps.STEPS."""

    @model_validator(mode="after")
    def _options_fit(self, info: ValidationInfo) -> StepRecipe:
        options, torch = self.model_extra or {}, Pass.of(info).torch
        faults = option_faults("step", STEPS, self.name, options, values=torch)
        if torch and not faults:
            try:
                self.build()
            except SalignError as error:
                faults = [str(error)]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the step."""
        return dict(self.model_extra or {})

    def build(self) -> Step:
        """Build the step.

        Raises:
            SalignError: an option has a value that the step refuses.
        """
        return STEPS[self.name](**self.options)
