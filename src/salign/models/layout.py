"""Where in the image a network's features lie: their order, and which tokens stand for no place."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from salign.errors import SalignError

Layout = Literal["nchw", "nhwc", "tokens"]


def layout_of(net: Any, raw: tuple[int, ...]) -> Layout:
    """The order of a timm network's features, whose shape is `raw`: three dimensions are tokens."""
    if len(raw) == 3:
        return "tokens"
    return "nhwc" if _channels_last(net) else "nchw"


def count_prefix_tokens(net: Any) -> int:
    """How many of a network's first tokens stand for no place (class, register), whatever `net` gives besides.

    timm declares it for most networks; else it is the length of the class token that the network learns (PiT, VOLO,
    CoaT), of several the last.
    """
    declared = getattr(net, "num_prefix_tokens", None)
    if declared is not None:
        return int(declared)
    learned = [
        parameter for name, parameter in net.named_parameters() if name.rpartition(".")[2].startswith("cls_token")
    ]
    return int(learned[-1].shape[1]) if learned else 0


def to_maps(net: Any, raw: Tensor) -> Tensor:
    """Feature maps as timm gives them, four dimensions in the network's own order -> `(B, C, h, w)`."""
    return raw.permute(0, 3, 1, 2) if _channels_last(net) else raw


def token_grid(name: str, tokens: int, height: int, width: int) -> tuple[int, int]:
    """(h, w) of `tokens` square patches covering an image of `height` x `width` pixels.

    Raises:
        SalignError: no such grid has so many.
    """
    tokens, height, width = int(tokens), int(height), int(width)  # a trace has tensors there
    patch = (height * width / tokens) ** 0.5
    grid = (round(height / patch), round(width / patch))
    if grid[0] * grid[1] != tokens:
        raise SalignError(f"{name}: {tokens} tokens do not tile an image of {height} x {width} pixels.")
    return grid


def _channels_last(net: Any) -> bool:
    return str(getattr(net, "output_fmt", "")).endswith("NHWC")
