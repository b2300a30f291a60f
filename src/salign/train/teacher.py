"""A finished run as the teacher of another: a function from images to logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salign.errors import SalignError
from salign.losses.base import Teacher
from salign.models import load


def load_teacher(run: Path | str, classes: Sequence[str], *, multi_label: bool = False) -> Teacher:
    """The model of a finished run in evaluation mode, without gradients, on the device of the images it is given.

    Images of another size than the teacher was trained on are resized for it.

    Args:
        run: the run folder, or any folder with a saved classifier.
        classes: those of the student, in the order of its logits.
        multi_label: whether the student's images may have several labels.

    Returns:
        `(B, 3, H, W)` images in [0, 1] -> `(B, K)` float32 logits.

    Raises:
        SalignError: no classifier there, the run has not finished, or its classes are others, or in another order.
    """
    folder = Path(run)
    if (folder / "recipe.yaml").exists() and not (folder / "done").exists():
        raise SalignError(f"loss.teacher: {folder} has not finished; repeat the `salign train` that began it.")
    model = load(folder).requires_grad_(False)
    if (model.classes, model.multi_label) != (tuple(classes), multi_label):
        raise SalignError(
            f"loss.teacher: {folder} answers {', '.join(model.classes)}{_several(model.multi_label)}; expected "
            f"{', '.join(classes)}{_several(multi_label)}, in this order. Set data.classes, here or there."
        )

    def teach(images: Tensor) -> Tensor:
        model.to(images.device)
        if tuple(images.shape[2:]) != model.image_size:
            images = F.resize_image(images, list(model.image_size), antialias=True).clamp(0, 1)
        with torch.no_grad():
            return model(images.float()).logits.float()

    return teach


def _several(multi_label: bool) -> str:
    return " (several labels per image)" if multi_label else ""
