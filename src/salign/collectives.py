"""Exchange between processes that train together, so that their parts of a batch count as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_SHARE: ContextVar[float] = ContextVar("share", default=1.0)


def processes() -> int:
    """Return how many processes train together; 1 if this process is not connected with others."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def share() -> float:
    """Return this process's number of images of the batch, divided by the mean number over all processes."""
    return _SHARE.get()


@contextmanager
def sharing_batch(images: int) -> Iterator[int]:
    """Set `share()` while the processes work on unequal parts of one batch; every process must enter this block.

    The processes average their gradients. A loss that is a mean over the images of its process must therefore be
    multiplied by `share()` before its backward pass: then each image counts as it would in one batch of all images.

    Args:
        images: how many images this process has, at least one.

    Yields:
        The number of images of all processes together.
    """
    number, _ = over_processes(torch.tensor(float(images)))
    token = _SHARE.set(images * processes() / float(number))
    try:
        yield int(number)
    finally:
        _SHARE.reset(token)


def over_processes(number: Tensor) -> tuple[Tensor, float]:
    """Sum a number over all processes, and return the sum with the factor for each process's own part of a loss.

    The number has no graph. If the loss of a process is `its sum * factor / number`, and is multiplied by `share()` as
    in `sharing_batch`, the averaged gradients are those of one batch of all images. Every process must call this.
    Without gradients, as in validation, each process is by itself: the number comes back unchanged, with a factor of 1.
    """
    if processes() == 1 or not torch.is_grad_enabled():
        return number, 1.0
    number = number.clone()
    distributed.all_reduce(number)
    return number, processes() / share()


def anywhere(holds: bool) -> bool:
    """Return whether something holds in at least one process; every process must call this."""
    if processes() == 1:
        return holds
    votes = torch.tensor(int(holds))
    distributed.all_reduce(votes, distributed.ReduceOp.MAX)
    return bool(votes)


def together(mean: Tensor) -> Tensor:
    """Return the mean over all images of a scalar of which each process has the mean over its own images.

    Formulas that are not linear in the mean need this: the square of a mean is not the mean of the processes' squares.
    The gradient is that of the process's own mean; the processes then average their gradients.
    """
    everywhere, factor = over_processes(mean.detach() * share())
    return mean if factor == 1 else mean + (everywhere / processes() - mean.detach())


def gathered(values: Tensor) -> tuple[Tensor, slice]:
    """Return the rows `(B, ...)` of all processes in the order of ranks, and the slice of this process's own rows.

    The rows have no graph if there are several processes. Every process must call this; the number of rows may differ.
    """
    if processes() == 1:
        return values, slice(None)
    rank, sizes = distributed.get_rank(), torch.zeros(processes(), dtype=torch.int64)
    sizes[rank] = len(values)
    distributed.all_reduce(sizes)
    ends = sizes.cumsum(0).tolist()
    sent = values.detach().byte() if values.dtype == torch.bool else values.detach()
    padded = sent.new_zeros((int(sizes.max()), *sent.shape[1:]))
    padded[: len(sent)] = sent
    parts = [torch.empty_like(padded) for _ in ends]
    distributed.all_gather(parts, padded)
    rows = torch.cat([part[:size] for part, size in zip(parts, sizes.tolist(), strict=True)])
    return rows.to(values.dtype), slice(ends[rank] - len(values), ends[rank])


def synced_batch_norm() -> AbstractContextManager[Any]:
    """Make batch norm in training mode normalise by the images of all processes, as it would in one process.

    torch's `SyncBatchNorm` works on GPUs alone, and it has no second derivative, which losses on the gradient with
    respect to the image need. Every process must run the same layers in the same order.
    """
    return _SyncedBatchNorm() if processes() > 1 else nullcontext()


class _SyncedBatchNorm(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


class _Summed(torch.autograd.Function):
    """The sum over all processes; its gradient is such a sum, too, so that it has derivatives of any order."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total: Tensor = _Summed.apply(values)
    return total


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.batch_norm` does, in training with the statistics of all processes.

    All processes must have the same number of channels.
    """
    if not training:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
    with torch.no_grad():
        total, mean, variance = _everywhere(values, *torch.batch_norm_update_stats(values, None, None, momentum))
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((variance * total / (total - 1)).to(running_var), momentum)
    normalised: Tensor = _Normalised.apply(values, weight, bias, total, mean, variance, eps)
    return normalised.to(input.dtype)


def _everywhere(values: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number, mean and variance of each channel over all processes, from this process's mean and variance."""
    count = torch.full_like(mean, values.numel() / values.shape[1])
    rows = [mean.new_zeros(3, len(mean)) for _ in range(processes())]
    rows[distributed.get_rank()] = torch.stack([count, mean, variance])
    counts, means, variances = _summed(torch.stack(rows)).unbind(1)
    total = counts.sum(0)
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean).square())).sum(0) / total  # Chan et al. 1979, for several parts
    return total, mean, variance


class _Normalised(torch.autograd.Function):
    """Normalise values by the statistics of all processes, which depend on the values, with torch's own kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        total: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, bias, total, mean, variance)
        ctx.eps = eps
        return torch.batch_norm(values, weight, bias, mean, variance, False, 0.0, eps, False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # grad mode is on only if the gradient of this gradient will be taken
        parts = iter((_gradients_with_graph if torch.is_grad_enabled() else _gradients)(ctx, gradient))
        return *(next(parts) if needs else None for needs in ctx.needs_input_grad[:3]), None, None, None, None


def _gradients(ctx: Any, gradient: Tensor) -> list[Tensor]:
    """Return the gradients with respect to values, weight and bias, as far as they are needed.

    Those of weight and bias are this process's part, as the processes average them later.
    """
    values, weight, _, total, mean, variance = ctx.saved_tensors
    _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
        gradient, values, None, mean, variance, None, None, False, ctx.eps, [False, True, True]
    )
    parts = [part for part, needs in zip((by_weight, by_bias), ctx.needs_input_grad[1:3], strict=True) if needs]
    if not ctx.needs_input_grad[0]:
        return parts
    sums = torch.stack([by_weight, by_bias])
    distributed.all_reduce(sums)
    slope = (variance + ctx.eps).rsqrt()
    scale = slope if weight is None else slope * weight
    factor = -scale * slope * sums[0] / total
    shift = -scale * sums[1] / total - factor * mean
    scale, factor, shift = (_by_channel(part, values) for part in (scale, factor, shift))
    return [(gradient * scale).addcmul_(values, factor).add_(shift), *parts]


def _gradients_with_graph(ctx: Any, gradient: Tensor) -> Sequence[Tensor]:
    values, weight, bias, *_ = ctx.saved_tensors
    inputs = [part for part, needs in zip((values, weight, bias), ctx.needs_input_grad, strict=False) if needs]
    return torch.autograd.grad(_composed(values, weight, bias, ctx.eps), inputs, gradient, create_graph=True)


def _composed(values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute what `_Normalised` computes, more slowly, but from operations that have derivatives of any order."""
    variance, mean = torch.var_mean(values, [axis for axis in range(values.dim()) if axis != 1], correction=0)
    _, mean, variance = _everywhere(values, mean, variance)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return values * _by_channel(scale, values) + _by_channel(shift, values)


def _by_channel(numbers: Tensor, values: Tensor) -> Tensor:
    return numbers.view(1, -1, *[1] * (values.dim() - 2))
