"""Deep feature reweighting: the last layer is fitted anew to held-out images, equally many of every group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salign.data.groups import take_equal
from salign.errors import SalignError
from salign.models import Classifier
from salign.models.heads import head_parts

STRENGTHS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""The weights of the cross-entropy, relative to the L1 norm, among which one is chosen; these are published."""
_STEPS, _ENOUGH = 3000, 1e-6
"""A fit takes at most 3000 steps, and ends earlier when all weights move by less than 1e-6."""


class Reweighted(NamedTuple):
    """A last layer, and how it was chosen."""

    weight: NDArray[np.float64]
    """`(K, C)`: the weights of the layer."""
    bias: NDArray[np.float64]
    """`(K,)`: the biases of the layer."""
    strength: float
    """The weight of the cross-entropy that was chosen."""
    worst: dict[float, float]
    """Strength -> accuracy of the worst group, measured on the half of the images that the fit did not see."""


def reweight(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    generator: np.random.Generator,
    *,
    draws: int = 20,
    strengths: Sequence[float] = STRENGTHS,
) -> Reweighted:
    """Fit a last layer by deep feature reweighting (Kirichenko et al., arXiv 2204.02937).

    The features are scaled to a mean of 0 and a standard deviation of 1. The images of each group are split into
    halves. With the first half, a layer is fitted at each strength, to as many images of every group as the smallest
    group has. With the second half, the strength with the highest accuracy in the worst group is chosen, the first of
    equal ones. Then layers are fitted at this strength to `draws` random draws from all images, each with equally many
    images of every group, and the mean of these layers is the result. We deviate from the authors' solver, which fits
    each class against all others and also shrinks the bias: here, the layer is one softmax, and the bias is free.

    Args:
        features: `(N, C)`, the features of images that the network did not learn from.
        labels: `(N,)` class numbers; every class occurs.
        groups: `(N,)` group numbers.
        generator: draws the halves and the images.
        draws: how many layers are averaged.
        strengths: weights of the summed cross-entropy relative to the L1 norm, above 0 (`C` of scikit-learn).

    Raises:
        SalignError: a group has a single image, so that it cannot be in both halves.
    """
    if alone := [number for number, count in zip(*np.unique(groups, return_counts=True), strict=True) if count < 2]:
        raise SalignError(f"group {alone[0]} has one image; two at least are needed, one for each half.")
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    spread[spread == 0] = 1
    scaled, classes = (features - mean) / spread, int(labels.max()) + 1
    first = np.zeros(len(groups), bool)
    for number in np.unique(groups):
        members = generator.permutation(np.flatnonzero(groups == number))
        first[members[: -(-len(members) // 2)]] = True
    fitted, rest = np.flatnonzero(first), np.flatnonzero(~first)
    balanced = fitted[take_equal(groups[fitted], generator)]
    worst: dict[float, float] = {}
    for strength in strengths:
        weight, bias = fit_last_layer(scaled[balanced], labels[balanced], classes, strength)
        right = (scaled[rest] @ weight.T + bias).argmax(1) == labels[rest]
        worst[strength] = min(float(right[groups[rest] == number].mean()) for number in np.unique(groups))
    chosen = max(worst, key=lambda strength: worst[strength])
    layers = []
    for _ in range(draws):
        rows = take_equal(groups, generator)
        layers.append(fit_last_layer(scaled[rows], labels[rows], classes, chosen))
    weight = np.mean([weight for weight, _ in layers], axis=0) / spread
    bias = np.mean([bias for _, bias in layers], axis=0) - weight @ mean
    return Reweighted(weight, bias, chosen, worst)


def fit_last_layer(
    features: NDArray[np.float64], labels: NDArray[np.int64], classes: int, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimise `strength * summed cross-entropy + L1 norm of the weights` by FISTA with restarts.

    These are proximal gradient steps with momentum (Beck and Teboulle 2009). The momentum starts anew whenever it leads
    uphill (O'Donoghue and Candes 2015).

    Args:
        features: `(N, C)`.
        labels: `(N,)` class numbers in [0, K).
        classes: `K`.
        strength: weight of the summed cross-entropy, above 0.

    Returns:
        Weights `(K, C)`, many of them exactly 0, and biases `(K,)`, which are not shrunk and sum to 0.
    """
    inputs = torch.cat([torch.from_numpy(features), torch.ones(len(features), 1, dtype=torch.float64)], 1)
    targets = torch.nn.functional.one_hot(torch.from_numpy(labels), classes).double()
    step = 2 / (strength * torch.linalg.matrix_norm(inputs, 2) ** 2)  # the Hessian of a softmax is at most 1/2
    shrink = step * torch.ones(inputs.shape[1], dtype=torch.float64)
    shrink[-1] = 0
    now = ahead = torch.zeros(classes, inputs.shape[1], dtype=torch.float64)
    speed = 1.0
    for _ in range(_STEPS):
        slope = strength * ((inputs @ ahead.T).softmax(1) - targets).T @ inputs
        moved = ahead - step * slope
        new: Tensor = moved.sign() * (moved.abs() - shrink).clamp(min=0)
        if float(((ahead - new) * (new - now)).sum()) > 0:
            speed = 1.0
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        ahead = new + (speed - 1) / faster * (new - now)
        done = float((new - now).abs().max()) < _ENOUGH
        now, speed = new, faster
        if done:
            break
    return now[:, :-1].numpy(), now[:, -1].numpy()


def set_last_layer(classifier: Classifier, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """Replace the weights and the bias of a classifier's linear head; all else stays as it is.

    Args:
        classifier: the classifier, which is changed in place.
        weight: `(K, C)`, the new weights.
        bias: `(K,)`, the new bias.

    Raises:
        SalignError: the head is not one linear layer with a bias on the pooled features.
    """
    parts = head_parts(classifier.backbone.net)
    (head,) = parts if len(parts) == 1 else (None,)
    if classifier.backbone.cam_kind != "linear" or getattr(head, "bias", None) is None:
        raise SalignError(
            f"{classifier.backbone.name}: its head is not one linear layer with a bias on the mean of its feature "
            "maps, so that no other can take its place. Take a network with such a head, as resnet or efficientnet."
        )
    linear = cast(nn.Linear, head)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight).view_as(linear.weight))
        linear.bias.copy_(torch.from_numpy(bias))
