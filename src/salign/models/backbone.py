"""Any timm network, split into feature maps and head, with the meaning of its class activation map proved at build."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from salign.checks import choice
from salign.models.heads import head_parts
from salign.types import Output, SalignError

CamKind = Literal["linear", "head_gradient", "none"]
Cam = Literal["proved", "none"]
Layout = Literal["nchw", "nhwc", "tokens"]
RESERVED = frozenset(
    (
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "checkpoint_path",
        "num_classes",
        "features_only",
        "output_stride",
    )
)
"""Keywords of `timm.create_model` that salign sets itself; some read weights from a pickle or the hub."""


class Backbone(nn.Module):
    """A timm network as `features` `(B, C, h, w)` and `head` `(B, C, h, w) -> (B, K)`.

    One rule serves convolutional, channels-last (Swin) and token (ViT) networks: timm's `forward_features` is brought
    to `(B, C, h, w)`, and the head is timm's `forward_head` on exactly that tensor. Tokens that stand for no place
    (class, register) are set to zero, so a head that reads them gives other logits than timm does, and is refused.

    Args:
        name: a name of `timm.list_models()`.
        classes: number of classes K.
        image_size: (H, W) the network will be fed; the proof runs at this size.
        output_stride: pixels per feature cell, where timm offers the choice (8, 16 or 32).
        args: further keywords for `timm.create_model`.
        cam: "none" takes a network as it is, class token or not, and proves nothing: there is no map of evidence then,
            and `Output.cam` and `Output.grad_cam` say so.

    Raises:
        SalignError: unknown name, refused keyword, or a network whose answer has no map of evidence.
    """

    net: Any
    """The timm network."""

    def __init__(
        self,
        name: str,
        classes: int,
        *,
        image_size: tuple[int, int],
        output_stride: int | None = None,
        args: dict[str, Any] | None = None,
        cam: Cam = "proved",
    ) -> None:
        super().__init__()
        choice("cam", cam, Cam)
        self.name = name
        self.net = create(name, classes, output_stride, dict(args or {}))
        self.prefix: int = getattr(self.net, "num_prefix_tokens", 0)
        with _probing(self.net) as generator, torch.no_grad():
            # Of the network's own features only the shape is used: with random weights they may vanish.
            shape = _raw_shape(self, torch.rand(2, 3, *image_size, generator=generator))
            self.layout: Layout = _layout(self.net, shape)
            raw = torch.randn(shape, generator=generator)
            features = self._to_maps(raw, image_size)
            self.grid: tuple[int, int] = (features.shape[2], features.shape[3])
            """(h, w) of the feature maps at `image_size`."""
            self.channels: int = features.shape[1]
            self.cam_kind: CamKind = "none"
            if cam == "none":
                return
            kind = prove_cam(self.head, self.net.get_classifier(), features, expected=self.net.forward_head(raw))
            if kind is None:
                raise SalignError(
                    f"{name}: its answer is read from a class token, not from the feature maps, so no class activation "
                    "map explains it. Pool the patch tokens instead: model.args = {global_pool: avg}. Or do without "
                    "maps, as losses can that need none: model.cam = none."
                )
            self.cam_kind = kind

    def features(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)`, normalised -> `(B, C, h, w)`."""
        return self._to_maps(self.net.forward_features(images), (images.shape[2], images.shape[3]))

    def _to_maps(self, raw: Tensor, image_size: tuple[int, int]) -> Tensor:
        if self.layout == "tokens":
            tokens = raw[:, self.prefix :].transpose(1, 2)
            return tokens.unflatten(2, _token_grid(self.name, tokens.shape[2], *image_size))
        return to_maps(self.net, raw)

    def head(self, features: Tensor) -> Tensor:
        """`(B, C, h, w)` -> logits `(B, K)`."""
        if self.layout == "tokens":
            tokens = features.flatten(2).transpose(1, 2)
            nowhere = tokens.new_zeros(tokens.shape[0], self.prefix, tokens.shape[2])
            features = torch.cat([nowhere, tokens], dim=1)
        elif self.layout == "nhwc":
            features = features.permute(0, 2, 3, 1)
        return self.net.forward_head(features)

    def forward(self, images: Tensor) -> Output:
        """`(B, 3, H, W)`, normalised -> Output; one pass."""
        if self.cam_kind == "none":
            raw = self.net.forward_features(images)
            maps = self._to_maps(raw, (images.shape[2], images.shape[3]))
            return Output(self.net.forward_head(raw), maps, self._no_map)
        features = self.features(images)
        weight = self.net.get_classifier().weight if self.cam_kind == "linear" else None
        return Output(self.head(features), features, self.head, weight)

    def _no_map(self, features: Tensor) -> Tensor:
        raise SalignError(
            f"{self.name} was built with cam = none: its answer has no map of evidence. Explain it by rise or rollout, "
            "or leave cam out and, if it is a ViT, pool its patches: model.args = {global_pool: avg}."
        )


