"""Run a model for explanation and leave it exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from salign.checks import function
from salign.types import Output

Model = Callable[[Tensor], Output]
"""A model to explain: images `(B, 3, H, W)` in [0, 1] -> Output. It is a module or any function."""


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Put a module in evaluation mode, and give every part its own mode back at the end.

    A function is left untouched.

    Raises:
        SalignError: the model is neither a module nor a function.
    """
    function("model", model)
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training
