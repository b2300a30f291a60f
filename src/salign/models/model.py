"""The base class of every model that answers: its classes, and what its logits say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import compress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from salign.class_names import SEPARATOR
from salign.models.threshold import Threshold


class Model(nn.Module, ABC):
    """A network with `model(images) -> Output`, for images `(B, 3, H, W)` in [0, 1], that knows its classes."""

    config: dict[str, Any]
    """The arguments that the model was built from, as in the file that describes it."""
    classes: tuple[str, ...]
    """The names of the classes, in the order of the logits."""
    image_size: tuple[int, int]
    """(H, W) to which images are resized."""
    multi_label: bool
    """Whether an image may have several labels, or none."""
    threshold: Threshold | None = None
    """The probability from which on an image is called by the positive of two classes, if one was chosen on validation
    images; `save` keeps it."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits `(B, K)` into probabilities: by softmax, or by sigmoid if images may have several labels."""
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def answers(self, logits: Tensor) -> list[str]:
        """Return the name of the class with the highest logit for each image.

        Where images may have several labels, it is the names of all classes with a logit above 0, joined by `;`.
        """
        if self.multi_label:
            return [SEPARATOR.join(sorted(compress(self.classes, above))) for above in (logits > 0).tolist()]
        return [self.classes[k] for k in logits.argmax(1).tolist()]

    @abstractmethod
    def save(self, folder: Path | str) -> Path:
        """Write the model into `folder`, each file whole or not at all."""
