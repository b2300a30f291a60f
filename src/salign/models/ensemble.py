"""Several classifiers of one architecture that answer as one: the weighted mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from salign.errors import SalignError
from salign.models.classifier import Classifier
from salign.models.config import ENSEMBLE, describe_model
from salign.models.model import Model
from salign.models.running import keep_running_statistics
from salign.models.saved import restored, save_model
from salign.types import Output


class Ensemble(Model):
    """Several classifiers as one, `ensemble(images) -> Output`; it averages the probabilities of its members by weight.

    The map of a class is the weighted mean of the members' maps. A mean of probabilities has no exact map: the spatial
    mean of this map is the weighted mean of the members' logits without their biases, and not the logit of the
    ensemble.

    Args:
        members: classifiers that were made alike, each with a linear head, such as the snapshots of one training.
        weights: how much each member counts; they are positive, and sum to 1.

    Raises:
        SalignError: there is no member, or they do not fit together.
    """

    weights: Tensor

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float]) -> None:
        super().__init__()
        if not members or len(members) != len(weights):
            raise SalignError(f"expected one weight per member, got {len(weights)} for {len(members)} members.")
        if min(weights) <= 0 or abs(sum(weights) - 1) > 1e-6:
            raise SalignError(f"weights: expected positive numbers that sum to 1, got {', '.join(map(str, weights))}.")
        first = members[0]
        if strange := next((member for member in members if member.config != first.config), None):
            raise SalignError(f"expected members that were made alike, got {first.config} and {strange.config}.")
        if first.backbone.cam_kind != "linear":
            raise SalignError(
                f"{first.backbone.name}: its head is not linear, so that the mean of its members' maps is no map of "
                "one pass. Take a network with a linear head on the mean of its feature maps."
            )
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.tensor(list(weights), dtype=torch.float32))
        self.config: dict[str, Any] = {**first.config, "members": len(members)}
        self.classes, self.image_size, self.multi_label = first.classes, first.image_size, first.multi_label

    def forward(self, images: Tensor) -> Output:
        """Run every member on images `(B, 3, H, W)`, float in [0, 1]: as many passes as there are members.

        The features of the Output are those of all members, one after the other, `(B, M C, h, w)`.

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        outputs = [member(images) for member in self._classifiers()]
        features = torch.cat([output.features for output in outputs], dim=1)
        rows = [value * cast(Tensor, output.weight) for value, output in zip(self.weights, outputs, strict=True)]
        logits = self._fuse([output.logits for output in outputs])
        return Output(logits, features, self.head, torch.cat(rows, dim=1), again=self.again)

    def again(self, images: Tensor) -> Output:
        """Run `forward` on changed copies of images; the running statistics of batch norm do not learn from them."""
        with keep_running_statistics(self):
            return self(images)

    def head(self, features: Tensor) -> Tensor:
        """Return the logits `(B, K)` of the members' feature maps `(B, M C, h, w)`."""
        parts = features.chunk(len(self.weights), dim=1)
        return self._fuse([member.backbone.head(part) for member, part in zip(self._classifiers(), parts, strict=True)])

    def _classifiers(self) -> list[Classifier]:
        return cast(list[Classifier], list(self.members))

    def _fuse(self, logits: Sequence[Tensor]) -> Tensor:
        """Return the logits of the weighted mean of the members' probabilities, given their logits, each `(B, K)`."""
        each = torch.stack([values.float() for values in logits])
        scale = self.weights.log().view(-1, 1, 1)
        if not self.multi_label:
            return (log_softmax(each, 2) + scale).logsumexp(0)
        # The logit of a probability p is log p - log(1 - p); both are means over the members.
        return (logsigmoid(each) + scale).logsumexp(0) - (logsigmoid(-each) + scale).logsumexp(0)

    def save(self, folder: Path | str) -> Path:
        """Write `ensemble.json` and `weights.safetensors`, which has the weights of all members, into `folder`."""
        return save_model(self, folder, ENSEMBLE)

    @classmethod
    def load(cls, folder: Path | str) -> Ensemble:
        """Load the ensemble that was saved in `folder`, in evaluation mode, on the CPU.

        Raises:
            SalignError: there is no ensemble, or it is damaged.
        """
        folder, config = Path(folder), describe_model(folder, ENSEMBLE)
        threshold, count = config.pop("threshold", None), config.pop("members")
        model = cls([Classifier.build(config, folder / ENSEMBLE) for _ in range(count)], [1 / count] * count)
        return restored(model, folder, ENSEMBLE, threshold)
