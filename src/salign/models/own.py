"""A network of your own, split by the names of its layers; the meaning of its map is proved, as for timm's networks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from salign.checks import images as check_images, instance, number, sides
from salign.errors import SalignError
from salign.models.proof import CamKind, equal, prove_cam
from salign.models.running import keep_running_statistics
from salign.types import Output

Tail = Callable[[Tensor], Tensor]

POOLINGS: dict[str, Tail] = {
    "the spatial mean": lambda maps: maps.mean((2, 3)),
    "the spatial mean as (B, C, 1, 1)": lambda maps: maps.mean((2, 3), keepdim=True),
    "the maps": lambda maps: maps,
    "the maps, flattened": lambda maps: maps.flatten(1),
}
"""What a head may be applied to; the proof finds out which of these it is."""


class Wrapped(nn.Module):
    """A network of your own as `wrap` makes it, `network(images) -> Output`, for images `(B, 3, H, W)` in [0, 1]."""

    mean: Tensor
    std: Tensor
    cam_kind: CamKind
    """`linear` or `head_gradient`, as for timm's networks."""
    grid: tuple[int, int]
    """(h, w) of the feature maps at the image size that was given to `wrap`."""
    pooling: str
    """What the head is applied to: a name of `POOLINGS`, or "tail"."""

    def __init__(self, net: nn.Module, layer: str, classifier: str | None, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net, self.layer, self.classifier = net, layer, classifier
        self.tail: list[Tail] = []  # a list, so that its parts, which are the network's own, are not registered twice
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Tensor) -> Output:
        """Run the network once; during the pass there is a hook on the feature layer.

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        check_images(images, self)
        logits, features = self.run((images - self.mean) / self.std)
        weight = None
        if self.cam_kind == "linear" and self.classifier is not None:
            weight = self.net.get_submodule(self.classifier).weight
        return Output(logits, features, self.head, weight, again=self.again)  # type: ignore[arg-type]

    def again(self, images: Tensor) -> Output:
        """Run `forward` on changed copies of images; the running statistics of batch norm do not learn from them."""
        with keep_running_statistics(self):
            return self(images)

    def head(self, features: Tensor) -> Tensor:
        """Return the logits `(B, K)` of feature maps `(B, C, h, w)`."""
        if self.pooling == "tail":
            return self.tail[0](features)
        return self.net.get_submodule(str(self.classifier))(POOLINGS[self.pooling](features)).flatten(1)

    def run(self, images: Tensor, instead: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits and the output of the feature layer; if `instead` is given, it replaces that output.

        If the network changes its features in place (ReLU), the changed features are returned.
        """
        outputs: list[Any] = []

        def look(module: nn.Module, args: object, result: object) -> object:
            outputs.append(result if instead is None else instead)
            return instead

        hook = self.net.get_submodule(self.layer).register_forward_hook(look)
        try:
            logits = _logits(self.net(images))
        finally:
            hook.remove()
        if len(outputs) != 1:
            raise SalignError(
                f"features: {self.layer} ran {len(outputs)} times in one pass; name a layer that runs once."
            )
        if not isinstance(outputs[0], Tensor) or outputs[0].dim() != 4:
            raise SalignError(
                f"features: expected maps (B, C, h, w) from {self.layer}, got {_described(outputs[0])}. Name the last "
                "layer that gives maps. Tokens of a ViT are none, and where a class token is read none explain the "
                "answer: take Classifier with a ViT of timm and args = {global_pool: avg}."
            )
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            raise SalignError(
                f"expected logits (B, K) from the network, or an output that has them as .logits, got "
                f"{_described(logits)}. Wrap a module that gives nothing else (auxiliary heads switched off)."
            )
        return logits, outputs[0]


