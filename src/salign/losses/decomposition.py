"""Contextual decomposition: how much of each logit comes from one region of the image, carried through every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import function, tensors, values
from salign.errors import SalignError
from salign.losses.base import at_least_float32
from salign.maps.tensor_ops import ROUNDING


def decompose(network: Callable[[Tensor], Tensor], images: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Split the logits of `network` into the part of a region of the image and the rest; their sum is the logits.

    The rules are those of Singh et al. 2019 (arXiv 1806.05337), of Rieger et al. 2020 (arXiv 1909.13584) and of their
    public code. They say what becomes of the part when a layer gets `x = part + rest`:

    - Convolution, linear layer and batch norm (with the statistics that it uses for `x`) compute `A x + b`. The part
      becomes `A part + b |A part| / (|A part| + |A rest|)`; where both vanish, it gets half of `b`.
    - ReLU: the part becomes `relu(part)`, so that the rest becomes `relu(x) - relu(part)`. ReLU6 is treated alike,
      which is our addition.
    - Max pooling takes the part at the place where `x` is greatest.
    - Average pooling, padding, addition and concatenation do the same to the part as to `x`; dropout drops the same
      places.

    Operations on the image itself, such as normalisation, are applied before the region is cut out. The network need
    not be a module and needs no hooks: it is called on a tensor that carries its part.

    Args:
        network: images `(B, 3, H, W)` -> logits `(B, K)`; any code that is made of these operations.
        images: `(B, 3, H, W)`.
        region: `(B, H, W)` in [0, 1], the share of each pixel that belongs to the region.

    Returns:
        The logits of the region and of the rest, `(B, K)` each, differentiable.

    Raises:
        SalignError: the network uses an operation without a rule, which the message names, or a value of `region` is
            out of range.
    """
    function("network", network)
    tensors(images=(images, "float (B, 3, H, W)"), region=(region, "float (B, H, W)"))
    values("region", region, "[0, 1]")
    logits: Any = network(_Split.of(images, images * region[:, None], region[:, None]))
    return logits.part, logits.whole - logits.part


class _Split(Tensor):
    """A tensor that stands for `whole` wherever a network computes; every operation applies its rule to `part`, too."""

    whole: Tensor
    part: Tensor
    region: Tensor | None
    """`(B, 1, H, W)`, the region of an image that no layer has seen yet; None afterwards."""

    @staticmethod
    def of(whole: Tensor, part: Tensor, region: Tensor | None = None) -> _Split:
        split = whole.detach().as_subclass(_Split)
        split.whole, split.part, split.region = whole, part, region
        return split

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        # 1. An operation with a rule: the rule works on whole and part. An operation in place changes its argument and
        # returns it.
        if function in _RULES:
            in_place = kwargs.pop("inplace", False) or function is Tensor.add_
            split = _RULES[function](function, *args, **kwargs)
            if in_place:
                args[0].whole, args[0].part, args[0].region = split.whole, split.part, split.region
            return args[0] if in_place else split
        # 2. An operation without a rule may answer a question (a shape, a device), but may not give values: nobody
        # has computed the part of these values.
        with torch._C.DisableTorchFunctionSubclass():
            answer = function(*args, **kwargs)
        if isinstance(answer, Tensor):
            raise _refused(function)
        return answer  # a shape, a device, ...


def _refused(function: Any) -> SalignError:
    return SalignError(
        f"no rule of contextual decomposition splits `{function.__name__}`, which this network uses; there are rules "
        "for convolutions, batch norm, ReLU, pooling and sums. Take such a backbone (ResNet, DenseNet, VGG, Inception, "
        "EfficientNet-Lite), or leave it to the last layers, loss.decomposes: head."
    )


def _each(values: Any, of: str) -> Any:
    """Return the same arguments with every split replaced by one of its sides, "whole" or "part"."""
    if isinstance(values, _Split):
        return getattr(values, of)
    return type(values)(_each(value, of) for value in values) if isinstance(values, list | tuple) else values


