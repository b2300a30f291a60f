"""The classifier a user trains, saves, loads and exports: normalisation, backbone, class names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from salign.checks import choice, images as check_images
from salign.class_names import SEPARATOR
from salign.errors import SalignError
from salign.models.backbone import Backbone
from salign.models.config import CLASSIFIER, WEIGHTS, Cam, describe_classifier, save_config
from salign.models.heads import Head, draw_small_head
from salign.models.running import keep_running_statistics
from salign.models.saved import fill, save_state
from salign.models.threshold import Threshold
from salign.models.weights import load_weights
from salign.types import Output


class Classifier(nn.Module):
    """`classifier(images) -> Output`, where images are `(B, 3, H, W)` in [0, 1]: normalisation is inside.

    Args:
        backbone: a timm name.
        classes: class names; their order is the order of the logits.
        image_size: (H, W) to feed, or one number for a square.
        weights: None (random, drawn from `seed`), "imagenet", or a .safetensors file.
        output_stride: pixels per cell of the map, where the backbone offers the choice.
        args: further keywords for `timm.create_model`.
        cam: "none" takes a network without a map of evidence, too, e.g. a ViT that reads a class token.
        multi_label: each class is a yes or no of its own: an image may have several, or none.
        head: what the new head starts from: "small" (see `salign.models.heads.draw_small_head`), or what "timm" draws.
        seed: decides the random weights and of the new head.
    """

    mean: Tensor
    std: Tensor
    threshold: Threshold | None
    """From which probability of the positive of two classes on an image is called by it, where that was chosen on
    validation images; `save` keeps it."""

    def __init__(
        self,
        backbone: str,
        classes: Sequence[str],
        *,
        image_size: int | tuple[int, int] = 224,
        weights: str | None = None,
        output_stride: int | None = None,
        args: dict[str, Any] | None = None,
        cam: Cam = "proved",
        multi_label: bool = False,
        head: Head = "small",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(classes, str) or len(classes) < 2 or len(set(classes)) != len(classes):
            raise SalignError(f"expected at least two different classes, got {classes!r}.")
        choice("head", head, Head)
        self.classes = tuple(classes)
        self.multi_label = multi_label
        self.threshold = None
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size: tuple[int, int] = (height, width)
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "classes": list(self.classes),
            "image_size": list(self.image_size),
            "output_stride": output_stride,
            "args": dict(args or {}),
            "cam": cam,
            "multi_label": multi_label,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = Backbone(
                backbone, len(self.classes), image_size=self.image_size, output_stride=output_stride, args=args, cam=cam
            )
            if head == "small":
                draw_small_head(self.backbone.net, len(self.classes))
        self.origin = "random weights"
        if weights is not None:
            self.origin = load_weights(self.backbone.net, backbone, weights)
        statistics = self.backbone.net.pretrained_cfg
        self.register_buffer("mean", torch.tensor(statistics["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(statistics["std"]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Output:
        """`(B, 3, H, W)` float in [0, 1] -> Output; one pass gives logits and every class's map.

        Where the images record their gradient, the answer may be differentiated twice, as losses on that gradient do.

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        check_images(images, self)
        # The fused attention kernels have no second derivative.
        kernels = sdpa_kernel(SDPBackend.MATH) if images.requires_grad else nullcontext()
        with kernels:
            return replace(self.backbone((images - self.mean) / self.std), again=self.again)

    def again(self, images: Tensor) -> Output:
        """As `forward`, for changed copies of images: running statistics of batch norm do not learn from them."""
        with keep_running_statistics(self):
            return self(images)

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(B, K)` logits -> `(B, K)`: softmax; of classes that are each a yes or no, sigmoid."""
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def answers(self, logits: Tensor) -> list[str]:
        """Each image's class with the highest logit; where it may have several, those above 0 joined by `;`."""
        if self.multi_label:
            return [SEPARATOR.join(sorted(compress(self.classes, above))) for above in (logits > 0).tolist()]
        return [self.classes[k] for k in logits.argmax(1).tolist()]

    def save(self, folder: Path | str) -> Path:
        """Write `model.json` and `weights.safetensors` into `folder`, each whole or not at all.

        Raises:
            SalignError: the threshold is not one of these classes.
        """
        folder, config = Path(folder), _with_threshold(self.config, self.threshold)
        save_state(folder / WEIGHTS, self.state_dict())
        save_config(folder / CLASSIFIER, config)
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Classifier:
        """The classifier saved in `folder`, in evaluation mode, on the CPU.

        Its weights are channels_last, which is never much slower and several times as fast for dilated networks.
        """
        folder, config = Path(folder), cls.describe(folder)
        threshold = config.pop("threshold", None)
        try:
            model = cls(**config)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SalignError(f"{folder / CLASSIFIER} is damaged: {error}") from error
        model.threshold = threshold and Threshold(**threshold)
        fill(model, folder, CLASSIFIER)
        return model.to(memory_format=torch.channels_last).eval()

    @staticmethod
    def describe(folder: Path | str) -> dict[str, Any]:
        """What `model.json` in `folder` says, checked.

        Returns:
            backbone, classes, image_size, output_stride, args, cam, multi_label; threshold, where one was kept: its
            fields, as those of `salign.models.Threshold`.
        """
        return describe_classifier(folder)

    @classmethod
    def keep_threshold(cls, folder: Path | str, threshold: Threshold) -> None:
        """Write the threshold chosen for a saved classifier into its `model.json`; its weights are left alone.

        Raises:
            SalignError: no classifier there, a damaged one, or one without the class of the threshold.
        """
        path, config = Path(folder) / CLASSIFIER, cls.describe(folder)
        save_config(path, _with_threshold(config, threshold))


def _with_threshold(config: dict[str, Any], threshold: Threshold | None) -> dict[str, Any]:
    """What `model.json` says, without a threshold where there is none, as before there were any."""
    if threshold is None:
        return config
    threshold.fits(config["classes"], multi_label=config.get("multi_label", False))
    return config | {"threshold": threshold.model_dump()}


load = Classifier.load
