"""Networks that share a classifier's backbone but do not classify: how they are saved, and what they start from.

The encoder is the timm network itself, so that what it learns loads into a classifier without renaming a key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from salign.models.config import ENCODER, WEIGHTS, save_config
from salign.models.saved import build_described, fill, save_state
from salign.models.weights import load_weights


class EncoderNet(nn.Module, ABC):
    """Base class of `SaliencyNet` and `Embedder`; each says which file describes it, and how that file is read."""

    description: ClassVar[str]
    encoder: Any
    config: dict[str, Any]
    mean: Tensor
    std: Tensor

    @staticmethod
    @abstractmethod
    def describe(folder: Path | str) -> dict[str, Any]:
        """Read and check the description in `folder`, which holds the keywords that the network is built from."""

    def _start_from(self, backbone: str, weights: str | None) -> None:
        """Load weights into the encoder, if any are named, and take over how it normalises images."""
        self.origin = "random weights"
        if weights is not None:
            self.origin = load_weights(self.encoder, backbone, weights)
        statistics: Any = self.encoder.pretrained_cfg
        self.register_buffer("mean", torch.tensor(statistics["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(statistics["std"]).view(1, 3, 1, 1), persistent=False)

    def save(self, folder: Path | str) -> Path:
        """Write the description, `weights.safetensors`, and `encoder.safetensors`, from which classifiers can start."""
        folder = Path(folder)
        save_state(folder / WEIGHTS, self.state_dict())
        save_state(folder / ENCODER, self.encoder.state_dict())
        save_config(folder / self.description, self.config)
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load the network that was saved in `folder`, in evaluation mode, on the CPU."""
        folder = Path(folder)
        net = build_described(cls, cls.describe(folder), folder / cls.description)
        fill(net, folder, cls.description)
        return net.eval()
