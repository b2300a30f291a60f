"""The base class of all losses, and the helpers that they share.

Each loss is a plain function on tensors, and a thin module that says what the function needs.
"""

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
"""A network that was trained before, as a function: `(B, 3, H, W)` images in [0, 1] -> `(B, K)` logits."""


class LossTerms(NamedTuple):
    """The total of a loss, and its parts for the log."""

    total: Tensor
    """Scalar to back-propagate."""
    parts: dict[str, Tensor]
    """Named scalars, unweighted and detached, for the log."""


class Loss(nn.Module, ABC):
    """Base class of the modules in `LOSSES`, which are called as `loss(output, batch) -> LossTerms`."""

    needs: frozenset[str] = frozenset()
    """What the loss needs besides the logits: `cam` and `grad_cam` (methods of the output, which cost no further pass),
    `input_gradient` (`prepare` must see the batch before the forward pass), `second_view` (a further forward pass, by
    `output.again`), `draw` (a random number for each image, `batch.draw`), `teacher`, `groups` (the group of every
    image), `linear_head` (a linear head on the spatial mean; networks with another head are refused). Options of a loss
    may change it."""
    guided: bool = True
    """Whether the loss looks at human maps. A loss that is not guided treats all images alike, annotated or not.
    Options of a loss may turn this off, such as a weight of 0."""
    of_all_images: ClassVar[frozenset[str]] = frozenset({"ce"})
    """Names of the parts that images without a human map contribute to, too. All other parts of a guided loss are zero
    for these images."""

    takes_dose: bool = False
    """Whether a dose (see `salign.losses.dose`) can choose the weight. It can if the loss is cross-entropy plus terms
    that act through the last feature maps. Options of a loss may turn this off."""
    teacher: Teacher | None = None
    """The trained network that a loss with `teacher` among its `needs` learns from. It is set before training, and is
    not part of the loss's own weights."""
    class_weights: Tensor | None
    """`(K,)` weights of the classes in the cross-entropy, or None."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__()
        tensors(class_weights=(class_weights, "float (K,) or None"))
        if class_weights is not None:
            values("class_weights", class_weights, "[0, inf)")
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.epoch = 0
        """Number of finished epochs; the training loop sets it, and schedules read it."""

    def prepare(self, batch: Batch) -> Batch:
        """Make the batch ready for the forward pass; every training loop calls this first.

        If the loss needs `input_gradient`, the images become a leaf tensor that records its gradient. Otherwise the
        batch is returned as it is, at no cost.
        """
        if "input_gradient" not in self.needs:
            return batch
        return batch._replace(images=batch.images.detach().requires_grad_())

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch."""


def input_gradient(scores: Tensor, batch: Batch, what: str) -> Tensor:
    """Return `d sum(scores) / d images`, `(B, 3, H, W)`, which can itself be differentiated.

    Fused attention kernels have no second derivative. `Classifier` avoids them for images that record their gradient; a
    network of your own must avoid them, too.

    Args:
        scores: any tensor that was computed from `batch.images`.
        batch: the batch as `Loss.prepare` returned it.
        what: name of the loss, for the message of an error.

    Raises:
        SalignError: the images recorded no gradient.
    """
    if not (batch.images.requires_grad and scores.requires_grad and torch.is_grad_enabled()):
        raise SalignError(
            f"{what} needs the gradient by the image: call `batch = loss.prepare(batch)` before the forward pass, and "
            "not under no_grad or inference_mode."
        )
    with torch.autocast(batch.images.device.type, enabled=False):  # each step back in the format of its forward step
        (gradient,) = torch.autograd.grad(scores.sum(), batch.images, create_graph=True)
    return at_least_float32(gradient)


@contextmanager
def going_back() -> Iterator[None]:
    """Report a missing second derivative in the `total.backward()` that this context surrounds.

    PyTorch notices only in the backward pass that an operation has no second derivative.

    Raises:
        SalignError: an operation of the network has no second derivative; the message says what to take instead.
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
    """Convert half precision to float32; double precision stays as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def human_maps(saliency: Tensor, annotated: Tensor | None, **compared: tuple[Tensor, str]) -> tuple[Tensor, Tensor]:
    """Bring human maps to the size of the tensor that they are compared with, and min-max scale them.

    Args:
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale; the values of images without a map are ignored.
        annotated: `(B,)` bool; None = all.
        compared: the tensors `(B, ..., h, w)` that the maps are compared with. The key is the name of the argument; the
            value is the tensor together with the kind and shape that it must have (see `salign.checks.tensors`). The
            first tensor gives the size.

    Returns:
        The scaled maps, `(B, h, w)` float32 in [0, 1], and `(B,)` bool: which images count. An image whose map is
        missing, blank or all-equal has no shape to follow: it does not count, and its map is zeros.

    Raises:
        SalignError: a tensor has another kind or shape, or a map is negative or not finite.
    """
    expected = {"saliency": (saliency, "real (B, 1, *, *) or (B, *, *)"), "annotated": (annotated, "bool (B,) or None")}
    tensors(**compared, **expected)
    maps = (saliency[:, 0] if saliency.dim() == 4 else saliency).float()
    _not_negative(maps, annotated)
    size = next(iter(compared.values()))[0].shape[-2:]
    small = resize(maps, (size[0], size[1]))
    counts = varies(maps) & varies(small)  # both sizes: averages over a constant map differ by rounding
    if annotated is not None:
        counts = counts & annotated
    return torch.where(counts[:, None, None], min_max(small), 0.0), counts


def _not_negative(maps: Tensor, annotated: Tensor | None) -> None:
    if maps.device.type == "cpu" and maps.numel():
        ends = torch.stack(maps.flatten(1).aminmax(dim=1))
        values("saliency", ends if annotated is None else ends[:, annotated.cpu()], "[0, inf)")


def averaged(per_image: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of `per_image` `(B,)` over the images that count, `(B,)` bool.

    If no image counts, the result is a zero that still back-propagates. With several processes, the images of all of
    them are counted, so that the gradients which the processes average are those of the whole batch, however its
    annotated images are spread over the processes.
    """
    number, factor = over_processes(counts.sum().float())
    return torch.where(counts, per_image, 0.0).sum() * factor / number.clamp(min=1)
