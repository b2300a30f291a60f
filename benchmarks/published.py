"""The training step of the published WACV 2023 code, rebuilt from its description for comparison.

The class activation map is that of the predicted class, min-max scaled per image. The loss is half cross-entropy and
half mean squared error. The features come from a second pass through the convolutions (DenseNet), or from a hook on a
late layer (all other networks).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TAPS = {
    "resnet50": lambda net: net.layer4[-1].conv3,
    "inception_v3": lambda net: net.Mixed_7c,
    "legacy_xception": lambda net: net.conv4,
}
"""The hooked layer of each network; DenseNet-121 has none."""


class PublishedStep:
    """Forward and loss, as published; `maps` `(B, h, w)` in [0, 1] have the size of the features already."""

    def __init__(self, name: str, net: Any) -> None:
        self.net = net
        self.caught: dict[str, Tensor] = {}
        self.tapped = name in TAPS
        if self.tapped:
            TAPS[name](net).register_forward_hook(lambda module, args, result: self.caught.update(features=result))

    def __call__(self, images: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        """The loss of one batch."""
        logits = self.net(images)
        features = self.caught["features"] if self.tapped else self.net.features(images)
        weight = self.net.get_classifier().weight[logits.argmax(1)]
        cam = torch.bmm(weight[:, None], features.flatten(2)).view(-1, *features.shape[2:])
        low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
        cam = (cam - low) / (high - low)
        return 0.5 * nn.functional.cross_entropy(logits, labels) + 0.5 * nn.functional.mse_loss(cam, maps)