def prove_cam(
    head: Callable[[Tensor], Tensor], classifier: object, features: Tensor, expected: Tensor
) -> CamKind | None:
    """Find out which class activation map has a meaning for a network in evaluation mode.

    Args:
        head: `(B, C, h, w)` -> `(B, K)`, said to be what the network makes of its feature maps.
        classifier: its last layer; the weights must not be zero.
        features: `(B, C, h, w)`, random.
        expected: `(B, K)` logits that the network itself gives for those features.

    Returns:
        `linear` if `mean_hw(CAM) + bias == logit` holds for these features (Zhou et al. 2016), else `head_gradient`;
        None where the logits are not `head` of the feature maps.
    """
    logits = head(features)
    if not equal(logits, expected):
        return None
    if not isinstance(classifier, nn.Linear) or classifier.in_features != features.shape[1]:
        return "head_gradient"
    every_class = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    cam = Output(logits, features, head, classifier.weight).cam(every_class)
    answer = logits if classifier.bias is None else logits - classifier.bias
    return "linear" if equal(cam.mean((2, 3)), answer) else "head_gradient"


def create(name: str, classes: int, output_stride: int | None, args: dict[str, Any]) -> Any:
    """Build a timm network with random weights; 0 classes = without a classifier.

    Raises:
        SalignError: unknown name (the nearest are named), or keywords that timm or salign refuses.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise SalignError(f"unknown backbone {name!r}; timm has no such network. Nearest: {', '.join(near) or 'none'}.")
    if taken := sorted(RESERVED & set(args)):
        raise SalignError(
            f"model.args: {', '.join(taken)} is not for args. Use model.weights, classes or output_stride."
        )
    if output_stride is not None:
        args["output_stride"] = output_stride
    try:
        return timm.create_model(name, num_classes=classes, **args)
    except Exception as error:  # timm checks its keywords nowhere, so anything may come of a wrong one
        if output_stride is not None and (not str(error) or "output_stride" in str(error)):  # VGG asserts in silence
            raise SalignError(
                f"{name} cannot change its output stride (asked: {output_stride}). Leave output_stride out and raise "
                "image_size for a finer map, or take a network that can (resnet, efficientnet, convnext, regnet)."
            ) from error
        raise SalignError(f"timm refuses to build {name} with {args}: {error}") from error


@contextmanager
def _probing(net: Any) -> Iterator[torch.Generator]:
    """Evaluation mode and a random classifier without bias: one initialised with zeros would prove anything."""
    was_training = net.training
    parameters = [parameter for part in head_parts(net) for parameter in part.parameters()]
    kept = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(0)
    net.eval()
    try:
        for parameter in parameters:
            if parameter.dim() == 1:
                parameter.data.zero_()
            else:
                parameter.data.normal_(generator=generator)
        yield generator
    finally:
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.data.copy_(value)
        net.train(was_training)


def _raw_shape(backbone: Backbone, images: Tensor) -> torch.Size:
    try:
        raw = backbone.net.forward_features(images)
    except (AssertionError, RuntimeError) as error:
        size = " x ".join(str(side) for side in images.shape[2:])
        raise SalignError(f"{backbone.name} does not accept images of {size}: {error}") from error
    if isinstance(raw, Tensor) and raw.dim() in (3, 4):
        return raw.shape
    came = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
    raise SalignError(f"{backbone.name}: expected feature maps or tokens, got {came}. Choose another backbone.")


def _layout(net: Any, shape: torch.Size) -> Layout:
    if len(shape) == 3:
        return "tokens"
    return "nhwc" if _channels_last(net) else "nchw"


def to_maps(net: Any, raw: Tensor) -> Tensor:
    """Feature maps as timm gives them, four dimensions in the network's own order -> `(B, C, h, w)`."""
    return raw.permute(0, 3, 1, 2) if _channels_last(net) else raw


def _channels_last(net: Any) -> bool:
    return str(getattr(net, "output_fmt", "")).endswith("NHWC")


def _token_grid(name: str, tokens: int, height: int, width: int) -> tuple[int, int]:
    """(h, w) of `tokens` square patches covering an image of `height` x `width` pixels."""
    patch = (height * width / tokens) ** 0.5
    grid = (round(height / patch), round(width / patch))
    if grid[0] * grid[1] != tokens:
        raise SalignError(f"{name}: {tokens} tokens do not tile an image of {height} x {width} pixels.")
    return grid


def equal(left: Tensor, right: Tensor, tolerance: float = 1e-3) -> bool:
    """Equal relative to the largest value: networks with random weights answer on any scale."""
    return left.shape == right.shape and bool((left - right).abs().max() <= tolerance * right.abs().max())
