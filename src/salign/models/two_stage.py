"""Segment, then classify: a net that draws maps decides what part of an image a classifier sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import choice, number, tensors
from salign.errors import SalignError
from salign.maps.region import region
from salign.models.backbone import Backbone
from salign.models.classifier import Classifier
from salign.models.config import TWO_STAGE, describe_model
from salign.models.model import Model
from salign.models.saliency_net import SaliencyNet
from salign.models.saved import build_described, restored, save_model
from salign.types import Batch, Output

Keep = Literal["crop", "mask"]
MARGIN = 0.1
"""A crop is wider than its region by this share of the region on each side."""


def windows(regions: Tensor, margin: float = MARGIN) -> Tensor:
    """Return the smallest window with the image's aspect ratio around each region: a crop of it is not distorted.

    Args:
        regions: `(B, 1, H, W)` zeros and ones.
        margin: on each side the window is wider than the region by this share of the region, 0 or more.

    Returns:
        `(B, 3)`: the middle of the window (down, right), where an image reaches from -1 to 1, and the share of each
        side that the window takes, in (0, 1]. The window lies within the image. The window of an empty region is the
        whole image.
    """
    tensors(regions=(regions, "float (B, 1, H, W)"))
    number("margin", margin, "[0, inf)")
    middles, shares = [], []
    for axis in (3, 2):  # the marked rows, then the marked columns
        marked = regions.amax(axis)[:, 0] > 0
        side = int(marked.shape[1])
        edges = torch.arange(side, device=regions.device, dtype=torch.float32)
        low = torch.where(marked, edges, side).amin(1)
        high = torch.where(marked, edges + 1, 0).amax(1)
        middles.append((low + high) / side - 1)
        shares.append((high - low) / side)
    share = torch.stack(shares, 1).amax(1) * (1 + 2 * margin)
    share = torch.where(share > 0, share, 1).clamp(max=1)
    room = (1 - share)[:, None]
    return torch.cat([torch.stack(middles, 1).clamp(-room, room), share[:, None]], 1)


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Enlarge each window to the size of its image, bilinearly.

    Args:
        images: `(B, C, H, W)`.
        boxes: `(B, 3)`, see `windows`.
    """
    tensors(images=(images, "float (B, C, H, W)"), boxes=(boxes, "float (B, 3)"))
    return _sampled(images, boxes[:, 2], boxes[:, :2], _size(images))


def uncrop(maps: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Put maps of windows where the windows lie in their images; the rest of each image is zero.

    Args:
        maps: `(B, n, h, w)`.
        boxes: `(B, 3)`, see `windows`.
        size: (H, W) of the images.

    Returns:
        `(B, n, H, W)`.
    """
    tensors(maps=(maps, "float (B, n, h, w)"), boxes=(boxes, "float (B, 3)"))
    share, middle = boxes[:, 2], boxes[:, :2]
    within = []
    for axis, side in enumerate(size):
        pixels = (2 * torch.arange(side, device=maps.device) + 1) / side - 1
        within.append(((pixels - middle[:, axis, None]).abs() <= share[:, None]).float())
    return (
        within[0][:, None, :, None]
        * within[1][:, None, None]
        * _sampled(maps, 1 / share, -middle / share[:, None], size)
    )


def _size(images: Tensor) -> tuple[int, int]:
    """Return (H, W) as plain numbers, even in a trace."""
    return int(images.shape[2]), int(images.shape[3])


def _sampled(pictures: Tensor, scale: Tensor, middle: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the values at `scale * place + middle` for each place of a picture of `size`; edges are repeated."""
    axes = [
        scale[:, None] * ((2 * torch.arange(side, device=pictures.device) + 1) / side - 1) + middle[:, axis, None]
        for axis, side in enumerate(size)
    ]
    down, right = axes[0][:, :, None].expand(-1, -1, size[1]), axes[1][:, None].expand(-1, size[0], -1)
    grid = torch.stack([right, down], 3)
    return functional.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)


@dataclass(frozen=True)
class CropOutput(Output):
    """The output for crops of images; its maps lie where the crops do, at the size of the images."""

    boxes: Tensor | None = None
    """`(B, 3)`, see `windows`."""
    size: tuple[int, int] = (1, 1)
    """(H, W) of the images."""

    def cam(self, classes: Tensor) -> Tensor:
        """Return the maps of `Output.cam` as they lie in the images, `(B, H, W)` or `(B, n, H, W)`.

        They are zero outside of the crop, so that their mean is not the logit.
        """
        return self.to_image(super().cam(classes))

    def grad_cam(self, classes: Tensor) -> Tensor:
        """Return the maps of `Output.grad_cam` as they lie in the images, `(B, H, W)`."""
        return self.to_image(super().grad_cam(classes))

    def to_image(self, maps: Tensor) -> Tensor:
        """Return maps of crops, `(B, h, w)` or `(B, n, h, w)`, as they lie in the images."""
        boxes = cast(Tensor, self.boxes)
        if maps.dim() == 4:
            return uncrop(maps, boxes, self.size)
        return uncrop(maps[:, None], boxes, self.size)[:, 0]


