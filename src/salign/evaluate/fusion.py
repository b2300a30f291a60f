"""Which epochs of one training to fuse into one answer, and with what weights, chosen on validation images alone."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from salign.checks import choice
from salign.errors import SalignError

Method = Literal["fusion", "best", "last", "all", "jumps"]
METHODS: tuple[Method, ...] = get_args(Method)
_GRID = np.arange(1, 21) / 20
"""The weights that a new epoch may get against the answer that is fused already."""


def fuse_epochs(probabilities: NDArray[Any], labels: NDArray[Any], *, window: int = 1) -> NDArray[np.float64]:
    """Knowledge fusion (Relearning Forgotten Knowledge, arXiv 2310.11094): weigh the epochs of one training.

    The fused answer starts as that of the last epoch. Of the images that the fused answer gets wrong, each epoch is
    right on some; a step takes the epoch `A` that is right on the largest number of them. It adds this epoch, `prob <-
    eps P_A + (1 - eps) prob`, with the `eps` of a grid that gives the highest accuracy. `P_A` is the mean over the
    epochs from `A - window` to `A + window`. The steps end when every image is right, or no `eps` gives a higher
    accuracy.

    Args:
        probabilities: `(E, N, K)` in [0, 1], of `N` validation images after each of `E` epochs in their order.
        labels: `(N,)` integers in [0, K); or `(N, K)` zeros and ones, if an image may have several labels. In the
            second case an image is right if each class is on the right side of one half.
        window: number of epochs before and after `A` that count with it.

    Returns:
        `(E,)` weights of 0 or more, which sum to 1.

    Raises:
        SalignError: the shapes do not fit, or `window` is negative.
    """
    values, right = _checked(probabilities, labels)
    if window < 0:
        raise SalignError(f"window: expected 0 or more epochs, got {window}.")
    epochs = len(values)
    weights = np.eye(epochs)[-1]
    fused, best = values[-1], right(values[-1])
    answers = np.stack([right(value) for value in values])
    while not best.all():
        chosen = int((answers & ~best).sum(1).argmax())
        near = slice(max(chosen - window, 0), chosen + window + 1)
        mean, share = values[near].mean(0), np.zeros(epochs)
        share[near] = 1 / len(values[near])
        trials = [right(eps * mean + (1 - eps) * fused).sum() for eps in _GRID]
        if max(trials) <= best.sum():
            break
        eps = _GRID[int(np.argmax(trials))]
        fused, weights = eps * mean + (1 - eps) * fused, eps * share + (1 - eps) * weights
        best = right(fused)
    return weights


def choose_epochs(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    method: Method = "fusion",
    *,
    count: int | None = None,
    window: int = 1,
) -> NDArray[np.float64]:
    """Weigh the epochs of one training by fusion, or by one of the methods that fusion is compared with.

    Args:
        probabilities: as for `fuse_epochs`.
        labels: as for `fuse_epochs`.
        method: "fusion", see `fuse_epochs`; "best", the epoch with the highest accuracy alone (the first, if several
            have it); "last", the mean of the last `count` epochs; "all", the mean of all epochs; "jumps", the mean of
            `count` epochs at even distances, of which the last epoch is one.
        count: number of epochs for "last" and "jumps"; None = a tenth of the epochs, but at least two.
        window: as for `fuse_epochs`, for "fusion" only.

    Returns:
        `(E,)` weights of 0 or more, which sum to 1.

    Raises:
        SalignError: the shapes do not fit, the method is unknown, or `count` is not from 1 to the number of epochs.
    """
    choice("method", method, Method)
    if method == "fusion":
        return fuse_epochs(probabilities, labels, window=window)
    values, right = _checked(probabilities, labels)
    epochs = len(values)
    number = min(max(2, epochs // 10), epochs) if count is None else count
    if not 1 <= number <= epochs:
        raise SalignError(f"count: expected 1 to {epochs}, the number of epochs that were kept, got {number}.")
    if method == "best":
        chosen = [int(np.argmax([right(value).sum() for value in values]))]
    elif method == "last":
        chosen = list(range(epochs - number, epochs))
    elif method == "jumps":
        chosen = [round(position) - 1 for position in np.linspace(epochs / number, epochs, number)]
    else:
        chosen = list(range(epochs))
    weights = np.zeros(epochs)
    weights[chosen] = 1 / len(chosen)
    return weights


def compare_methods(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    generator: np.random.Generator,
    *,
    splits: int = 3,
    count: int | None = None,
    window: int = 1,
) -> dict[str, float]:
    """Measure the accuracy of each method on images that did not choose the weights (arXiv 2310.11094).

    The images are split into two random halves, `splits` times. One half chooses the weights, and the accuracy is
    measured on the other half. Unlike in the paper, the halves then change roles, so that every image is measured in
    each split.

    Args:
        probabilities: as for `fuse_epochs`.
        labels: as for `fuse_epochs`.
        generator: source of randomness of the halves.
        splits: number of random splits, at least 1.
        count: as for `choose_epochs`.
        window: as for `choose_epochs`.

    Returns:
        Name -> mean accuracy in [0, 1], for "final" (the last epoch alone) and for each of `METHODS`.

    Raises:
        SalignError: the shapes do not fit, there are fewer than 2 images, or fewer epochs than `count`.
    """
    values, _ = _checked(probabilities, labels)
    if values.shape[1] < 2 or splits < 1:
        raise SalignError(f"expected 2 or more images and 1 or more splits, got {values.shape[1]} and {splits}.")
    shares: dict[str, list[float]] = {name: [] for name in ("final", *METHODS)}
    for _ in range(splits):
        order = generator.permutation(values.shape[1])
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        for chosen, measured in ((first, second), (second, first)):
            _, right = _checked(values[:, measured], labels[measured])
            shares["final"].append(right(values[-1, measured]).mean())
            for method in METHODS:
                weights = choose_epochs(values[:, chosen], labels[chosen], method, count=count, window=window)
                shares[method].append(right(np.tensordot(weights, values[:, measured], 1)).mean())
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _checked(probabilities: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[np.float64], Any]:
    """Check the shapes; return the probabilities, and the function that says which images are right.

    The function takes `(N, K)` probabilities and returns `(N,)` bool.
    """
    if probabilities.ndim != 3 or not len(probabilities):
        raise SalignError(f"probabilities: expected (E, N, K) with at least one epoch, got {probabilities.shape}.")
    if labels.shape not in (probabilities.shape[1:2], probabilities.shape[1:]):
        raise SalignError(
            f"labels: expected {probabilities.shape[1:2]} or {probabilities.shape[1:]} as the probabilities have it, "
            f"got {labels.shape}."
        )
    if labels.ndim == 1:
        return probabilities.astype(np.float64), lambda values: values.argmax(1) == labels
    return probabilities.astype(np.float64), lambda values: ((values > 0.5) == (labels > 0.5)).all(1)
