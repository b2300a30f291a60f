"""What every model that answers has in common: its classes, and what its logits say."""

from __future__ import annotations

from abc import abstractmethod
from itertools import compress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from salign.class_names import SEPARATOR
from salign.models.threshold import Threshold


class Model(nn.Module):
    """A network with `model(images) -> Output`, for images `(B, 3, H, W)` in [0, 1], that knows its classes."""

    config: dict[str, Any]
    """What it was made from, as the file says that describes it."""
    classes: tuple[str, ...]
    """The names of the classes, in the order of the logits."""
    image_size: tuple[int, int]
    """(H, W) that images are brought to."""
    multi_label: bool
    """Whether an image may have several labels, or none."""
    threshold: Threshold | None = None
    """From which probability of the positive of two classes on an image is called by it, where that was chosen on
    validation images; `save` keeps it."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(B, K)` logits -> `(B, K)`: softmax; of classes that are each a yes or no, sigmoid."""
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def answers(self, logits: Tensor) -> list[str]:
        """Each image's class with the highest logit; where it may have several, those above 0 joined by `;`."""
        if self.multi_label:
            return [SEPARATOR.join(sorted(compress(self.classes, above))) for above in (logits > 0).tolist()]
        return [self.classes[k] for k in logits.argmax(1).tolist()]

    @abstractmethod
    def save(self, folder: Path | str) -> Path:
        """Write the model into `folder`, each file whole or not at all."""
