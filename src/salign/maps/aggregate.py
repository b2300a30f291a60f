"""Ways to combine the maps of several people of one image into one map."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from salign.checks import choice, instance, number, tensors, values
from salign.errors import SalignError
from salign.maps import AGGREGATES

Metric = Callable[[Tensor, Tensor], Tensor]
"""A function of two tensors `(N, H, W)` that returns `(N,)`, as the metrics of `salign.evaluate.agreement`."""

HALF = 0.5
"""The value from which on a pixel counts as marked, for methods that only distinguish marked from not marked."""


def union(maps: Tensor) -> Tensor:
    """Mark what anybody marked: take the highest value of each pixel. `(A, H, W)` in [0, 1] to `(H, W)`."""
    return _checked(maps).amax(0)


def mean(maps: Tensor) -> Tensor:
    """Return the mean of the maps; for masks it is the share of people who marked a pixel.

    `(A, H, W)` in [0, 1] to `(H, W)`.
    """
    return _checked(maps).mean(0)


def majority(maps: Tensor) -> Tensor:
    """Mark with 1 the pixels that more than half of the people marked; all others, and ties, become 0.

    `(A, H, W)` in [0, 1] to `(H, W)`. A person marked a pixel if its value is at least `HALF`.
    """
    marked = (_checked(maps) >= HALF).sum(0)
    return (2 * marked > len(maps)).to(maps)


def weighted(maps: Tensor, weights: Tensor | Sequence[float] | None = None) -> Tensor:
    """Return the mean of the maps, weighted by person.

    Args:
        maps: `(A, H, W)` in [0, 1].
        weights: `(A,)` >= 0, with any sum; None takes `agreement_weights` of these maps.

    Returns:
        `(H, W)` in [0, 1]; the plain mean if all weights are 0.

    Raises:
        SalignError: there is not one weight per map, or a weight is negative or not finite.
    """
    people = _checked(maps)
    shares = agreement_weights(people) if weights is None else torch.as_tensor(weights, dtype=torch.float64)
    if shares.shape != (len(people),) or not bool((shares.isfinite() & (shares >= 0)).all()):
        raise SalignError(f"expected {len(people)} weights >= 0, one per map, got {shares.tolist()}")
    shares = shares / shares.sum() if shares.sum() > 0 else torch.full_like(shares, 1 / len(people))
    return torch.einsum("a,ahw->hw", shares.to(people), people).clamp(0, 1)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the soft Dice coefficient of each pair of maps, in [0, 1]: 1 if both are blank.

    The formula is `2 sum(min(first, second)) / sum(first + second)`, over the pixels of a pair.

    Args:
        first: `(N, H, W)` >= 0.
        second: `(N, H, W)` >= 0.

    Returns:
        `(N,)`.
    """
    tensors(first=(first, "float (N, H, W)"), second=(second, "float (N, H, W)"))
    values("first", first, "[0, inf)")
    values("second", second, "[0, inf)")
    shared, whole = torch.minimum(first, second).sum((1, 2)), (first + second).sum((1, 2))
    return torch.where(whole > 0, 2 * shared / torch.where(whole > 0, whole, 1), 1.0)


def leave_one_out(maps: Tensor, metric: Metric = overlap) -> Tensor:
    """Measure how well each person's map agrees with the mean of the maps of all others.

    The mean of the result, NaN left out, is `evaluate.annotators.ceiling` with the same metric.

    Args:
        maps: `(A, H, W)` in [0, 1].
        metric: the measure of agreement between the mean of the others and the person's map, in this order.

    Returns:
        `(A,)` float64; NaN where the metric is NaN, and if there is only one map.
    """
    people = _checked(maps).double()
    if len(people) < 2:
        return torch.full((len(people),), math.nan, dtype=torch.float64)
    return metric((people.sum(0) - people) / (len(people) - 1), people).double()


def agreement_weights(maps: Tensor, metric: Metric = overlap) -> Tensor:
    """Weight each person by `leave_one_out`: `(A, H, W)` to `(A,)` float64 >= 0.

    The weight is 0 if the agreement is negative or undefined. Weights from one image are noisy; the mean of
    `leave_one_out` over the images of a set says more about a person.
    """
    return leave_one_out(maps, metric).nan_to_num(0).clamp(min=0)


def accuracy_weights(right: Sequence[int], answered: Sequence[int], classes: int = 2) -> Tensor:
    """Weight each person by how far the share of their right answers lies above chance.

    The formula is `max(0, (right + 1) / (answered + classes) - 1 / classes)`. It adds one right answer and
    `classes - 1` wrong answers to each person's (Laplace's rule), so that a person with few answers gets a small
    weight, and a person without answers gets 0.

    Args:
        right: number of right answers of each person.
        answered: number of answers of each person.
        classes: how many answers there were to choose from.

    Returns:
        `(A,)` float64 in [0, 1).

    Raises:
        SalignError: the two lists differ in length, a person has more right answers than answers, or there are fewer
            than two classes.
    """
    instance("right", right, Sequence, "the number of right answers of each person")
    instance("answered", answered, Sequence, "the number of answers of each person")
    number("classes", classes, "[2, inf)", whole=True)
    if len(right) != len(answered) or any(not 0 <= r <= n for r, n in zip(right, answered, strict=True)):
        raise SalignError(f"expected 0 <= right <= answered for each person; got {right}, {answered}")
    good, all_ = torch.tensor(right, dtype=torch.float64), torch.tensor(answered, dtype=torch.float64)
    return ((good + 1) / (all_ + classes) - 1 / classes).clamp(min=0)


