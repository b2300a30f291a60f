"""Proof, on random features, which class activation map of a network means what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from salign.types import Output

CamKind = Literal["linear", "head_gradient", "none"]


def prove_cam(
    head: Callable[[Tensor], Tensor], classifier: object, features: Tensor, expected: Tensor
) -> CamKind | None:
    """Find out which class activation map has a meaning for a network in evaluation mode.

    Args:
        head: `(B, C, h, w)` -> `(B, K)`, the function that is said to turn the network's feature maps into logits.
        classifier: the last layer of the network; its weights must not be zero.
        features: `(B, C, h, w)`, random.
        expected: `(B, K)` logits that the network itself gives for those features.

    Returns:
        `linear` if `mean_hw(CAM) + bias == logit` holds for these features (Zhou et al. 2016), else `head_gradient`;
        None if `head` does not turn the feature maps into the expected logits.
    """
    logits = head(features)
    if not equal(logits, expected):
        return None
    if not isinstance(classifier, nn.Linear) or classifier.in_features != features.shape[1]:
        return "head_gradient"
    every_class = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    cam = Output(logits, features, head, classifier.weight).cam(every_class)
    answer = logits if classifier.bias is None else logits - classifier.bias
    return "linear" if equal(cam.mean((2, 3)), answer) else "head_gradient"


def equal(left: Tensor, right: Tensor, tolerance: float = 1e-3) -> bool:
    """Return whether two tensors are equal, within a tolerance relative to the largest value of `right`.

    The tolerance is relative because networks with random weights answer on any scale.
    """
    return left.shape == right.shape and bool((left - right).abs().max() <= tolerance * right.abs().max())
