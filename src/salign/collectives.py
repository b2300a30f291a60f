"""What processes that train together exchange, so that their parts of a batch count as one batch."""

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
    """How many processes train together; 1 where nothing connects this process with another."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def share() -> float:
    """How many times as many images of the batch this process has as the processes have on average."""
    return _SHARE.get()


@contextmanager
def sharing_batch(images: int) -> Iterator[int]:
    """Within, losses know that the processes have unequal parts of one batch; every process must enter.

    The processes average their gradients, so that a loss which is a mean over the images of its process must be
    multiplied by `share()` before it goes back: then it counts as its images would in one batch of all.

    Args:
        images: how many this process has, at least one.

    Yields:
        The number of images of all.
    """
    number, _ = over_processes(torch.tensor(float(images)))
    token = _SHARE.set(images * processes() / float(number))
    try:
        yield int(number)
    finally:
        _SHARE.reset(token)


def over_processes(number: Tensor) -> tuple[Tensor, float]:
    """The sum of a number without graph over all processes, and by what a part of it must be multiplied.

    A process whose loss is `its sum * factor / number` adds to gradients that the processes average what its images
    would in one batch of all; see `sharing_batch`. Every process must ask. Without gradients, as in validation, each
    process is by itself.
    """
    if processes() == 1 or not torch.is_grad_enabled():
        return number, 1.0
    number = number.clone()
    distributed.all_reduce(number)
    return number, processes() / share()


def anywhere(holds: bool) -> bool:
    """Whether something holds in any of the processes; every process must ask."""
    if processes() == 1:
        return holds
    votes = torch.tensor(int(holds))
    distributed.all_reduce(votes, distributed.ReduceOp.MAX)
    return bool(votes)


def together(mean: Tensor) -> Tensor:
    """Mean over all processes of a scalar that each has of its own images, for formulas not linear in it.

    The square of a mean is not the mean of the processes' squares. The gradient is by the process's own share, of which
    the processes average all.
    """
    everywhere, factor = over_processes(mean.detach() * share())
    return mean if factor == 1 else mean + (everywhere / processes() - mean.detach())


def gathered(values: Tensor) -> tuple[Tensor, slice]:
    """`(B, ...)` of every process, one after the other and without graph, and where those of this process stand.

    Every process must ask; the number of rows may differ.
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
    """Within, batch norm in training mode normalises by the images of all processes, as it does in one process.

    torch's `SyncBatchNorm` does this on GPUs alone, and its gradient has none itself, as losses on the gradient by the
    image need. Every process must run the same layers in the same order.
    """
    return _SyncedBatchNorm() if processes() > 1 else nullcontext()


class _SyncedBatchNorm(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


class _Summed(torch.autograd.Function):
    """The sum over all processes, of which every process may take the gradient, and that of the gradient."""

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
    """As `torch.nn.functional.batch_norm`, over all processes in training; needs the same channels in each."""
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
    """Number, mean and variance of each channel over all processes, from mean and variance of this one's values."""
    count = torch.full_like(mean, values.numel() / values.shape[1])
    rows = [mean.new_zeros(3, len(mean)) for _ in range(processes())]
    rows[distributed.get_rank()] = torch.stack([count, mean, variance])
    counts, means, variances = _summed(torch.stack(rows)).unbind(1)
    total = counts.sum(0)
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean).square())).sum(0) / total  # Chan et al. 1979, of several parts
    return total, mean, variance


class _Normalised(torch.autograd.Function):
    """Values normalised by statistics of all processes, which depend on the values, with torch's own kernels."""

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
        # with grad mode on, somebody takes the gradient of this gradient
        parts = iter((_gradients_with_graph if torch.is_grad_enabled() else _gradients)(ctx, gradient))
        return *(next(parts) if needs else None for needs in ctx.needs_input_grad[:3]), None, None, None, None


def _gradients(ctx: Any, gradient: Tensor) -> list[Tensor]:
    """By values, weight and bias, as far as they are needed; each process has its own part of the last two."""
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
    """What `_Normalised` gives, slowly, and of which gradients may be taken any number of times."""
    variance, mean = torch.var_mean(values, [axis for axis in range(values.dim()) if axis != 1], correction=0)
    _, mean, variance = _everywhere(values, mean, variance)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return values * _by_channel(scale, values) + _by_channel(shift, values)


def _by_channel(numbers: Tensor, values: Tensor) -> Tensor:
    return numbers.view(1, -1, *[1] * (values.dim() - 2))
