"""Rebalancing of classes: features are added to rare classes until all are equally large; a fresh head learns them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from salign.checks import choice, number
from salign.errors import SalignError
from salign.models import Classifier
from salign.models.heads import draw_small_head, head_parts

Method = Literal["eos", "smote", "repeat", "plain"]
NEIGHBOURS: dict[str, int] = {"eos": 10, "smote": 5}
"""Method -> how many neighbours are looked at, as published."""
Features = NDArray[np.float32]
_ROWS = 1024
"""Number of features whose distances are computed at a time."""


def oversample(
    features: Features,
    labels: NDArray[np.int64],
    method: Method,
    generator: np.random.Generator,
    *,
    neighbours: int | None = None,
    reach: float = 1.0,
) -> tuple[Features, NDArray[np.int64], dict[int, str]]:
    """Add features to every class that has fewer than the largest class, until all classes have equally many.

    - `eos` (expansive over-sampling, arXiv 2207.06080) adds the points `b + r (e - b)`, with r uniform in [0, 1). `b`
      is a feature of the class that has at least one feature of another class among its `neighbours` nearest features,
      and `e` is one of these features of another class. The public code looks up each neighbour one position beside the
      right one; here the right one is taken. Our addition is `reach`: below 1, the point goes at most that share of the
      way to `e`, so that it stays nearer to its own class.
    - `smote` (arXiv 1106.1813) does the same with one of the nearest features of the same class as `e`.
    - `repeat` adds features of the class again.
    - `plain` adds nothing, for comparison.

    If `neighbours` is larger than the number of other features (of the same class, for `smote`), all of them are taken.
    A class is repeated instead if none of its features is near another class (`eos`) or if it has a single feature
    (`smote`); the result tells which classes were.

    Args:
        features: `(N, C)`, the features of the training images: the spatial means of feature maps, as the head gets.
        labels: `(N,)` class numbers.
        method: see above.
        generator: makes all random draws.
        neighbours: how many nearest features are looked at; None means 10 for `eos` and 5 for `smote`, as published.
        reach: in (0, 1], for `eos`; 1 is published.

    Returns:
        All features `(M, C)`, which begin with the given ones; their labels `(M,)`; and class number -> why the class
        was repeated.

    Raises:
        SalignError: the shapes do not fit, there is no such method, or `neighbours` or `reach` is out of range.
    """
    choice("method", method, Method)
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(features):
        raise SalignError(f"expected (N, C) features and (N,) labels, got {features.shape} and {labels.shape}.")
    nearest = NEIGHBOURS.get(method, 1) if neighbours is None else neighbours
    number("neighbours", nearest, "[1, inf)", whole=True)
    number("reach", reach, "(0, 1]")
    classes, counts = np.unique(labels, return_counts=True)
    added, owners, repeated = [features], [labels], dict[int, str]()
    for own, count in zip(classes.tolist(), counts.tolist(), strict=True):
        lacking = 0 if method == "plain" else int(counts.max()) - count
        if not lacking:
            continue
        members = np.flatnonzero(labels == own)
        owners.append(np.full(lacking, own))
        if method == "repeat":
            added.append(features[generator.choice(members, lacking)])
            continue
        if method == "eos":
            near = nearest_of(features, members, np.arange(len(features)), nearest)
            usable = labels[near] != own
            why = f"none of the {near.shape[1]} nearest features of its images is of another class"
        else:
            near = nearest_of(features, members, members, nearest)
            usable = np.ones(near.shape, bool)
            why = "it has one image"
        if not usable.any():
            repeated[own] = why
            added.append(features[generator.choice(members, lacking)])
            continue
        share = reach if method == "eos" else 1.0
        added.append(_between(features, members, near, usable, lacking, share, generator))
    return np.concatenate(added), np.concatenate(owners), repeated


def nearest_of(features: Features, members: NDArray[np.intp], among: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """Find the nearest features of each member, the member itself left out.

    Args:
        features: `(N, C)`.
        members: `(m,)` positions in `features`.
        among: positions in `features` among which neighbours are searched; they include the members.
        count: how many neighbours to find.

    Returns:
        `(m, k)` positions in `features`, the nearest first; `k` is `count`, or `len(among) - 1` if that is less.
    """
    known, count = torch.from_numpy(features[among]), min(count, len(among) - 1)
    parts = []
    for start in range(0, len(members), _ROWS):
        rows = members[start : start + _ROWS]
        apart = torch.cdist(torch.from_numpy(features[rows]), known, compute_mode="donot_use_mm_for_euclid_dist")
        apart[torch.from_numpy(rows[:, None] == among)] = torch.inf
        parts.append(among[apart.topk(count, largest=False).indices.numpy()])
    return np.concatenate(parts)


def _between(
    features: Features,
    members: NDArray[np.intp],
    near: NDArray[np.int64],
    usable: NDArray[np.bool_],
    number_of: int,
    reach: float,
    generator: np.random.Generator,
) -> Features:
    """Draw points between a member that has a usable neighbour and one of its usable neighbours."""
    bases = np.flatnonzero(usable.any(1))
    counts = usable[bases].sum(1)
    order = np.argsort(~usable[bases], axis=1, kind="stable")  # usable neighbours first
    # A single whole number decides the base and a share of its neighbours, as in imbalanced-learn. A second draw
    # decides within that share, so that all usable neighbours are equally likely even if not all neighbours are usable.
    width = near.shape[1]
    base, share = np.divmod(generator.integers(0, len(bases) * width, size=number_of), width)
    steps = reach * generator.uniform(size=number_of)[:, None]
    column = ((share + generator.uniform(size=number_of)) / width * counts[base]).astype(int)
    ends = features[near[bases[base], order[base, column]]]
    starts = features[members[bases[base]]]
    between: Features = (starts + steps * (ends - starts)).astype(np.float32)
    return between


def retrain_head(
    classifier: Classifier,
    features: Features,
    labels: NDArray[np.int64],
    *,
    epochs: int = 10,
    lr: float = 0.1,
    momentum: float = 0.9,
    batch_size: int = 32,
    seed: int = 0,
) -> None:
    """Draw the linear head of a classifier anew and train it on pooled features; all else stays as it is.

    Args:
        classifier: a classifier on the CPU; its head is changed in place.
        features: `(N, C)`, the spatial means of its feature maps.
        labels: `(N,)` class numbers.
        epochs: number of passes over the features.
        lr: learning rate of SGD, which stays constant.
        momentum: momentum of SGD.
        batch_size: features per step.
        seed: decides the initial weights of the head and the order of the features.

    Raises:
        SalignError: the head is not linear in the pooled features.
    """
    if classifier.backbone.cam_kind != "linear":
        raise SalignError(
            f"{classifier.backbone.name}: its head is not one linear layer on the mean of its feature maps, so that it "
            "cannot learn anew from these means. Take a network with such a head, as resnet, efficientnet or convnext."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draw_small_head(classifier.backbone.net, len(classifier.classes))
    weights = [weight for part in head_parts(classifier.backbone.net) for weight in part.parameters()]
    optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum)
    maps, targets = torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels)
    classifier.eval()
    for _ in range(epochs):
        for rows in torch.randperm(len(maps), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss: Tensor = cross_entropy(classifier.backbone.head(maps[rows]), targets[rows])
            torch.autograd.backward(loss, inputs=weights)
            optimizer.step()
