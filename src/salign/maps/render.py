"""Maps as pictures: a colour map, an overlay on the image, and a data URI for HTML pages without further files."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor

from salign.checks import tensors, values as in_range
from salign.errors import SalignError
from salign.maps.overlay import Map, Pixels, heat_colours, lay_over


def heat(values: Tensor) -> Tensor:
    """Colour a map: dark blue at 0, magenta in the middle, yellow at 1.

    Args:
        values: `(H, W)` floating point in [0, 1]; nothing is rescaled, so equal colours mean equal values.

    Returns:
        `(H, W, 3)` uint8 RGB.

    Raises:
        SalignError: the map is not 2-D, not finite or not within [0, 1].
    """
    return torch.from_numpy(heat_colours(_checked(values)))


def overlay(image: Tensor, values: Tensor) -> Image.Image:
    """Lay a map over its image in the colours of `heat`, with an outline around the region at or above 0.5.

    The overlay is transparent where the map is 0 and becomes more opaque towards 1.

    Args:
        image: `(3, H, W)` uint8, or floating point in [0, 1].
        values: `(h, w)` floating point in [0, 1]; resized to the image.

    Returns:
        An RGB picture of the image's size; for an all-zero map, the image itself.

    Raises:
        SalignError: as for `heat`, or the image has another shape or type or other values.
    """
    return Image.fromarray(lay_over(_pixels(image), _checked(values)))


def to_picture(image: Tensor) -> Image.Image:
    """Turn an image `(3, H, W)`, uint8 or floating point in [0, 1], into an RGB picture."""
    return Image.fromarray(_pixels(image))


def thumbnail(picture: Image.Image, side: int) -> Image.Image:
    """Shrink a picture so that its longer side is `side` pixels; a smaller picture is returned unchanged."""
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def png_data_uri(picture: Image.Image) -> str:
    """Return a picture as `data:image/png;base64,...`, for the `src` of an HTML image."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _checked(values: Tensor) -> Map:
    tensors(values=(values, "float (H, W)"))
    values = values.detach().float().cpu()
    in_range("values", values, "[0, 1]", "scale the map first (salign.maps.min_max)")
    return values.numpy()


def _pixels(image: Tensor) -> Pixels:
    """Check an image `(3, H, W)` and return it as `(H, W, 3)` uint8."""
    tensors(image=(image, "real (3, H, W)"))
    image = image.detach().cpu()
    if not image.is_floating_point() and image.dtype != torch.uint8:
        raise SalignError(f"image: expected uint8, or floating point from 0 to 1, got {image.dtype}.")
    if image.is_floating_point():
        in_range("image", image, "[0, 1]", "divide pixels by 255", slack=0.5)
        image = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).contiguous().numpy()