class TwoStage(Model):
    """A net draws a map of each image, and a classifier sees the region that it marks: `model(images) -> Output`.

    A map marks the places where it reaches half of its maximum, a little widened (`salign.maps.region.region`). An
    answer needs no human map, and the net's errors count in it. The net does not learn.

    Args:
        net: the net that draws maps; images of another size are resized for it.
        classifier: the classifier that answers.
        keep: "crop" enlarges the window around the region to the size of the image; "mask" gives everything but the
            region the mean colour that the classifier subtracts.

    Raises:
        SalignError: the net reconstructs images instead of drawing maps.
    """

    def __init__(self, net: SaliencyNet, classifier: Classifier, keep: Keep) -> None:
        super().__init__()
        choice("keep", keep, Keep)
        if net.config["channels"] != 1:
            raise SalignError("the net of a two-stage model draws maps; this gives back images (loss.target: image).")
        self.net, self.classifier, self.keep = net.requires_grad_(False).eval(), classifier, keep
        self.config: dict[str, Any] = {**classifier.config, "keep": keep, "net": net.config}
        self.classes, self.image_size, self.multi_label = (
            classifier.classes,
            classifier.image_size,
            classifier.multi_label,
        )

    @property
    def backbone(self) -> Backbone:
        """The backbone of the classifier."""
        return self.classifier.backbone

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model as for every module, but keep the net in evaluation mode."""
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, images: Tensor) -> Output:
        """Answer images `(B, 3, H, W)`, float in [0, 1].

        The features of the Output are those of the crop or of the masked image.

        Raises:
            SalignError: images of another kind or shape, or not in [0, 1]; see `salign.checks.images`.
        """
        return replace(self._answer(images, self.classifier), again=self.again)

    def again(self, images: Tensor) -> Output:
        """Run `forward` on changed copies of images; the running statistics of batch norm do not learn from them."""
        return self._answer(images, self.classifier.again)

    def _answer(self, images: Tensor, classify: Callable[[Tensor], Output]) -> Output:
        boxes, seen = self._seen(images, self.draw(images))
        output = classify(seen)
        if self.keep == "mask":
            return output
        return CropOutput(**vars(output), boxes=boxes, size=_size(images))

    def draw(self, images: Tensor) -> Tensor:
        """Return the net's maps `(B, 1, H, W)` in [0, 1] for images `(B, 3, H, W)` in [0, 1]."""
        size = _size(images)
        if size == self.net.image_size:
            return self.net.predict(images)[:, None]
        resized = functional.interpolate(images, size=self.net.image_size, mode="bilinear", antialias=True)
        maps = self.net.predict(resized)[:, None]
        return functional.interpolate(maps, size=size, mode="bilinear", antialias=True)

    def focus(self, batch: Batch) -> Batch:
        """Return the batch that the classifier learns from, with its images cropped or masked.

        The regions come from people's maps, and from the net's maps where nobody looked. With "crop", the human maps
        are cropped, too. A blank map marks no region: its image stays whole.
        """
        maps = batch.saliency
        if not bool(batch.annotated.all()):
            maps = torch.where(batch.annotated.view(-1, 1, 1, 1), maps, self.draw(batch.images))
        boxes, seen = self._seen(batch.images, maps)
        saliency = batch.saliency if self.keep == "mask" else crop(batch.saliency, boxes)
        return batch._replace(images=seen, saliency=saliency)

    def _seen(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the windows, and the images as the classifier sees them."""
        regions = region(maps)
        boxes = windows(regions)
        if self.keep == "crop":
            return boxes, crop(images, boxes)
        regions = torch.where(regions.flatten(1).amax(1).view(-1, 1, 1, 1) > 0, regions, 1.0)
        return boxes, regions * images + (1 - regions) * self.classifier.mean

    def save(self, folder: Path | str) -> Path:
        """Write `two_stage.json` and `weights.safetensors`, which has the weights of both, into `folder`."""
        return save_model(self, folder, TWO_STAGE)

    @classmethod
    def load(cls, folder: Path | str) -> TwoStage:
        """Load the model that was saved in `folder`, in evaluation mode, on the CPU.

        Raises:
            SalignError: there is no such model, or it is damaged.
        """
        folder, config = Path(folder), describe_model(folder, TWO_STAGE)
        threshold, keep, net = config.pop("threshold", None), config.pop("keep"), config.pop("net")
        net |= {"image_size": tuple(net["image_size"])}
        path = folder / TWO_STAGE
        model = cls(build_described(SaliencyNet, net, path), Classifier.build(config, path), keep)
        return restored(model, folder, TWO_STAGE, threshold)
