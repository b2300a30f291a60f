"""Human-Aided Saliency Maps: training images are blurred outside of what people marked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salign.maps.tensor_ops import min_max, varies


def blur_outside(image: Tensor, saliency: Tensor, sigma: float) -> Tensor:
    """Blur an image where its map is low: `w * image + (1 - w) * blurred`, `w` being the min-max scaled map.

    The baseline of Boyd, Bowyer and Czajka, *Human-Aided Saliency Maps Improve Generalization of Deep Learning* (WACV
    2022, arXiv 2105.03492), which encodes what people marked in the data and trains with cross-entropy. The Gaussian
    reaches 3 sigma, or to the opposite edge of a smaller image; beyond the edges the image is mirrored.

    Args:
        image: `(3, H, W)` float32 in [0, 1].
        saliency: `(1, H, W)` float32, any scale. A blank or all-equal map marks no region: the image stays as it is.
        sigma: of the Gaussian, in pixels, above 0.

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    if not varies(saliency):
        return image
    down, right = (2 * min(math.ceil(3 * sigma), side - 1) + 1 for side in image.shape[-2:])
    # One axis at a time: torchvision's kernel is square, which takes at least 15 times as long at sigma 16.
    blurred = F.gaussian_blur_image(F.gaussian_blur_image(image, [right, 1], [sigma]), [1, down], [sigma])
    return torch.lerp(blurred, image, min_max(saliency))


def randomly_blurred(image: Tensor, saliency: Tensor | None, sigmas: Sequence[float]) -> Tensor:
    """Show an image as it is, or by `blur_outside` with one of the sigmas: each of these with equal probability.

    One number is drawn from torch's global generator whether there is a map or not.

    Args:
        image: `(3, H, W)` float32 in [0, 1].
        saliency: `(1, H, W)` float32; None = nobody looked: the image stays as it is.
        sigmas: in pixels, at least one.
    """
    drawn = int(torch.randint(len(sigmas) + 1, ()))
    return image if saliency is None or drawn == 0 else blur_outside(image, saliency, sigmas[drawn - 1])
