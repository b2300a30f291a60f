"""Robust accuracy: how many answers stay right under a strong attack everywhere, outside or inside the human region."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors
from salign.errors import SalignError
from salign.evaluate.attack import Norm, allowed_region, check_ball, perturbation_effect, pgd, random_start
from salign.types import Batch

EPSILONS = (1.0, 2.0, 4.0, 8.0)
"""Radii of the attack in units of 1/255."""
SIDES = ("all", "outside", "inside")
"""Parts of an image that are attacked. A change on one side that fools the network counts for "all", too."""
IMAGE_COLUMNS = ("id", "label", "attacked", "fooled_from", "effect_inside", "area_inside")
"""Columns of the table of images; see `attack_images`."""
_SHARES = IMAGE_COLUMNS[-2:]
COLUMNS = ("images", "attacked", "epsilon", "accuracy", "low", "high", "n", "effect_inside", "area_inside")
"""Columns of the table of figures; see `robust_accuracy`."""
Classify = Callable[[Tensor], Tensor]


def cross_entropy_and_margin(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the two losses that an attack can climb: the cross-entropy and the margin.

    The margin says how far an answer is from right, and is below 0 if the answer is right. It is the largest other
    logit minus the logit of the label. If images may have several labels, it is the largest over the classes of how far
    the logit lies on the wrong side of 0. Unlike the cross-entropy, the margin has a gradient where a network is sure.

    Args:
        logits: `(B, K)`.
        labels: `(B,)` int64, or `(B, K)` zeros and ones.

    Returns:
        The cross-entropy and the margin, both `(B,)`.
    """
    if labels.dim() == 2:
        each = functional.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none")
        return each.mean(1), torch.where(labels > 0, -logits, logits).amax(1)
    costs = functional.cross_entropy(logits, labels, reduction="none")
    strongest = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return costs, strongest - logits.gather(1, labels[:, None])[:, 0]


