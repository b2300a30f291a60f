"""The classifier that a user trains, saves, loads and exports, with its normalisation, backbone and class names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from salign.checks import choice, images as check_images, instance, number, sides
from salign.errors import SalignError
from salign.limits import LARGEST_SEED
from salign.models.backbone import Backbone
from salign.models.config import CLASSIFIER, Cam, describe_model
from salign.models.heads import Head, draw_small_head
from salign.models.model import Model
from salign.models.running import keep_running_statistics
from salign.models.saved import build_described, restored, save_model
from salign.models.weights import load_weights
from salign.types import Output


class Classifier(Model):
    """A classifier, `classifier(images) -> Output`, for images `(B, 3, H, W)` in [0, 1], which it normalises itself.

    Args:
        backbone: a timm name.
        classes: class names; their order is the order of the logits.
        image_size: (H, W) of the images, or one number for a square.
        weights: None (random, drawn from `seed`), "imagenet", a .safetensors file or a run folder.
        output_stride: pixels per cell of the map, where the backbone offers the choice.
        args: further keywords for `timm.create_model`.
        cam: "none" also takes a network without a map of evidence, such as a ViT that reads a class token.
        multi_label: whether each class is a yes or no of its own, so that an image may have several classes, or none.
        head: what the new head starts from: "small" weights (see `salign.models.heads.draw_small_head`), or the weights
            that "timm" draws.
        seed: decides all random weights, those of the new head included.
    """

    mean: Tensor
    std: Tensor

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
        instance("backbone", backbone, str, "a timm name")
        instance("classes", classes, Sequence, "names of classes")
        if isinstance(classes, str) or len(classes) < 2 or len(set(classes)) != len(classes):
            raise SalignError(f"expected at least two different classes, got {classes!r}.")
        for name in classes:
            instance("classes", name, str, "names, which are text")
        instance("weights", weights, (str, Path, NoneType), "imagenet, the path of a file, or None")
        instance("args", args, (dict, NoneType), "a dict of keywords")
        number("seed", seed, f"[0, {LARGEST_SEED}]", whole=True)
        choice("head", head, Head)
        self.classes = tuple(classes)
        self.multi_label = multi_label
        self.image_size: tuple[int, int] = sides("image_size", image_size)
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
        """Run the network once on images `(B, 3, H, W)`, float in [0, 1], for the logits and every class's map.

        Where the images record their gradient, the answer may be differentiated twice, which losses on that gradient
        need.

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        check_images(images, self)
        # The fused attention kernels have no second derivative.
        kernels = sdpa_kernel(SDPBackend.MATH) if images.requires_grad else nullcontext()
        with kernels:
            return replace(self.backbone((images - self.mean) / self.std), again=self.again)

    def again(self, images: Tensor) -> Output:
        """Run `forward` on changed copies of images; the running statistics of batch norm do not learn from them."""
        with keep_running_statistics(self):
            return self(images)

    def save(self, folder: Path | str) -> Path:
        """Write `model.json` and `weights.safetensors` into `folder`, each whole or not at all.

        Raises:
            SalignError: the threshold does not fit the classes.
        """
        return save_model(self, folder, CLASSIFIER)

    @classmethod
    def load(cls, folder: Path | str) -> Classifier:
        """Load the classifier that was saved in `folder`, in evaluation mode, on the CPU.

        Raises:
            SalignError: there is no classifier, or it is damaged.
        """
        folder, config = Path(folder), describe_model(folder, CLASSIFIER)
        threshold = config.pop("threshold", None)
        return restored(cls.build(config, folder / CLASSIFIER), folder, CLASSIFIER, threshold)

    @classmethod
    def build(cls, config: dict[str, Any], path: Path) -> Classifier:
        """Build the network of a description, with random weights.

        Args:
            config: the arguments of a Classifier.
            path: the file with the description, for the message of an error.

        Raises:
            SalignError: no network can be built from the description.
        """
        return build_described(cls, config, path)