def _alike(function: Any, *args: Any, **kwargs: Any) -> _Split:
    return _Split.of(*(function(*_each(args, side), **kwargs) for side in ("whole", "part")))


def _added(function: Any, left: Any, right: Any) -> _Split:
    if not (isinstance(left, _Split) and isinstance(right, _Split)):
        raise _refused(function)
    return _alike(torch.add, left, right)


def _to_the_image(function: Any, image: Any, constant: Any) -> _Split:
    if not isinstance(image, _Split) or image.region is None or isinstance(constant, _Split):
        raise _refused(function)
    whole = function(image.whole, constant)
    return _Split.of(whole, whole * image.region, image.region)


def _affine(whole: Tensor, part: Tensor, rest: Tensor, bias: Tensor) -> _Split:
    # The bias belongs to neither side, so each gets a share of it in proportion to its size, pixel by pixel; where both
    # vanish, each gets half.
    both = part.abs() + rest.abs()
    vanish = both <= ROUNDING * bias.abs()
    share = torch.where(vanish, 0.5, part.abs() / torch.where(vanish, 1.0, both))
    return _Split.of(whole, part + share * bias)


def _weighted(
    function: Any, split: _Split, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> _Split:
    whole, part = (function(x, weight, b, *args, **kwargs) for x, b in ((split.whole, bias), (split.part, None)))
    # The layer is linear but for its bias: it is applied to the part without one, and the bias is shared out
    # afterwards.
    if bias is None:
        return _Split.of(whole, part)
    bias = bias.view(-1, *[1] * (part.dim() - 2))
    return _affine(whole, part, whole - bias - part, bias)


def _batch_norm(
    function: Any,
    split: _Split,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _Split:
    whole = function(split.whole, mean, variance, weight, bias, training, momentum, eps)
    # The statistics are those of the whole, as in the network itself. With them batch norm is `scale * x + shift`.
    if training or mean is None or variance is None:
        axes = [0, *range(2, whole.dim())]
        variance, mean = torch.var_mean(at_least_float32(split.whole), axes, correction=0)
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    scale, shift = (values.view(-1, *[1] * (whole.dim() - 2)) for values in (scale, shift))
    return _affine(whole, split.part * scale, (split.whole - split.part) * scale, shift)


def _max_pool(function: Any, split: _Split, *args: Any, **kwargs: Any) -> _Split:
    # The maximum is chosen by the whole; the part takes its own value from the same position.
    whole, position = function(split.whole, *args, **{**kwargs, "return_indices": True})
    return _Split.of(whole, split.part.flatten(2).gather(2, position.flatten(2)).view_as(whole))


def _dropout(function: Any, split: _Split, *args: Any, **kwargs: Any) -> _Split:
    # Dropout of ones is the mask that it draws; both sides are multiplied by the same one.
    mask = function(torch.ones_like(split.whole), *args, **kwargs)
    return _Split.of(split.whole * mask, split.part * mask)


_ALIKE = (
    *(functional.relu, torch.relu, Tensor.relu, functional.relu6, functional.hardtanh),
    *(functional.avg_pool2d, functional.adaptive_avg_pool2d, torch.mean, Tensor.mean, functional.pad),
    *(torch.cat, torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, Tensor.permute, Tensor.contiguous),
)
_RULES: dict[Any, Callable[..., _Split]] = {
    **dict.fromkeys(_ALIKE, _alike),
    **dict.fromkeys((torch.conv2d, functional.linear), _weighted),
    functional.batch_norm: _batch_norm,
    functional.max_pool2d: _max_pool,
    **dict.fromkeys((functional.dropout, functional.dropout2d), _dropout),
    **dict.fromkeys((torch.add, Tensor.add, Tensor.add_), _added),
    **dict.fromkeys((Tensor.sub, Tensor.div), _to_the_image),
}
"""Function of PyTorch -> the rule that applies it to `whole` and `part`."""
