"""Features added to rare classes until all are as large, and a fresh head that learns from them."""

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
"""How many neighbours are looked at, as published."""
Features = NDArray[np.float32]
_ROWS = 1024
"""Features whose distances are computed at a time."""


def oversample(
    features: Features,
    labels: NDArray[np.int64],
    method: Method,
    generator: np.random.Generator,
    *,
    neighbours: int | None = None,
    reach: float = 1.0,
) -> tuple[Features, NDArray[np.int64], dict[int, str]]:
    """Add features to every class that has fewer than the largest, until all have as many.

    - `eos` (expansive over-sampling, arXiv 2207.06080): `b + r (e - b)`, r uniform in [0, 1), where `b` is a feature of
      the class of whose `neighbours` nearest features at least one is of another class, and `e` is one of those. The
      public code looks up neighbours one place beside where they are; here they are where they are. Ours: with a
      `reach` below 1 the point goes that share of the way to `e` at most, so that it stays nearer to its own class.
    - `smote` (arXiv 1106.1813): the same with one of the nearest features of the own class.
    - `repeat`: features of the class again.
    - `plain`: nothing is added, for comparison.

    Where `neighbours` are more than there are other features (of the class, for `smote`), all of them count. A class
    without a feature near another class (`eos`), or with a single one (`smote`), is repeated, and said to be.

    Args:
        features: `(N, C)` of the training images, whose means over places the head is given.
        labels: `(N,)` class numbers.
        method: see above.
        generator: draws.
        neighbours: None = 10 for `eos` and 5 for `smote`, as published.
        reach: in (0, 1], for `eos`; 1 is published.

    Returns:
        All features, those given first, `(M, C)`; their labels; and class -> why it was repeated.

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
    """`(m, k)` positions in `features`: the nearest of `among` to each of `members`, itself left out, nearest first.

    `k` is `count`, or as many as there are besides.
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
    """Points between a member, drawn among those with a usable neighbour, and a usable neighbour of it."""
    bases = np.flatnonzero(usable.any(1))
    counts = usable[bases].sum(1)
    order = np.argsort(~usable[bases], axis=1, kind="stable")  # the usable ones first
    # One whole number stands for the base and for a share of its neighbours, as imbalanced-learn draws them; within
    # that share a second draw decides, so that each usable neighbour is as likely where not all are usable.
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
    """Draw the linear head of a classifier anew and let it learn from pooled features; all else stays as it is.

    Args:
        classifier: on the CPU; it is changed.
        features: `(N, C)`, the means of its feature maps over places.
        labels: `(N,)` class numbers.
        epochs: passes over the features.
        lr: learning rate of SGD, constant.
        momentum: that of SGD.
        batch_size: features per step.
        seed: decides the fresh head and the order.

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
