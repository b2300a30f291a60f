"""Any timm network, split into feature maps and head; the meaning of its class activation map is proved when built."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

import salign.models.binary  # noqa: F401  its networks are registered with timm
from salign.checks import choice
from salign.errors import SalignError
from salign.models.config import Cam
from salign.models.heads import head_parts
from salign.models.layout import Layout, count_prefix_tokens, layout_of, to_maps, token_grid
from salign.models.proof import CamKind, prove_cam
from salign.types import Output

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
_INSTEAD = (
    "Take a network that gives feature maps, such as a resnet, convnext or swin, or a vit_* with "
    "model.args = {global_pool: avg}"
)
_WITHOUT_MAPS = "Or do without maps, as losses can that need none: model.cam = none."


class Backbone(nn.Module):
    """A timm network, split into `features`, which gives `(B, C, h, w)`, and `head`, which turns them into `(B, K)`.

    One rule serves convolutional, channels-last (Swin) and token (ViT) networks: what timm's `forward_features` returns
    is brought to `(B, C, h, w)`, and the head is timm's `forward_head` on exactly that tensor. Tokens that stand for no
    place (class, register) are set to zero. A head that reads these tokens then gives other logits than timm does, and
    is refused.

    Args:
        name: a name of `timm.list_models()`.
        classes: number of classes K.
        image_size: (H, W) of the images that the network will get; the proof runs at this size.
        output_stride: pixels per feature cell, where timm offers the choice (8, 16 or 32).
        args: further keywords for `timm.create_model`.
        cam: "proved" refuses a network whose class activation map has no proved meaning. "none" takes a network as it
            is, class token or not, and proves nothing: there is no map of evidence then, and `Output.cam` and
            `Output.grad_cam` raise a SalignError.

    Raises:
        SalignError: the name is unknown, a keyword is refused, or the network's answer has no map of evidence.
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
        if not hasattr(self.net, "get_classifier"):
            raise SalignError(f"{name} is an encoder without a classifier. {_INSTEAD}.")
        self.prefix: int = count_prefix_tokens(self.net)
        with _probing(self.net) as generator, torch.no_grad():
            # Only the shape of the network's own features is used: with random weights their values may vanish.
            shape = _raw_shape(self, torch.rand(2, 3, *image_size, generator=generator), args)
            self.layout: Layout = layout_of(self.net, shape)
            if self.layout == "tokens" and shape[1] <= self.prefix:
                if cam == "proved":
                    raise SalignError(
                        f"{name}: timm gives its class token alone, not the features of places, so no map says where "
                        f"it looks. {_INSTEAD}. {_WITHOUT_MAPS}"
                    )
                self.prefix = shape[1] - 1  # the last token stands for the whole image
            raw = torch.randn(shape, generator=generator)
            expected = _answer(self, raw, classes, args)
            features = self._to_maps(raw, image_size)
            self.grid: tuple[int, int] = (features.shape[2], features.shape[3])
            """(h, w) of the feature maps at `image_size`."""
            self.channels: int = features.shape[1]
            self.cam_kind: CamKind = "none"
            if cam == "none":
                return
            kind = prove_cam(self.head, self.net.get_classifier(), features, expected)
        if kind is None:
            pooled = _patches_can_be_pooled(name, classes, image_size, output_stride, dict(args or {}))
            remedy = "Pool the patch tokens instead: model.args = {global_pool: avg}" if pooled else _INSTEAD
            raise SalignError(
                f"{name}: its answer is read from a class token, not from the feature maps, so no class activation map "
                f"explains it. {remedy}. {_WITHOUT_MAPS}"
            )
        self.cam_kind = kind

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps `(B, C, h, w)` of normalised images `(B, 3, H, W)`."""
        return self._to_maps(self.net.forward_features(images), (images.shape[2], images.shape[3]))

    def _to_maps(self, raw: Tensor, image_size: tuple[int, int]) -> Tensor:
        if self.layout == "tokens":
            tokens = raw[:, self.prefix :].transpose(1, 2)
            return tokens.unflatten(2, token_grid(self.name, tokens.shape[2], *image_size))
        return to_maps(self.net, raw)

    def head(self, features: Tensor) -> Tensor:
        """Return the logits `(B, K)` of feature maps `(B, C, h, w)`."""
        if self.layout == "tokens":
            tokens = features.flatten(2).transpose(1, 2)
            features = pad(tokens, (0, 0, self.prefix, 0))
        elif self.layout == "nhwc":
            features = features.permute(0, 2, 3, 1)
        return self.net.forward_head(features)

    def forward(self, images: Tensor) -> Output:
        """Run the network once on normalised images `(B, 3, H, W)`."""
        if self.cam_kind == "none":
            raw = self.net.forward_features(images)
            maps = self._to_maps(raw, (images.shape[2], images.shape[3]))
            return Output(self.net.forward_head(raw), maps, self._no_map)
        return self.from_features(self.features(images))

    def from_features(self, features: Tensor) -> Output:
        """Run the head alone on feature maps `(B, C, h, w)`, in a network with a proved map."""
        weight = self.net.get_classifier().weight if self.cam_kind == "linear" else None
        return Output(self.head(features), features, self.head, weight)

    def _no_map(self, features: Tensor) -> Tensor:
        raise SalignError(
            f"{self.name} was built with cam = none: its answer has no map of evidence. Explain it by rise or rollout, "
            "or leave cam out and, if it is a ViT, pool its patches: model.args = {global_pool: avg}."
        )


def check_backbone(name: str) -> None:
    """Refuse a name that is not the name of a timm network.

    Raises:
        SalignError: the name is unknown; the message suggests the nearest names.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise SalignError(f"unknown backbone {name!r}; timm has no such network. Nearest: {', '.join(near) or 'none'}.")


