"""One label per image or several: whose evidence a loss asks for, and whether an answer is right.

Labels are `(B,)` class numbers; or `(B, K)` zeros and ones where an image may have several, or none. What
`Output.cam` and `Output.grad_cam` are asked for is then the mean over the image's classes, as `(B, K)` coefficients:
1/n for each of its n classes. An image without a class has zeros there, and counts in no term that looks at its class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import readable, tensors, values
from salign.errors import SalignError


def check_answers(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> None:
    """Refuse logits, labels and weights that do not belong together.

    Args:
        logits: `(B, K)` floating point; of two classes at least, unless images may have several labels.
        labels: `(B,)` int64 in [0, K), or `(B, K)` zeros and ones.
        class_weights: `(K,)` floating point, 0 or more; None = all alike.
    """
    several = isinstance(labels, Tensor) and labels.dim() == 2
    tensors(
        logits=(logits, "float (B, K)"),
        labels=(labels, "real (B, K)" if several else "int64 (B,)"),
        class_weights=(class_weights, "float (K,) or None"),
    )
    if class_weights is not None:
        values("class_weights", class_weights, "[0, inf)")
    if not several:
        if logits.shape[1] < 2:
            raise SalignError(f"logits: expected (B, K) of two classes or more, got {tuple(logits.shape)}.")
        values("labels", labels, f"[0, {logits.shape[1] - 1}]")
    elif labels.device.type == "cpu" and readable(labels) and not bool(((labels == 0) | (labels == 1)).all()):
        raise SalignError("labels: expected (B, K) zeros and ones, got other numbers, too; class numbers are (B,).")


def true_class(labels: Tensor) -> Tensor:
    """What to ask for the evidence of an image's label, or of the mean of its labels: `(B,)`, or `(B, K)` float32."""
    return mean_over(labels) if labels.dim() == 2 else labels


def predicted_class(logits: Tensor, *, multi_label: bool) -> Tensor:
    """The same of what is predicted: the highest logit; where images may have several labels, all logits above 0."""
    return mean_over(logits > 0) if multi_label else logits.argmax(1)


def mean_over(members: Tensor) -> Tensor:
    """`(B, K)` bool, or zeros and ones -> float32: 1/n for each of an image's n classes, zeros where it has none."""
    return members.float() / members.sum(1, keepdim=True).clamp(min=1)


def has_class(classes: Tensor) -> Tensor:
    """`(B,)` bool: whether an image is asked for the evidence of any class; `classes` as `Output.cam` takes it."""
    if classes.is_floating_point():
        return (classes != 0).any(1)
    return torch.ones_like(classes, dtype=torch.bool)


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """`(B, K)` values of all classes -> `(B,)`: of the class asked for, or the mean of those."""
    if classes.is_floating_point():
        return (values * classes).sum(1)
    return values.gather(1, classes[:, None])[:, 0]


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """`(B,)` bool: whether the label is predicted; of several labels, all of them and no other."""
    if labels.dim() == 2:
        return ((logits > 0) == labels.bool()).all(1)
    return logits.argmax(1) == labels


def target_of(labels: Tensor, classes: int, targets: Tensor | None = None) -> Tensor:
    """`(B, K)` float32: how probable each class is; one for the labels, where there are no `targets` `(B, K)`."""
    if targets is not None:
        return targets
    return labels.float() if labels.dim() == 2 else functional.one_hot(labels, classes).float()


def contradicts(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """`(B,)` bool: whether an answer is wrong, by the label, or by how probable each class is where that is known.

    With `targets` `(B, K)` the answer of an image that is half of one class and half of another is right with either:
    it is wrong where its class has less than an even share, `target < 1 / K`; of several labels, where a class is
    answered that is less probable than not, or left out that is more probable than not.
    """
    if targets is None:
        return ~right(logits, labels)
    if labels.dim() == 2:
        return torch.where(logits > 0, targets < 0.5, targets > 0.5).any(1)
    return targets.gather(1, logits.argmax(1)[:, None])[:, 0] < 1 / logits.shape[1]
