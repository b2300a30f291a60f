"""Plain cross-entropy, the baseline that every guided loss is compared with."""

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
    """Return the mean cross-entropy of `logits` `(B, K)` and `labels` `(B,)`, in float32.

    With `class_weights` `(K,)` it is torch's weighted mean: each image counts with the weight of its class. Unlike in
    torch, the weights of the images of all processes are summed where there are several, so that the gradients which
    the processes average are those of the whole batch; every process must then take part. Without weights the processes
    exchange nothing.

    Where images may have several labels, `labels` are `(B, K)` zeros and ones, and each class is a yes or no of its
    own. The result is the mean over images and classes of the binary cross-entropy; `class_weights` weight the mean
    over classes.

    With `targets` `(B, K)`, which say how probable each class is, the labels are not looked at. An image adds the sum
    over classes of `target * cross-entropy of that class`, and counts with the mean weight of its classes. Where images
    may have several labels, the targets take the place of the zeros and ones.

    Raises:
        SalignError: labels, logits and weights do not belong together, or a label names a class that does not exist.
    """
    return cross_entropies(logits, labels, class_weights, targets).mean()


def cross_entropies(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, targets: Tensor | None = None
) -> Tensor:
    """Return the contribution of each image, `(B,)` float32, whose mean is `cross_entropy`."""
    check_answers(logits, labels, class_weights)
    tensors(logits=(logits, "float (B, K)"), targets=(targets, "float (B, K) or None"))
    if targets is not None:
        values("targets", targets, "[0, 1]", slack=1e-4)  # numbers that add up to one may be rounded
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
    """Average `(B, K)` values over the classes, weighted by `class_weights` `(K,)` if given; the result is `(B,)`."""
    if class_weights is None:
        return values.mean(1)
    return (values * class_weights).sum(1) / class_weights.sum()


class CrossEntropy(Loss):
    """Cross-entropy; human saliency is not looked at."""

    guided = False

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch."""
        loss = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        return LossTerms(loss, {"ce": loss.detach()})
