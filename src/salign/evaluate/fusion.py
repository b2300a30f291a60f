"""Which epochs of one training to fuse into one answer, and how much each counts, by validation images alone."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from salign.checks import choice
from salign.errors import SalignError

Method = Literal["fusion", "best", "last", "all", "jumps"]
METHODS: tuple[Method, ...] = get_args(Method)
_GRID = np.arange(1, 21) / 20
"""The weights that a new epoch may get beside what is fused already."""


def fuse_epochs(probabilities: NDArray[Any], labels: NDArray[Any], *, window: int = 1) -> NDArray[np.float64]:
    """Knowledge fusion (Relearning Forgotten Knowledge, arXiv 2310.11094): weigh the epochs of one training.

    It starts from the last epoch. Then it takes the epoch at which the largest share of all images was right that the
    last one gets wrong, and adds it, `prob <- eps P_A + (1 - eps) prob`, with the `eps` of a grid that gives the
    highest accuracy; the next epoch is the one that is right most often where the fused answer is wrong. It ends when
    no `eps` gives a higher accuracy. `P_A` is the mean over the epochs from `A - window` to `A + window`.

    Args:
        probabilities: `(E, N, K)` in [0, 1], of `N` validation images after each of `E` epochs in their order.
        labels: `(N,)` integers in [0, K); or `(N, K)` zeros and ones, where an image may have several labels. Such an
            image is right when each class is on the right side of one half.
        window: how many epochs before and after count with the one that is taken.

    Returns:
        `(E,)` weights from 0 on, which sum to 1.

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
    """Weigh the epochs of one training by any of the ways that fusion is compared with.

    Args:
        probabilities: as for `fuse_epochs`.
        labels: as for `fuse_epochs`.
        method: "fusion", see `fuse_epochs`; "best", the epoch with the highest accuracy alone, the first of several;
            "last", the mean of the last `count`; "all", the mean of all; "jumps", the mean of `count` at even
            distances, the last among them.
        count: for "last" and "jumps"; None = a tenth of the epochs, but two at least.
        window: for "fusion".

    Returns:
        `(E,)` weights from 0 on, which sum to 1.

    Raises:
        SalignError: the shapes do not fit, there is no such method, or there are fewer epochs than `count`.
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
    """How right each way of weighing epochs is on images that did not choose the weights (arXiv 2310.11094).

    The images are halved at random, `splits` times; one half chooses and the other one is measured, and then, unlike
    in the paper, the other way round, so that every image is measured in each split.

    Args:
        probabilities: as for `fuse_epochs`.
        labels: as for `fuse_epochs`.
        generator: draws the halves.
        splits: how often.
        count: as for `choose_epochs`.
        window: as for `choose_epochs`.

    Returns:
        "final", the last epoch, and each of `METHODS` -> mean accuracy in [0, 1].

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
    """The probabilities, and the function from `(N, K)` probabilities to whether each image is right."""
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
