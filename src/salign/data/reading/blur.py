"""Human-Aided Saliency Maps: training images are blurred outside of what people marked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from salign.maps import varies
from salign.maps.blend import blend, blurred


def blur_outside(image: Tensor, saliency: Tensor, sigma: float) -> Tensor:
    """Blur an image where its map is low: `w * image + (1 - w) * blurred`, `w` being the min-max scaled map.

    The baseline of Boyd, Bowyer and Czajka, *Human-Aided Saliency Maps Improve Generalization of Deep Learning* (WACV
    2022, arXiv 2105.03492), which encodes what people marked in the data and trains with cross-entropy.

    Args:
        image: `(3, H, W)` float32 in [0, 1].
        saliency: `(1, H, W)` float32, any scale. A blank or all-equal map marks no region: the image stays as it is.
        sigma: standard deviation of the Gaussian, in pixels, above 0.

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    return blend(image, blurred(image, sigma), saliency) if varies(saliency) else image


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
