"""The layout of a network's features: the order of their dimensions, and which tokens stand for no place."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from salign.errors import SalignError

Layout = Literal["nchw", "nhwc", "tokens"]


def layout_of(net: Any, raw: tuple[int, ...]) -> Layout:
    """Return the layout of a timm network's features, whose shape is `raw`; three dimensions are tokens."""
    if len(raw) == 3:
        return "tokens"
    return "nhwc" if _channels_last(net) else "nchw"


def count_prefix_tokens(net: Any) -> int:
    """Count the first tokens of a network that stand for no place in the image (class, register).

    timm declares their number for most networks. For others (PiT, VOLO, CoaT) it is the length of the class token that
    the network learns; if there are several, of the last one.
    """
    declared = getattr(net, "num_prefix_tokens", None)
    if declared is not None:
        return int(declared)
    learned = [
        parameter for name, parameter in net.named_parameters() if name.rpartition(".")[2].startswith("cls_token")
    ]
    return int(learned[-1].shape[1]) if learned else 0


def to_maps(net: Any, raw: Tensor) -> Tensor:
    """Bring feature maps, four dimensions in the network's own order as timm gives them, to `(B, C, h, w)`."""
    return raw.permute(0, 3, 1, 2) if _channels_last(net) else raw


def token_grid(name: str, tokens: int, height: int, width: int) -> tuple[int, int]:
    """Return the grid (h, w) of `tokens` square patches that cover an image of `height` x `width` pixels.

    Raises:
        SalignError: no grid has this number of patches.
    """
    tokens, height, width = int(tokens), int(height), int(width)  # in a trace they are tensors
    patch = (height * width / tokens) ** 0.5
    grid = (round(height / patch), round(width / patch))
    if grid[0] * grid[1] != tokens:
        raise SalignError(f"{name}: {tokens} tokens do not tile an image of {height} x {width} pixels.")
    return grid


def _channels_last(net: Any) -> bool:
    return str(getattr(net, "output_fmt", "")).endswith("NHWC")
