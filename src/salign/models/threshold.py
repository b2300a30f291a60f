"""The probability from which on an image is called by a class, as it was chosen on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salign.class_names import called_from
from salign.errors import SalignError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Threshold(BaseModel):
    """A threshold as `model.json` keeps it, to the last digit: writing and reading do not change a bit of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    positive: Annotated[str, Field(min_length=1, max_length=4096)]
    """The class that an image is called by from the threshold on; below it, the image is called by the other class."""
    probability: Annotated[float, Field(ge=0, le=1.001)]
    """In [0, 1], or just above the highest probability on validation images: then no image is called positive."""
    rule: Annotated[str, Field(min_length=1, max_length=100)]
    """The rule by which the threshold was chosen, see `salign.evaluate.choose_threshold`."""

    def __str__(self) -> str:
        return called_from(self.positive, self.probability, self.rule)

    def fits(self, classes: Sequence[str], *, multi_label: bool) -> None:
        """Refuse classes that the threshold does not fit: it needs two, one of which is its positive class.

        Raises:
            SalignError: the classes are not two that exclude each other, or the positive class is not one of them.
        """
        if len(classes) != 2 or multi_label:
            raise SalignError(
                f"threshold: expected two classes that exclude each other, got {len(classes)}"
                f"{', of which an image may have several' if multi_label else ''}."
            )
        if self.positive not in classes:
            raise SalignError(f"threshold: its class {self.positive!r} is none of {', '.join(classes)}.")

    def answers(self, probabilities: Tensor | NDArray[Any], classes: Sequence[str]) -> list[str]:
        """Return the class that each image is called by, given its probabilities `(B, 2)`."""
        positive = list(classes).index(self.positive)
        called = (probabilities[:, positive] >= self.probability).tolist()
        return [classes[positive if is_positive else 1 - positive] for is_positive in called]
