"""The classifier a user trains, saves, loads and exports: normalisation, backbone, class names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from salign.files import replace_text, replacing
from salign.models.backbone import Backbone
from salign.models.weights import differences, load_weights, read_safetensors
from salign.types import Output, SalignError

CONFIG, WEIGHTS = "model.json", "weights.safetensors"


class Classifier(nn.Module):
    """`classifier(images) -> Output`, where images are `(B, 3, H, W)` in [0, 1]: normalisation is inside.

    Args:
        backbone: a timm name.
        classes: class names; their order is the order of the logits.
        image_size: (H, W) to feed, or one number for a square.
        weights: None (random, drawn from `seed`), "imagenet", or a .safetensors file.
        output_stride: pixels per cell of the map, where the backbone offers the choice.
        args: further keywords for `timm.create_model`.
        seed: of the random weights and of the new head.
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
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(classes) < 2 or len(set(classes)) != len(classes):
            raise SalignError(f"expected at least two different classes, got {list(classes)}.")
        self.classes = tuple(classes)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size: tuple[int, int] = (height, width)
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "classes": list(self.classes),
            "image_size": list(self.image_size),
            "output_stride": output_stride,
            "args": dict(args or {}),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = Backbone(
                backbone, len(self.classes), image_size=self.image_size, output_stride=output_stride, args=args
            )
        self.origin = "random weights"
        if weights is not None:
            self.origin = load_weights(self.backbone.net, backbone, weights)
        statistics = self.backbone.net.pretrained_cfg
        self.register_buffer("mean", torch.tensor(statistics["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(statistics["std"]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Output:
        """`(B, 3, H, W)` float in [0, 1] -> Output; one pass gives logits and every class's map."""
        return self.backbone((images - self.mean) / self.std)

    def save(self, folder: Path | str) -> Path:
        """Write `model.json` and `weights.safetensors` into `folder`, each whole or not at all."""
        folder = Path(folder)
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        with replacing(folder / WEIGHTS) as partial:
            partial.write_bytes(save(state))
        replace_text(folder / CONFIG, json.dumps(self.config, indent=2))
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Classifier:
        """The classifier saved in `folder`, in evaluation mode, on the CPU.

        Its weights are channels_last, which is never much slower and several times as fast for dilated networks.
        """
        folder, config = Path(folder), cls.describe(folder)
        try:
            model = cls(**{**config, "image_size": tuple(config["image_size"])})
        except (TypeError, ValueError) as error:
            raise SalignError(f"{folder / CONFIG} is damaged: {error}") from error
        state = read_safetensors(folder / WEIGHTS)
        if faults := differences(state, model.state_dict()):
            raise SalignError(f"{folder / WEIGHTS} does not fit {folder / CONFIG}: {faults}.")
        model.load_state_dict(state)
        return model.to(memory_format=torch.channels_last).eval()

    @staticmethod
    def describe(folder: Path | str) -> dict[str, Any]:
        """What `model.json` in `folder` says: backbone, classes, image_size, output_stride, args."""
        path = Path(folder) / CONFIG
        if not path.is_file():
            raise SalignError(f"{folder}: no {CONFIG} there; expected a run folder written by `salign train`.")
        try:
            config = json.loads(path.read_text())
            missing = {"backbone", "classes", "image_size"} - set(config)
        except (ValueError, TypeError) as error:
            raise SalignError(f"{path} is damaged: {error}") from error
        if missing:
            raise SalignError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}.")
        return config
