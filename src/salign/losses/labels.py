"""Helpers for one label per image or several: whose evidence a loss asks for, and whether an answer is right.

Labels are `(B,)` class numbers, or `(B, K)` zeros and ones where an image may have several labels, or none. In the
second case `Output.cam` and `Output.grad_cam` are asked for the mean over the image's classes, by `(B, K)`
coefficients: 1/n for each of its n classes. An image without a class has zeros there, and does not count in any term
that looks at its class.
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
        logits: `(B, K)` floating point; K is at least 2, unless images may have several labels.
        labels: `(B,)` int64 in [0, K), or `(B, K)` zeros and ones.
        class_weights: `(K,)` floating point, 0 or more; None = all classes weigh the same.
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
    """Return what to ask `Output.cam` for to get the evidence of an image's label: `(B,)` classes.

    Where images may have several labels, they are `(B, K)` float32 coefficients of the mean over an image's labels.
    """
    return mean_over(labels) if labels.dim() == 2 else labels


def predicted_class(logits: Tensor, *, multi_label: bool) -> Tensor:
    """Return what to ask `Output.cam` for to get the evidence of the prediction, in the form of `true_class`.

    The prediction is the class with the highest logit; where images may have several labels, all classes with a logit
    above 0.
    """
    return mean_over(logits > 0) if multi_label else logits.argmax(1)


def mean_over(members: Tensor) -> Tensor:
    """Return the coefficients of the mean over an image's classes, `(B, K)` float32.

    They are 1/n for each of its n classes, and zeros for an image without a class.

    Args:
        members: `(B, K)` bool, or zeros and ones: which classes an image has.
    """
    return members.float() / members.sum(1, keepdim=True).clamp(min=1)


def has_class(classes: Tensor) -> Tensor:
    """Return whether an image is asked for the evidence of any class, `(B,)` bool; `classes` as for `Output.cam`."""
    if classes.is_floating_point():
        return (classes != 0).any(1)
    return torch.ones_like(classes, dtype=torch.bool)


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """Return the value of the class asked for, `(B,)`, out of `(B, K)` values; of several classes, their mean."""
    if classes.is_floating_point():
        return (values * classes).sum(1)
    return values.gather(1, classes[:, None])[:, 0]


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether the label is predicted, `(B,)` bool; with several labels, exactly these must be predicted."""
    if labels.dim() == 2:
        return ((logits > 0) == labels.bool()).all(1)
    return logits.argmax(1) == labels


def target_of(labels: Tensor, classes: int, targets: Tensor | None = None) -> Tensor:
    """Return how probable each class is, `(B, K)` float32: `targets` if given, else one for the labels."""
    if targets is not None:
        return targets
    return labels.float() if labels.dim() == 2 else functional.one_hot(labels, classes).float()


def contradicts(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Return whether each answer is wrong, `(B,)` bool.

    Without `targets`, an answer is wrong if the label is not predicted. `targets` `(B, K)` say how probable each class
    is, so that the answer to an image that is half of one class and half of another is right with either. It is wrong
    if the predicted class has less than an even share, `target < 1 / K`. Where images may have several labels, it is
    wrong if it contains a class whose target is below 1/2, or leaves out a class whose target is above 1/2.
    """
    if targets is None:
        return ~right(logits, labels)
    if labels.dim() == 2:
        return torch.where(logits > 0, targets < 0.5, targets > 0.5).any(1)
    return targets.gather(1, logits.argmax(1)[:, None])[:, 0] < 1 / logits.shape[1]