def create(name: str, classes: int, output_stride: int | None, args: dict[str, Any]) -> Any:
    """Build a timm network with random weights; with 0 classes it has no classifier.

    Raises:
        SalignError: the name is unknown (the message suggests the nearest names), or timm or salign refuses a keyword.
    """
    check_backbone(name)
    if reserved := sorted(RESERVED & set(args)):
        raise SalignError(
            f"model.args: {', '.join(reserved)} is not for args. Use model.weights, classes or output_stride."
        )
    if args.get("in_chans") not in (None, 3):
        raise SalignError(
            f"model.args: in_chans = {args['in_chans']!r}, but images have three channels, grey ones, too."
        )
    if output_stride is not None:
        args["output_stride"] = output_stride
    try:
        return timm.create_model(name, num_classes=classes, **args)
    except Exception as error:  # timm does not check keywords, so a wrong one may raise anything
        if output_stride is not None and (not str(error) or "output_stride" in str(error)):  # VGG's has no text
            raise SalignError(
                f"{name} cannot change its output stride (asked: {output_stride}). Leave output_stride out and raise "
                "image_size for a finer map, or take a network that can (resnet, efficientnet, convnext, regnet)."
            ) from error
        raise SalignError(f"timm refuses to build {name} with {args}: {error}") from error


@contextmanager
def _probing(net: Any) -> Iterator[torch.Generator]:
    """Put the network into evaluation mode, with random weights and no bias in its classifier; restore both afterwards.

    A classifier that was initialised with zeros would prove anything.
    """
    was_training = net.training
    parameters = [parameter for part in head_parts(net) for parameter in part.parameters()]
    saved = [parameter.detach().clone() for parameter in parameters]
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
        for parameter, value in zip(parameters, saved, strict=True):
            parameter.data.copy_(value)
        net.train(was_training)


def _raw_shape(backbone: Backbone, images: Tensor, args: dict[str, Any] | None) -> torch.Size:
    try:
        raw = backbone.net.forward_features(images)
    except Exception as error:  # timm let a wrong keyword pass, and the network cannot run with it
        size = " x ".join(str(side) for side in images.shape[2:])
        raise SalignError(f"{_made(backbone, args)} does not accept images of {size}: {error}") from error
    if isinstance(raw, Tensor) and raw.dim() in (3, 4):
        return raw.shape
    came = tuple(raw.shape) if isinstance(raw, Tensor) else f"several in a {type(raw).__name__}"
    raise SalignError(f"{backbone.name}: expected one tensor of feature maps or tokens, got {came}. {_INSTEAD}.")


def _answer(backbone: Backbone, raw: Tensor, classes: int, args: dict[str, Any] | None) -> Tensor:
    """Return the `(2, classes)` logits that the network itself gives for the features `raw` of two images.

    Raises:
        SalignError: its head does not give these logits, for instance because a keyword took the pooling away.
    """
    description = _made(backbone, args)
    try:
        logits = backbone.net.forward_head(raw)
    except Exception as error:  # a wrong keyword, as above
        raise SalignError(f"{description}: its head does not take its features: {error}{_hint(args)}") from error
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SalignError(
            f"{description}: expected {classes} logits of each image, (2, {classes}) of two, got {came}{_hint(args)}"
        )
    return logits


def _made(backbone: Backbone, args: dict[str, Any] | None) -> str:
    return f"{backbone.name} with model.args = {args}" if args else backbone.name


def _hint(args: dict[str, Any] | None) -> str:
    if "global_pool" in (args or {}):
        return ". Leave global_pool out of model.args, or let it be avg."
    return f". Look at model.args: {', '.join(args)}." if args else f". {_INSTEAD}."


def _patches_can_be_pooled(
    name: str, classes: int, image_size: tuple[int, int], output_stride: int | None, args: dict[str, Any]
) -> bool:
    if "global_pool" in args:
        return False
    try:
        Backbone(name, classes, image_size=image_size, output_stride=output_stride, args=args | {"global_pool": "avg"})
    except SalignError:
        return False
    return True