class Staple(NamedTuple):
    """The estimates of `staple`."""

    probability: Tensor
    """`(H, W)`: the probability that the pixel is truly salient."""
    sensitivity: Tensor
    """`(A,)` float64: the share of the truly salient pixels that a person marked; NaN if nobody marked any pixel."""
    specificity: Tensor
    """`(A,)` float64: the share of all other pixels that a person left unmarked; NaN if everybody marked all pixels."""
    iterations: int
    converged: bool


def staple(maps: Tensor, *, prior: float | None = None, iterations: int = 200, tolerance: float = 1e-6) -> Staple:
    """Estimate the true mask behind several people's masks, and how good each of these is, by STAPLE.

    This is binary STAPLE by expectation maximisation: Warfield, Zou and Wells, IEEE Transactions on Medical Imaging 23
    (2004), equations 14-15 and 18-19, without the spatial (Markov) prior. The estimate for a pixel depends only on the
    pattern of who marked it, so each pattern is computed once. Sensitivities and specificities start at 0.99999, as in
    the paper. Where their logarithms are taken, they are kept at least 1e-7 away from 0 and 1.

    Args:
        maps: `(A, H, W)` in [0, 1]; a pixel is marked if its value is at least `HALF`.
        prior: the probability that a pixel is salient, in (0, 1); None takes the share of marked pixels among all
            pixels of all maps, as the paper proposes.
        iterations: the largest number of iterations.
        tolerance: the estimate has converged when no sensitivity or specificity changes by more than this.

    Raises:
        SalignError: `prior` is not in (0, 1), `iterations` is below 1, or `tolerance` is negative.
    """
    marks = _checked(maps) >= HALF
    number("iterations", iterations, "[1, inf)", whole=True)
    number("tolerance", tolerance, "[0, inf)")
    if prior is not None:
        number("prior", prior, "(0, 1)")
    share = float(marks.double().mean()) if prior is None else prior
    if share in (0, 1):  # nobody marked a pixel, or everybody marked all: there is nothing to estimate
        unknown, certain = torch.full((len(marks),), math.nan).double(), torch.ones(len(marks)).double()
        rates = (unknown, certain) if share == 0 else (certain, unknown)
        return Staple(marks[0].to(maps), *rates, 0, True)
    patterns, counts, where = _patterns(marks.flatten(1))
    sensitivity = specificity = torch.full((len(marks),), 0.99999, dtype=torch.float64)
    truth, rounds, converged = torch.zeros(patterns.shape[1]), 0, False
    while rounds < iterations and not converged:
        truth = _expected(patterns, sensitivity, specificity, share)
        positive, negative = truth * counts, (1 - truth) * counts
        before = sensitivity, specificity
        sensitivity = _share(patterns @ positive, positive.sum(), sensitivity)
        specificity = _share((1 - patterns) @ negative, negative.sum(), specificity)
        change = max(float((sensitivity - before[0]).abs().max()), float((specificity - before[1]).abs().max()))
        rounds, converged = rounds + 1, change <= tolerance
    return Staple(truth[where].reshape(marks.shape[1:]).to(maps), sensitivity, specificity, rounds, converged)


def staple_map(maps: Tensor) -> Tensor:
    """Return the probability by `staple` that a pixel is truly salient. `(A, H, W)` in [0, 1] to `(H, W)`."""
    return staple(maps).probability


def aggregate(maps: Tensor, method: str) -> Tensor:
    """Combine several maps into one by one of the methods in `AGGREGATES`. `(A, H, W)` in [0, 1] to `(H, W)`.

    Raises:
        SalignError: there is no such method, or the maps are not `(A, H, W)` floating point in [0, 1] with A >= 1.
    """
    choice("method", method, AGGREGATES)
    return AGGREGATES[method](maps)


def _checked(maps: Tensor) -> Tensor:
    tensors(maps=(maps, "float (A, H, W)"))
    if 0 in maps.shape:
        raise SalignError(f"maps: expected (A, H, W) of one map or more, got {tuple(maps.shape)}.")
    values("maps", maps, "[0, 1]", "scale them first")
    return maps


def _patterns(marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the distinct columns of marks `(A, N)` bool.

    Returns:
        The distinct columns `(A, U)` float64, how often each of them occurs `(U,)` float64, and for each of the N
        columns the position of its pattern among the U `(N,)`.
    """
    codes = torch.zeros(marks.shape[1], dtype=torch.int64)
    for annotator, row in enumerate(marks.cpu()):
        codes = 2 * codes + row
        if annotator % 32 == 31:  # number the codes anew before they need more than 64 bits
            codes = codes.unique(return_inverse=True)[1]
    _, where, counts = codes.unique(return_inverse=True, return_counts=True)
    first = torch.empty(len(counts), dtype=torch.int64)
    first[where] = torch.arange(len(where))
    return marks.cpu()[:, first].double(), counts.double(), where


def _expected(patterns: Tensor, sensitivity: Tensor, specificity: Tensor, prior: float) -> Tensor:
    """Return for each pattern the probability `(U,)` that a pixel with it is salient.

    The products over people are computed as sums of logarithms, so that they do not underflow with many people.
    """
    p, q = sensitivity.clamp(1e-7, 1 - 1e-7), specificity.clamp(1e-7, 1 - 1e-7)
    salient = math.log(prior) + patterns.T @ p.log() + (1 - patterns).T @ (1 - p).log()
    other = math.log(1 - prior) + patterns.T @ (1 - q).log() + (1 - patterns).T @ q.log()
    return torch.sigmoid(salient - other)


def _share(part: Tensor, whole: Tensor, otherwise: Tensor) -> Tensor:
    return part / whole if whole > 0 else otherwise
