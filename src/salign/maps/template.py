"""One array that stands for many of one shape: a template of maps, or of connectivity matrices."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number
from salign.errors import SalignError


def mean_template(arrays: Tensor) -> Tensor:
    """`(N, ...) -> (...)`: the mean; it has the least sum of squared distances to all arrays."""
    return _checked(arrays).mean(0)


def median_template(arrays: Tensor) -> Tensor:
    """`(N, ...) -> (...)`: the median of each element by itself; between the two middle values of an even number."""
    return _checked(arrays).quantile(0.5, dim=0)


def geometric_median(arrays: Tensor, *, tolerance: float = 1e-7, most: int = 1000) -> Tensor:
    """`(N, ...) -> (...)`: what has the least sum of Euclidean distances to all arrays, which few odd ones cannot move.

    Weiszfeld's iteration takes the mean, each array weighed by one over its distance. Where an iterate hits an array
    that weight is infinite; the step of Vardi and Zhang (PNAS 97, 2000) then leaves out the arrays that were hit,
    `c` of them, and goes only the share `max(0, 1 - c / r)` of the way, where `r` is the length of the sum of the unit
    vectors to the others: 0 if what was hit is the median itself.

    Args:
        arrays: `N` of one shape, floating point and finite; computed in float64.
        tolerance: the iteration ends when a step is shorter than this share of the mean distance from the mean.
        most: it ends after so many steps at the latest.

    Returns:
        The median, in the kind of number that came. It is unique unless all arrays lie on a line.
    """
    number("tolerance", tolerance, "(0, 1)")
    points = _checked(arrays).double().flatten(1)
    median = points.mean(0)
    spread = float((points - median).norm(dim=1).mean())
    for _ in range(most):
        apart = points - median
        distances = apart.norm(dim=1)
        away = distances > 1e-12 * spread  # the others were hit
        if not bool(away.any()):
            break
        pulls = 1 / distances[away]
        step = (apart[away] * pulls[:, None]).sum(0)
        hit = int((~away).sum())
        share = max(0.0, 1 - hit / float(step.norm())) if hit and float(step.norm()) > 0 else float(not hit)
        move = share * step / pulls.sum()
        median = median + move
        if float(move.norm()) <= tolerance * spread:
            break
    return median.unflatten(0, arrays.shape[1:]).to(arrays.dtype)


def _checked(arrays: Tensor) -> Tensor:
    if arrays.dim() < 2 or not len(arrays) or not arrays.is_floating_point():
        raise SalignError(f"arrays: expected a float tensor (N, ...), got {arrays.dtype} {tuple(arrays.shape)}.")
    if not bool(arrays.isfinite().all()):
        raise SalignError("arrays: expected finite numbers, got NaN or infinity.")
    return arrays
