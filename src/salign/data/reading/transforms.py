"""Transforms that move an image and its saliency map together.

A map passes through torchvision's v2 transforms as a `MapTensor`, which is a mask with soft values. A tensor class that
is not derived from torchvision's own would be left untouched: the image would turn, and the map would not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from salign.errors import SalignError, one_of
from salign.maps.tensor_ops import resize


class MapTensor(tv_tensors.Mask):
    """A floating-point saliency map `(..., H, W)`, which torchvision's v2 transforms move with its image.

    Every geometric operation treats it as a mask. Of the operations that move pixels by fractions, those that
    `AUGMENTATIONS` uses interpolate the map bilinearly. The map is 0 where an operation uncovers places outside of the
    image, and operations on colour leave it as it is.
    """

    def __new__(cls, data: Tensor) -> MapTensor:
        """Wrap a plain tensor without a copy."""
        return data.as_subclass(cls)


@v2.functional.register_kernel(F.affine, MapTensor)
def _affine(
    maps: Tensor, angle: float, translate: Any, scale: float, shear: Any, *_: Any, center: Any = None, **__: Any
) -> MapTensor:
    """Move a map with bilinear interpolation, as its image; masks, which hold classes, move to the nearest pixel."""
    plain = maps.as_subclass(Tensor)
    return MapTensor(F.affine_image(plain, angle, translate, scale, shear, InterpolationMode.BILINEAR, center=center))


AUGMENTATIONS: dict[str, Callable[[], list[v2.Transform]]] = {
    "none": lambda: [],
    "flip": lambda: [v2.RandomHorizontalFlip(0.5)],
    "standard": lambda: [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
    ],
}
"""Name -> the random operations that are applied after resizing, to float32 images in [0, 1]."""


@dataclass(frozen=True)
class JointTransform:
    """Stretches an image (antialiased) and its map to a size, makes them float32 in [0, 1], then augments both.

    Build it with `build_transform`.
    """

    size: tuple[int, int]
    """(H, W) of the result."""
    augment: str = "none"
    """A name of `AUGMENTATIONS`."""
    _steps: v2.Compose | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = AUGMENTATIONS[self.augment]()
        object.__setattr__(self, "_steps", v2.Compose(steps) if steps else None)

    @property
    def enough(self) -> tuple[int, int]:
        """(H, W) beyond which a larger source adds nothing visible: twice the size of the result."""
        return 2 * self.size[0], 2 * self.size[1]

    def resize(self, image: Tensor) -> Tensor:
        """Stretch `(3, H, W)` to `(3, *size)` of the same type; an image that has this size is not changed."""
        return F.resize_image(image, list(self.size), antialias=True)

    def __call__(self, image: Tensor, saliency: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Transform one image and its map with the same random draws, from torch's global generator.

        Args:
            image: `(3, H, W)` uint8, or float32 in [0, 1].
            saliency: `(1, h, w)` float32 in [0, 1]; None = nobody looked.

        Returns:
            `(3, *size)` float32 in [0, 1], and `(1, *size)` float32 in [0, 1] or None.
        """
        picture = tv_tensors.Image(F.to_dtype_image(self.resize(image), torch.float32, scale=True))
        moved = None if saliency is None else MapTensor(resize(saliency, self.size))
        if self._steps is not None:
            picture, moved = self._steps(picture, moved)
        plain = picture.as_subclass(Tensor).clamp(0, 1)  # interpolation can overshoot by a rounding error
        marked = None if moved is None else moved.as_subclass(Tensor).clamp(0, 1)
        return plain, marked


def build_transform(image_size: int | tuple[int, int], augment: str = "none") -> JointTransform:
    """Make the transform of a dataset, which stretches to `image_size` as in the published code, and then augments.

    Args:
        image_size: (H, W), or one number for both, in pixels.
        augment: a name of `AUGMENTATIONS`; `none` for validation, test and the published setting.

    Raises:
        SalignError: the augmentation is unknown, or the size is below 2 pixels.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
    if min(size) < 2:
        raise SalignError(f"image_size is at least 2 pixels; got {image_size}")
    one_of(augment, AUGMENTATIONS, "augment")
    return JointTransform(size, augment)
