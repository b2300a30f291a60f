"""Templates: one array that stands for many arrays of the same shape, such as maps or connectivity matrices."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number
from salign.errors import SalignError


def mean_template(arrays: Tensor) -> Tensor:
    """Return the mean, `(N, ...)` to `(...)`; it has the least sum of squared distances to all arrays."""
    return _checked(arrays).mean(0)


def median_template(arrays: Tensor) -> Tensor:
    """Return the median of each element, `(N, ...)` to `(...)`; for even N it is the mean of the two middle values."""
    return _checked(arrays).quantile(0.5, dim=0)


def geometric_median(arrays: Tensor, *, tolerance: float = 1e-7, most: int = 1000) -> Tensor:
    """Return the array with the least sum of Euclidean distances to all arrays, which a few outliers hardly move.

    Weiszfeld's iteration repeatedly takes the mean in which each array is weighted by one over its distance from the
    last iterate. If an iterate coincides with an array, that weight is infinite. The step of Vardi and Zhang (PNAS 97,
    2000) then leaves out the `c` arrays that coincide with the iterate and goes only the share `max(0, 1 - c / r)` of
    the way, where `r` is the length of the sum of the unit vectors to the other arrays. The share is 0 if the iterate
    is the median itself.

    Args:
        arrays: `(N, ...)`, floating point and finite; the computation is in float64.
        tolerance: the iteration ends when a step is at most this share of the arrays' mean distance from their mean.
        most: the largest number of steps.

    Returns:
        The geometric median `(...)`, in the dtype of `arrays`. It is unique unless all arrays lie on a line.

    Raises:
        SalignError: `arrays` are not as above, or `tolerance` is not in (0, 1).
    """
    number("tolerance", tolerance, "(0, 1)")
    points = _checked(arrays).double().flatten(1)
    median = points.mean(0)
    spread = float((points - median).norm(dim=1).mean())
    for _ in range(most):
        apart = points - median
        distances = apart.norm(dim=1)
        away = distances > 1e-12 * spread  # all others coincide with the iterate
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
