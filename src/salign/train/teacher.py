"""The teacher of a training: a finished run as a function from images to logits, or to features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salign.errors import SalignError
from salign.losses.base import Teacher
from salign.models import Classifier, Model, load

IMAGENET_TEACHER = "tf_efficientnet_lite0"
"""The network whose ImageNet weights come with the installation of salign."""


def load_features(run: Path | str | None) -> tuple[Teacher, int, str]:
    """Load a model as a function from images to features: the spatial mean of its last feature maps.

    Args:
        run: a finished run of a classifier; None takes `IMAGENET_TEACHER` with ImageNet weights.

    Returns:
        A function `(B, 3, H, W)` images in [0, 1] -> `(B, C)` float32 features without gradients, which does not resize
        the images; `C`; and the name of the teacher.

    Raises:
        SalignError: there is no classifier in the folder, or the run has not finished.
    """
    model: Model
    if run is None:
        # The two classes are never used, but a classifier must have some.
        model = Classifier(IMAGENET_TEACHER, ("a", "b"), weights="imagenet")
        name = f"{IMAGENET_TEACHER} with {model.origin.partition('; ')[0]}"
    else:
        model, name = _finished(Path(run)), str(run)
    model.eval().requires_grad_(False)

    def features(images: Tensor) -> Tensor:
        model.to(images.device)
        with torch.no_grad():
            return model(images.float()).features.float().mean((2, 3))

    return features, features(torch.zeros(1, 3, *model.image_size)).shape[1], name


def load_teacher(run: Path | str, classes: Sequence[str], *, multi_label: bool = False) -> Teacher:
    """Load the model of a finished run as a function from images to logits.

    The model works on the device of the images that it is given, without gradients. Images of another size than the
    teacher was trained on are resized for it.

    Args:
        run: the run folder, or any folder with a saved classifier.
        classes: the classes of the student, in the order of its logits.
        multi_label: whether the student's images may have several labels.

    Returns:
        A function `(B, 3, H, W)` images in [0, 1] -> `(B, K)` float32 logits.

    Raises:
        SalignError: there is no classifier in the folder, the run has not finished, or the teacher does not have the
            same classes in the same order, or not the same `multi_label`.
    """
    folder = Path(run)
    model = _finished(folder).requires_grad_(False)
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


def _finished(folder: Path) -> Model:
    if (folder / "recipe.yaml").exists() and not (folder / "done").exists():
        raise SalignError(f"loss.teacher: {folder} has not finished; repeat the `salign train` that began it.")
    return load(folder)


def _several(multi_label: bool) -> str:
    return " (several labels per image)" if multi_label else ""
