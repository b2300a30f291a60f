"""Several people's maps of one image -> one map."""

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
"""`(N, H, W)` and `(N, H, W)` -> `(N,)`, as those of `salign.evaluate.agreement`."""

HALF = 0.5
"""From here on a pixel counts as marked, where a method knows marked and not marked only."""


def union(maps: Tensor) -> Tensor:
    """What anybody marked: the highest value of each pixel. `(A, H, W)` in [0, 1] -> `(H, W)`."""
    return _checked(maps).amax(0)


def mean(maps: Tensor) -> Tensor:
    """The share of people who marked a pixel. `(A, H, W)` in [0, 1] -> `(H, W)`."""
    return _checked(maps).mean(0)


def majority(maps: Tensor) -> Tensor:
    """1 where more than half of the people marked (at least `HALF`), else 0; a tie is 0. `(A, H, W)` -> `(H, W)`."""
    marked = (_checked(maps) >= HALF).sum(0)
    return (2 * marked > len(maps)).to(maps)


def weighted(maps: Tensor, weights: Tensor | Sequence[float] | None = None) -> Tensor:
    """Mean in which some people count more.

    Args:
        maps: `(A, H, W)` in [0, 1].
        weights: `(A,)` >= 0, of any sum; None takes `agreement_weights` of these maps.

    Returns:
        `(H, W)` in [0, 1]; the plain mean where all weights are 0.

    Raises:
        SalignError: not one weight per map, or one that is negative or not finite.
    """
    people = _checked(maps)
    shares = agreement_weights(people) if weights is None else torch.as_tensor(weights, dtype=torch.float64)
    if shares.shape != (len(people),) or not bool((shares.isfinite() & (shares >= 0)).all()):
        raise SalignError(f"expected {len(people)} weights >= 0, one per map, got {shares.tolist()}")
    shares = shares / shares.sum() if shares.sum() > 0 else torch.full_like(shares, 1 / len(people))
    return torch.einsum("a,ahw->hw", shares.to(people), people).clamp(0, 1)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Soft Dice of `(N, H, W)` >= 0 with another, `2 sum(min) / sum(both)`, in [0, 1]: 1 where both are blank."""
    tensors(first=(first, "float (N, H, W)"), second=(second, "float (N, H, W)"))
    values("first", first, "[0, inf)")
    values("second", second, "[0, inf)")
    shared, whole = torch.minimum(first, second).sum((1, 2)), (first + second).sum((1, 2))
    return torch.where(whole > 0, 2 * shared / torch.where(whole > 0, whole, 1), 1.0)


def leave_one_out(maps: Tensor, metric: Metric = overlap) -> Tensor:
    """How well each map is met by the mean of the others; the mean of it is `evaluate.annotators.ceiling`.

    Args:
        maps: `(A, H, W)` in [0, 1].
        metric: what to measure by.

    Returns:
        `(A,)` float64; NaN where the metric is, and for a map that stands alone.
    """
    people = _checked(maps).double()
    if len(people) < 2:
        return torch.full((len(people),), math.nan, dtype=torch.float64)
    return metric((people.sum(0) - people) / (len(people) - 1), people).double()


def agreement_weights(maps: Tensor, metric: Metric = overlap) -> Tensor:
    """Weight each person by `leave_one_out`: `(A, H, W)` -> `(A,)` float64 >= 0; 0 for agreement below 0 or undefined.

    Weights from one image are noisy; the mean of `leave_one_out` over the images of a set says more of a person.
    """
    return leave_one_out(maps, metric).nan_to_num(0).clamp(min=0)


def accuracy_weights(right: Sequence[int], answered: Sequence[int], classes: int = 2) -> Tensor:
    """Weight each person by how far their answers are above chance.

    `max(0, (right + 1) / (answered + classes) - 1 / classes)`: the share of right answers with one right answer and
    `classes - 1` wrong ones added (Laplace's rule), so that few answers say little, and none says nothing: 0.

    Args:
        right: right answers of each person.
        answered: answers of each person.
        classes: how many answers there were to choose from.

    Returns:
        `(A,)` float64 in [0, 1).

    Raises:
        SalignError: more right answers than answers, or fewer than two classes.
    """
    instance("right", right, Sequence, "the number of right answers of each person")
    instance("answered", answered, Sequence, "the number of answers of each person")
    number("classes", classes, "[2, inf)", whole=True)
    if len(right) != len(answered) or any(not 0 <= r <= n for r, n in zip(right, answered, strict=True)):
        raise SalignError(f"expected 0 <= right <= answered for each person; got {right}, {answered}")
    good, all_ = torch.tensor(right, dtype=torch.float64), torch.tensor(answered, dtype=torch.float64)
    return ((good + 1) / (all_ + classes) - 1 / classes).clamp(min=0)


class Staple(NamedTuple):
    """What STAPLE estimates."""

    probability: Tensor
    """`(H, W)`: that the pixel is truly salient."""
    sensitivity: Tensor
    """`(A,)` float64: share of the true pixels that a person marked; NaN where nobody marked any."""
    specificity: Tensor
    """`(A,)` float64: share of the other pixels that a person left; NaN where everybody marked all."""
    iterations: int
    converged: bool


def staple(maps: Tensor, *, prior: float | None = None, iterations: int = 200, tolerance: float = 1e-6) -> Staple:
    """Estimate the truth behind several masks and how good each is: STAPLE, binary, by expectation maximisation.

    Warfield, Zou and Wells, IEEE Transactions on Medical Imaging 23 (2004), equations 14-15 and 18-19, without the
    spatial (Markov) prior. Everything depends on the pattern of marks at a pixel alone, so each pattern is worked out
    once. Sensitivities and specificities begin at 0.99999, as theirs do, and stay within 1e-7 of 0 and 1.

    Args:
        maps: `(A, H, W)`; marked is at least `HALF`.
        prior: probability that a pixel is salient, in (0, 1); None takes the share of all pixels of all maps that are
            marked, as they propose.
        iterations: most rounds.
        tolerance: it has converged when no sensitivity or specificity changes by more.

    Raises:
        SalignError: `prior` is not in (0, 1), or no round is allowed.
    """
    marks = _checked(maps) >= HALF
    number("iterations", iterations, "[1, inf)", whole=True)
    number("tolerance", tolerance, "[0, inf)")
    if prior is not None:
        number("prior", prior, "(0, 1)")
    share = float(marks.double().mean()) if prior is None else prior
    if share in (0, 1):  # nobody marked anything, or everybody everything: there is nothing to estimate
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
    """The probability that a pixel is truly salient, by `staple`. `(A, H, W)` in [0, 1] -> `(H, W)`."""
    return staple(maps).probability


def aggregate(maps: Tensor, method: str) -> Tensor:
    """One map out of several, by a method out of `AGGREGATES`.

    Raises:
        SalignError: no such method; or the maps are not `(A, H, W)` floating point in [0, 1] with A >= 1.
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
    """`(A, N)` bool -> its different columns `(A, U)`, how often each occurs `(U,)`, and which one each is `(N,)`."""
    codes = torch.zeros(marks.shape[1], dtype=torch.int64)
    for annotator, row in enumerate(marks.cpu()):
        codes = 2 * codes + row
        if annotator % 32 == 31:  # numbered anew before they outgrow 64 bits
            codes = codes.unique(return_inverse=True)[1]
    _, where, counts = codes.unique(return_inverse=True, return_counts=True)
    first = torch.empty(len(counts), dtype=torch.int64)
    first[where] = torch.arange(len(where))
    return marks.cpu()[:, first].double(), counts.double(), where


def _expected(patterns: Tensor, sensitivity: Tensor, specificity: Tensor, prior: float) -> Tensor:
    """`(U,)`: probability that a pixel with this pattern is salient, in logarithms so that many people can vote."""
    p, q = sensitivity.clamp(1e-7, 1 - 1e-7), specificity.clamp(1e-7, 1 - 1e-7)
    salient = math.log(prior) + patterns.T @ p.log() + (1 - patterns).T @ (1 - p).log()
    other = math.log(1 - prior) + patterns.T @ (1 - q).log() + (1 - patterns).T @ q.log()
    return torch.sigmoid(salient - other)


def _share(part: Tensor, whole: Tensor, otherwise: Tensor) -> Tensor:
    return part / whole if whole > 0 else otherwise
