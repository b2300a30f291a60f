"""What every loss is: a plain function on tensors, and a thin module that says what it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from salign.checks import tensors, values
from salign.collectives import over_processes
from salign.errors import SalignError
from salign.maps import min_max, resize, varies
from salign.types import Batch, Output

Teacher = Callable[[Tensor], Tensor]
"""`(B, 3, H, W)` images in [0, 1] -> `(B, K)` logits of a network that was trained before."""


class LossTerms(NamedTuple):
    """A loss and what it is made of."""

    total: Tensor
    """Scalar to back-propagate."""
    parts: dict[str, Tensor]
    """Named scalars, unweighted and detached, for the log."""


class Loss(nn.Module, ABC):
    """Base of the modules in `LOSSES`: `loss(output, batch) -> LossTerms`."""

    needs: frozenset[str] = frozenset()
    """What it asks for besides the logits: `cam` and `grad_cam` (of the output, free), `input_gradient` (`prepare` must
    see the batch before the forward pass), `second_view` (another forward pass, by `output.again`), `draw` (a random
    number for each image, `batch.draw`), `teacher`, `groups` (the group of every image), `linear_head` (on the spatial
    mean; networks with another are refused). Options may add to it."""
    guided: bool = True
    """Whether human maps are looked at; a loss that is not guided treats all images alike, annotated or not. Options
    may take it away, such as a weight of 0."""
    of_all_images: ClassVar[frozenset[str]] = frozenset({"ce"})
    """The parts that images without a human map have, too; those of a guided loss that are not named here are zero."""

    takes_dose: bool = False
    """Whether a dose can choose its weight: it is cross-entropy plus terms that act through the last feature maps.
    Options may take it away."""
    teacher: Teacher | None = None
    """What a loss learns from that needs a `teacher`; given before training. No part of the loss's own weights."""
    class_weights: Tensor | None
    """`(K,)` for the cross-entropy, or None."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__()
        tensors(class_weights=(class_weights, "float (K,) or None"))
        if class_weights is not None:
            values("class_weights", class_weights, "[0, inf)")
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.epoch = 0
        """Epochs finished; the training loop sets it, schedules read it."""

    def prepare(self, batch: Batch) -> Batch:
        """Make the batch ready for the forward pass; every loop calls it first. Costs nothing where nothing is needed.

        With `input_gradient`, the images are made a leaf that records its gradient.
        """
        if "input_gradient" not in self.needs:
            return batch
        return batch._replace(images=batch.images.detach().requires_grad_())

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """The loss of one batch."""


def input_gradient(scores: Tensor, batch: Batch, what: str) -> Tensor:
    """`d sum(scores) / d images`, `(B, 3, H, W)`, itself differentiable; `batch` as `Loss.prepare` made it.

    Fused attention kernels have no second derivative: `Classifier` avoids them here, a network of your own must, too.

    Raises:
        SalignError: the images recorded no gradient; `what` names the loss.
    """
    if not (batch.images.requires_grad and scores.requires_grad and torch.is_grad_enabled()):
        raise SalignError(
            f"{what} needs the gradient by the image: call `batch = loss.prepare(batch)` before the forward pass, and "
            "not under no_grad or inference_mode."
        )
    with torch.autocast(batch.images.device.type, enabled=False):  # each step back in the format of the step forward
        (gradient,) = torch.autograd.grad(scores.sum(), batch.images, create_graph=True)
    return at_least_float32(gradient)


@contextmanager
def going_back() -> Iterator[None]:
    """Around `total.backward()`: only there does PyTorch find out that something has no second derivative.

    Raises:
        SalignError: it has none, and what to do.
    """
    try:
        yield
    except RuntimeError as error:
        if "derivative for" not in str(error):
            raise
        raise SalignError(
            f"this network cannot be trained with a loss on the gradient by the image: {error}. Take another backbone "
            "(hard sigmoids, as in MobileNetV3, have no second derivative) or a loss that needs no input_gradient."
        ) from error


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; double precision stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def human_maps(saliency: Tensor, annotated: Tensor | None, **compared: tuple[Tensor, str]) -> tuple[Tensor, Tensor]:
    """Bring human maps to the size of what they are compared with, and min-max scale them.

    Args:
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale; what lies there for an image without a map is
            not looked at.
        annotated: `(B,)` bool; None = all.
        compared: what the maps are compared with, by the name of its argument, and the kind and shape that it must have
            (see `salign.checks.tensors`), `(B, ..., h, w)`; the first gives the size.

    Returns:
        `(B, h, w)` float32 in [0, 1], and `(B,)` bool: which images count. One whose map is missing, blank or all-equal
        has no shape to follow; its map is zeros.

    Raises:
        SalignError: a tensor of another kind or shape, or a map that is negative or not finite.
    """
    expected = {"saliency": (saliency, "real (B, 1, *, *) or (B, *, *)"), "annotated": (annotated, "bool (B,) or None")}
    tensors(**compared, **expected)
    maps = (saliency[:, 0] if saliency.dim() == 4 else saliency).float()
    _not_negative(maps, annotated)
    size = next(iter(compared.values()))[0].shape[-2:]
    small = resize(maps, (size[0], size[1]))
    counts = varies(maps) & varies(small)  # both: averages over a constant map differ by rounding
    if annotated is not None:
        counts = counts & annotated
    return torch.where(counts[:, None, None], min_max(small), 0.0), counts


def _not_negative(maps: Tensor, annotated: Tensor | None) -> None:
    if maps.device.type == "cpu" and maps.numel():
        ends = torch.stack(maps.flatten(1).aminmax(dim=1))
        values("saliency", ends if annotated is None else ends[:, annotated.cpu()], "[0, inf)")


def averaged(per_image: Tensor, counts: Tensor) -> Tensor:
    """Mean of `per_image` `(B,)` over the images that count `(B,)`; a zero that back-propagates where none does.

    With several processes the images of all of them are counted, so that the gradients which they average are those of
    the whole batch, however its annotated images are spread.
    """
    number, factor = over_processes(counts.sum().float())
    return torch.where(counts, per_image, 0.0).sum() * factor / number.clamp(min=1)