def fooled_from(
    classify: Classify,
    images: Tensor,
    labels: Tensor,
    *,
    epsilons: Sequence[float],
    generator: torch.Generator,
    steps: int = 20,
    restarts: int = 4,
    norm: Norm = "linf",
    within: Tensor | None = None,
) -> Tensor:
    """Find the smallest of several radii within which an attack finds a wrong answer.

    The first two restarts begin at the image itself, the others at random changes. The restarts climb the cross-entropy
    and the margin in turn. A change that fools the network within one radius lies within every larger radius, too, so
    the radii are tried in ascending order until one succeeds.

    Args:
        classify: images `(B, 3, H, W)` in [0, 1] -> logits `(B, K)`, of a network in evaluation mode.
        images: `(B, 3, H, W)` in [0, 1].
        labels: `(B,)` int64, or `(B, K)` zeros and ones.
        epsilons: radii in units of 1/255.
        generator: CPU generator of the random starts; its state moves on.
        steps: number of gradient steps of each restart.
        restarts: number of attacks on each image within each radius.
        norm: "linf" or "l2".
        within: `(B, 1, H, W)` zeros and ones: 1 where an image may change; None = everywhere.

    Returns:
        `(B,)` float64 radii: 0 where the answer is wrong without an attack, infinity where no attack succeeded.
    """
    tensors(images=(images, "float (B, 3, H, W)"), within=(within, "real (B, 1, H, W) or None"))
    number("restarts", restarts, "[1, inf)", whole=True)
    for epsilon in epsilons:
        check_ball(epsilon=epsilon, steps=steps, step_size=None, norm=norm)

    def costs(attacked: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy_and_margin(classify(attacked).float(), labels[rows])

    radius = torch.full((len(images),), math.inf, dtype=torch.float64, device=images.device)
    with torch.no_grad():
        radius[costs(images, torch.arange(len(images)))[1] >= 0] = 0
    for epsilon in sorted(epsilons):
        for restart in range(restarts):
            rows = radius.isinf().nonzero()[:, 0]
            if not len(rows):
                return radius
            allowed = None if within is None else within[rows]
            start = None
            if restart > 1:
                chance = torch.rand(images[rows].shape, generator=generator).to(images)
                start = random_start(chance, epsilon=epsilon, norm=norm, within=allowed)
            climbed = restart % 2
            attacked = pgd(
                lambda x, rows=rows, climbed=climbed: costs(x, rows)[climbed],  # type: ignore[misc]
                images[rows],
                epsilon=epsilon,
                steps=steps,
                norm=norm,
                within=allowed,
                start=start,
            )
            with torch.no_grad():
                radius[rows[costs(attacked, rows)[1] >= 0]] = epsilon
    return radius


def attack_images(
    classify: Classify,
    batches: Iterable[Batch],
    *,
    ids: Sequence[str],
    names: Sequence[str],
    generator: torch.Generator,
    epsilons: Sequence[float] = EPSILONS,
    steps: int = 20,
    restarts: int = 4,
    norm: Norm = "linf",
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Attack each image everywhere and, if it has a human map that is not blank, on each side of its region, too.

    Args:
        classify: as for `fooled_from`.
        batches: images with labels and human maps.
        ids: `(N,)` names of the images; `batch.index` holds positions in it.
        names: `(N,)` labels of the images as text.
        generator: CPU generator of the random starts.
        epsilons: radii in units of 1/255.
        steps: as for `fooled_from`.
        restarts: as for `fooled_from`.
        norm: "linf" or "l2".
        device: device of the network.

    Returns:
        A row per image and attacked part, with the columns `IMAGE_COLUMNS`: attacked (one of `SIDES`) and fooled_from
        (the smallest radius that fools the network; 0 = wrong without an attack, infinity = none). Two more columns
        say where an attack everywhere with the largest radius found the image's weakness: effect_inside, the share of
        the absolute `perturbation_effect` that lies inside the region, and area_inside, the region's share of the
        pixels. They are NaN without a region, and in the rows of one side.

    Raises:
        SalignError: there are no `epsilons`.
    """
    if not epsilons:
        raise SalignError("epsilons: expected at least one radius, got none.")
    rows: list[tuple[object, ...]] = []
    attack = functools.partial(
        fooled_from, classify, epsilons=epsilons, steps=steps, restarts=restarts, norm=norm, generator=generator
    )
    for on_cpu in batches:
        batch = on_cpu.each(lambda values: values.to(device))
        columns = {name: torch.full((len(batch.labels),), math.nan, dtype=torch.float64) for name in (*SIDES, *_SHARES)}
        columns["all"] = attack(batch.images, batch.labels).cpu()
        marked = batch.marked
        if bool(marked.any()):
            part = batch.each(lambda values, marked=marked: values[marked])  # type: ignore[misc]
            rows_of = marked.cpu()
            for side in ("outside", "inside"):
                within = allowed_region(part.saliency, part.marked, side)
                columns[side][rows_of] = attack(part.images, part.labels, within=within).cpu()
                columns["all"] = torch.fmin(columns["all"], columns[side])
            for name, shares in zip(_SHARES, _inside(classify, part, max(epsilons), steps, norm), strict=True):
                columns[name][rows_of] = shares.cpu()
        for k, row in enumerate(batch.index.tolist()):
            for side in SIDES if bool(on_cpu.marked[k]) else ("all",):
                shares_of = [float(columns[name][k]) if side == "all" else math.nan for name in _SHARES]
                rows.append((ids[row], names[row], side, float(columns[side][k]), *shares_of))
    return pd.DataFrame(rows, columns=list(IMAGE_COLUMNS))


def robust_accuracy(images: pd.DataFrame, epsilons: Sequence[float] = EPSILONS) -> pd.DataFrame:
    """Compute the figures from the table of images, with Wilson's interval (1927) at 95 %.

    Args:
        images: the table of `attack_images`.
        epsilons: the radii of the attack; radius 0 (no attack) is added.

    Returns:
        A row per set of images, attacked part and radius, with the columns `COLUMNS`. The sets are "all" and, if only
        some images have a map, "with a map". effect_inside and area_inside are the means over images; they stand only
        in the rows where all of the image is attacked with the largest radius.
    """
    rows: list[tuple[object, ...]] = []
    mapped = set(images.loc[images["attacked"] != "all", "id"])
    everywhere = images[images["attacked"] == "all"]
    with_map = everywhere[everywhere["id"].isin(mapped)]
    parts = [("all", "all", everywhere)]
    if len(mapped):
        parts += [("with a map", "all", with_map)] if len(with_map) < len(everywhere) else []
        of = "with a map" if len(with_map) < len(everywhere) else "all"
        parts += [(of, side, images[images["attacked"] == side]) for side in ("outside", "inside")]
    for of, side, part in parts:
        for epsilon in (0.0, *sorted(epsilons)):
            right = int((part["fooled_from"] > epsilon).sum())
            interval = binomtest(right, len(part)).proportion_ci(0.95, method="wilson")
            shares = part[["effect_inside", "area_inside"]].mean() if epsilon == max(epsilons) else [np.nan, np.nan]
            rows.append((of, side, epsilon, right / len(part), interval.low, interval.high, len(part), *shares))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _inside(classify: Classify, batch: Batch, epsilon: float, steps: int, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return the share of the effect, and of the pixels, inside the regions of marked images, `(B,)` float64 each."""

    def loss(images: Tensor) -> Tensor:
        return cross_entropy_and_margin(classify(images).float(), batch.labels)[1]

    within = allowed_region(batch.saliency, batch.marked, "inside")
    assert within is not None
    attacked = pgd(loss, batch.images, epsilon=epsilon, steps=steps, norm=norm)
    effect = perturbation_effect(loss, batch.images, attacked).abs().double()
    return (effect * within[:, 0]).sum((1, 2)) / effect.sum((1, 2)), within.double().mean((1, 2, 3))