def wrap(
    net: nn.Module,
    *,
    features: str,
    head: str | None = None,
    tail: Tail | None = None,
    image_size: int | tuple[int, int],
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Wrapped:
    """Make any classifier show its evidence, so that every loss and explainer here can use it.

    What follows the feature layer must be known as a function. With `head` alone, this function is the layer of that
    name, applied to the spatial mean of the maps or to the maps themselves. To find out which, random maps are put in
    the place of the features, and the answers are compared. Nothing is taken for granted: if no function gives the
    network's own answers, the network is refused.

    Args:
        net: images `(B, 3, H, W)` -> logits `(B, K)`, or an output that has them as `.logits`, as the networks of
            Hugging Face's transformers; used as it is, not copied. Modes and weights stay as they are.
        features: name of the last layer that gives maps `(B, C, h, w)`, as in `net.named_modules()`.
        head: name of the layer or block that turns the maps into logits.
        tail: any function or module that turns the maps into logits, for a network that `head` alone does not describe.
        image_size: (H, W) of the images, or one number for a square.
        mean: number per channel that is subtracted from images in [0, 1], if the network expects it.
        std: number per channel by which images are then divided.

    Raises:
        SalignError: there is no such layer, it does not give maps, or the answer is not made from these maps in a known
            way.
    """
    instance("net", net, nn.Module, "a module")
    instance("features", features, str, "the name of a layer")
    instance("head", head, (str, NoneType), "the name of a layer")
    size = sides("image_size", image_size)
    for option, name in (("features", features), ("head", head)):
        layers = [path for path, _ in net.named_modules() if path]
        if name is not None and name not in layers:
            near = ", ".join(difflib.get_close_matches(name, layers, n=3)) or "none"
            raise SalignError(f"{option}: the network has no layer {name!r}. Nearest: {near}.")
    for option, three, interval in (("mean", mean, "(-inf, inf)"), ("std", std, "(0, inf)")):
        if not isinstance(three, Sequence) or isinstance(three, str) or len(three) != 3:
            raise SalignError(f"{option}: expected three numbers, one per channel, got {three!r}.")
        for value in three:
            number(option, value, interval)
    if head is None and tail is None:
        raise SalignError("expected head, the name of a layer, or tail, a function from maps to logits; got neither.")
    head = _without_dropout(net, head)
    anchor = next(net.parameters(), None)
    if anchor is None:
        raise SalignError("net: the network has no parameters, so that there is nothing to train.")
    wrapped = Wrapped(net, features, head, *(torch.tensor(part).view(1, 3, 1, 1).to(anchor) for part in (mean, std)))
    parts = [net.get_submodule(head)] if head else []
    with torch.no_grad(), _probing(net, parts) as generator:
        images = torch.rand(2, 3, *size, generator=generator).to(anchor)
        try:
            shape = wrapped.run(images)[1].shape
        except (RuntimeError, ValueError, TypeError) as error:
            raise SalignError(f"the network cannot take images (2, 3, {size[0]}, {size[1]}): {error}") from error
        wrapped.grid = (shape[2], shape[3])
        instead = torch.randn(shape, generator=generator).to(anchor)
        expected, maps = wrapped.run(images, instead.clone())
        elsewhere, _ = wrapped.run(images.flip(3) / 2, instead.clone())
        if not equal(expected, elsewhere):
            raise SalignError(
                f"features: the answer does not come from {features} alone; something goes around it (a skip "
                "connection?). Name the layer after both have met."
            )
        if equal(expected, expected.flip(0)):
            raise SalignError(
                f"features: whatever {features} gives, the answer is the same. Name another layer, or give the tail "
                "weights that are not zero."
            )
        wrapped.tail = [tail] if tail else []
        for wrapped.pooling in ["tail"] if tail else POOLINGS:
            kind = _tried(wrapped, parts, maps, expected)
            if kind is not None:
                wrapped.cam_kind = kind
                return wrapped
    attempts = "tail" if tail else f"{head} on " + ", or on ".join(POOLINGS)
    raise SalignError(
        f"what the network makes of {features} is not {attempts}: random maps get other answers. Give tail=, a "
        "function from the maps to the logits that does just what the network does after that layer."
    )


def _logits(output: object) -> object:
    """Return the logits in a network's output: the output itself, or its entry or attribute `logits`."""
    if isinstance(output, Mapping):
        return output.get("logits", output)
    return getattr(output, "logits", output)


def _without_dropout(net: nn.Module, head: str | None) -> str | None:
    """Return the name of the only layer of a block that does not just flatten or drop out; else the block's name.

    Maps of evidence pass by layers that flatten or drop out.
    """
    block = net.get_submodule(head) if head else None
    if isinstance(block, nn.Sequential):
        rest = [
            name
            for name, layer in block.named_children()
            if not isinstance(layer, nn.Dropout | nn.Identity | nn.Flatten)
        ]
        return f"{head}.{rest[0]}" if len(rest) == 1 else head
    return head


def _tried(wrapped: Wrapped, parts: list[nn.Module], maps: Tensor, expected: Tensor) -> CamKind | None:
    try:
        return prove_cam(wrapped.head, parts[0] if parts else None, maps.clone(), expected)
    except (RuntimeError, IndexError, ValueError):
        if wrapped.pooling == "tail":
            raise
        return None  # this head does not take maps of that shape


@contextmanager
def _probing(net: nn.Module, parts: list[nn.Module]) -> Iterator[torch.Generator]:
    """Put the network into evaluation mode and draw random matrices in `parts`; restore both afterwards.

    A part that was initialised with zeros would prove anything.
    """
    modes = [(module, module.training) for module in net.modules()]
    saved = [(weight, weight.detach().clone()) for part in parts for weight in part.parameters() if weight.dim() > 1]
    generator = torch.Generator().manual_seed(0)
    try:
        for module, _ in modes:
            module.training = False
        for weight, value in saved:
            weight.data.copy_(torch.randn(value.shape, generator=generator))
        yield generator
    finally:
        for weight, value in saved:
            weight.data.copy_(value)
        for module, training in modes:
            module.training = training


def _described(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
