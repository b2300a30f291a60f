"""Transforms that move an image and its saliency map together.

A map travels as a `MapTensor` through torchvision's v2 transforms. Every geometric operation has a kernel of its own
here, because torchvision hands a tensor class it does not know through untouched: the image would turn, the map stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from salign.data.reading.blur import randomly_blurred
from salign.errors import SalignError
from salign.maps.tensor_ops import resize


class MapTensor(tv_tensors.TVTensor):
    """A saliency map `(..., H, W)` floating point, known to torchvision's v2 transforms.

    It resizes softly (area to shrink, bilinear to grow), moves bilinearly, and is 0 where an operation uncovers nothing
    that anybody looked at. Operations on colour leave it as it is.
    """

    def __new__(cls, data: Tensor) -> MapTensor:
        """Take a plain tensor, without a copy."""
        return data.as_subclass(cls)


def _kernel(functional: Callable[..., Any]) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function on plain tensors as what `functional` does to a `MapTensor`."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def kernel(inpt: MapTensor, *args: Any, **kwargs: Any) -> MapTensor:
            return MapTensor(function(inpt.as_subclass(Tensor), *args, **kwargs))

        v2.functional.register_kernel(functional, MapTensor)(kernel)
        return function

    return register


for _functional, _plain in (
    (F.horizontal_flip, F.horizontal_flip_image),
    (F.vertical_flip, F.vertical_flip_image),
    (F.crop, F.crop_image),
    (F.center_crop, F.center_crop_image),
):
    _kernel(_functional)(_plain)


@_kernel(F.resize)
def _resize(maps: Tensor, size: int | Sequence[int] | None, *_: Any, max_size: int | None = None, **__: Any) -> Tensor:
    if not isinstance(size, Sequence) or len(size) != 2:  # one number: the shorter edge; ask torchvision
        like = maps.new_empty((1, *maps.shape[-2:]), device="meta")
        return resize(maps, tuple(F.resize_image(like, size, max_size=max_size).shape[-2:]))
    return resize(maps, (size[0], size[1]))


@_kernel(F.resized_crop)
def _resized_crop(
    maps: Tensor, top: int, left: int, height: int, width: int, size: Sequence[int], *_: Any, **__: Any
) -> Tensor:
    return _resize(F.crop_image(maps, top, left, height, width), size)


@_kernel(F.pad)
def _pad(maps: Tensor, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Tensor:
    return F.pad_image(maps, padding, fill=0, padding_mode=padding_mode)


@_kernel(F.affine)
def _affine(
    maps: Tensor, angle: float, translate: Any, scale: float, shear: Any, *_: Any, center: Any = None, **__: Any
) -> Tensor:
    return F.affine_image(maps, angle, translate, scale, shear, InterpolationMode.BILINEAR, center=center)


@_kernel(F.rotate)
def _rotate(
    maps: Tensor, angle: float, interpolation: Any = None, expand: bool = False, center: Any = None, fill: Any = None
) -> Tensor:
    return F.rotate_image(maps, angle, InterpolationMode.BILINEAR, expand=expand, center=center)


@_kernel(F.perspective)
def _perspective(
    maps: Tensor, startpoints: Any, endpoints: Any, *_: Any, coefficients: Any = None, **__: Any
) -> Tensor:
    return F.perspective_image(maps, startpoints, endpoints, InterpolationMode.BILINEAR, coefficients=coefficients)


@_kernel(F.elastic)
def _elastic(maps: Tensor, displacement: Tensor, *_: Any, **__: Any) -> Tensor:
    return F.elastic_image(maps, displacement, InterpolationMode.BILINEAR)


@_kernel(F.ten_crop)
@_kernel(F.five_crop)
def _refuse(maps: Tensor, *_: Any, **__: Any) -> Tensor:
    raise SalignError("five_crop and ten_crop give several maps per image, which no dataset here expects; use crop")


AUGMENTATIONS: dict[str, Callable[[], list[v2.Transform]]] = {
    "none": lambda: [],
    "flip": lambda: [v2.RandomHorizontalFlip(0.5)],
    "standard": lambda: [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
    ],
}
"""Name -> the random operations applied after resizing, on float32 images in [0, 1]."""


@dataclass(frozen=True)
class JointTransform:
    """Stretch to a size (antialiased), make it float32 in [0, 1], then augment. Build it with `build_transform`."""

    size: tuple[int, int]
    """(H, W) that comes out."""
    augment: str = "none"
    """A name of `AUGMENTATIONS`."""
    blur: tuple[float, ...] = ()
    """Sigmas in pixels of the size that comes out: see `data.reading.blur`. Drawn and applied last, so that all other
    draws are those of a run without."""
    _steps: v2.Compose | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = AUGMENTATIONS[self.augment]()
        object.__setattr__(self, "_steps", v2.Compose(steps) if steps else None)

    @property
    def enough(self) -> tuple[int, int]:
        """(H, W) beyond which a larger source adds nothing visible: twice the size that comes out."""
        return 2 * self.size[0], 2 * self.size[1]

    def __call__(self, image: Tensor, saliency: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Transform one image and its map by the same random draws (from torch's global generator).

        Args:
            image: `(3, H, W)` uint8, or float32 in [0, 1].
            saliency: `(1, h, w)` float32 in [0, 1]; None = nobody looked.

        Returns:
            `(3, *size)` float32 in [0, 1], and `(1, *size)` float32 in [0, 1] or None.
        """
        resized = F.resize_image(image, list(self.size), antialias=True)
        picture = tv_tensors.Image(F.to_dtype_image(resized, torch.float32, scale=True))
        moved = None if saliency is None else MapTensor(resize(saliency, self.size))
        if self._steps is not None:
            picture, moved = self._steps(picture, moved)
        plain = picture.as_subclass(Tensor).clamp(0, 1)  # interpolation can overshoot by a rounding error
        marked = None if moved is None else moved.as_subclass(Tensor).clamp(0, 1)
        return randomly_blurred(plain, marked, self.blur) if self.blur else plain, marked


def build_transform(
    image_size: int | tuple[int, int], augment: str = "none", blur: Sequence[float] = ()
) -> JointTransform:
    """Make the transform of a dataset: stretched to `image_size` as in the published code, then augmented.

    Args:
        image_size: (H, W), or one number for both, in pixels.
        augment: a name of `AUGMENTATIONS`; `none` for validation, test and the published setting.
        blur: sigmas in pixels, for training with `salign.data.reading.blur`; empty = never.

    Raises:
        SalignError: unknown augmentation, a size below 2 pixels, or a sigma that is not above 0.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
    if min(size) < 2:
        raise SalignError(f"image_size is at least 2 pixels; got {image_size}")
    if augment not in AUGMENTATIONS:
        raise SalignError(f"unknown augmentation {augment!r}; there are {', '.join(AUGMENTATIONS)}")
    if not all(0 < sigma < math.inf for sigma in blur):
        raise SalignError(f"blur_outside: sigmas are above 0 pixels; got {', '.join(map(str, blur))}")
    return JointTransform(size, augment, tuple(blur))
