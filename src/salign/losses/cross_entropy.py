"""Plain cross-entropy: the baseline every guided loss is compared with."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from salign.checks import tensors, values
from salign.collectives import over_processes
from salign.losses.base import Loss, LossTerms
from salign.losses.labels import check_answers
from salign.types import Batch, Output


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, targets: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of `logits` `(B, K)` and `labels` `(B,)`, in float32.

    With `class_weights` `(K,)` it is the weighted mean of torch: each image counts with the weight of its class. Unlike
    torch's, the weights of all processes are counted where there are several, so that the gradients which they average
    are those of the whole batch; every process must then take part. Without weights nothing is exchanged.

    Where images may have several labels, `(B, K)` zeros and ones, each class is a yes or no of its own: it is the mean
    over images and classes of the binary cross-entropy, the mean over classes weighted by `class_weights`.

    With `targets` `(B, K)`, how probable each class is, the labels are not looked at: an image adds the sum over
    classes of `target * cross-entropy of that class`, and counts with the mean weight of its classes.

    Raises:
        SalignError: labels, logits and weights that do not belong together, or a class that there is not.
    """
    return cross_entropies(logits, labels, class_weights, targets).mean()


def cross_entropies(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, targets: Tensor | None = None
) -> Tensor:
    """What each image adds: `(B,)` float32, whose mean is `cross_entropy`."""
    check_answers(logits, labels, class_weights)
    tensors(logits=(logits, "float (B, K)"), targets=(targets, "float (B, K) or None"))
    if targets is not None:
        values("targets", targets, "[0, 1]", slack=1e-4)  # rounding of what adds up to one
    if labels.dim() == 2:
        logits = logits.float()
        probable = (labels if targets is None else targets).to(logits.dtype)
        each = functional.binary_cross_entropy_with_logits(logits, probable, reduction="none")
        return over_classes(each, class_weights)
    answers = labels if targets is None else targets.to(logits.float().dtype)
    each = functional.cross_entropy(logits.float(), answers, weight=class_weights, reduction="none")
    if class_weights is None:
        return each
    weights = class_weights[labels] if targets is None else (targets * class_weights).sum(1)
    total, factor = over_processes(weights.sum())
    return each * (len(labels) * factor / total)


def over_classes(values: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """`(B, K)` -> `(B,)`: the mean over classes, or the mean weighted by `(K,)` weights."""
    if class_weights is None:
        return values.mean(1)
    return (values * class_weights).sum(1) / class_weights.sum()


class CrossEntropy(Loss):
    """Cross-entropy; human saliency is not looked at."""

    guided = False

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """The loss of one batch."""
        loss = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        return LossTerms(loss, {"ce": loss.detach()})
