"""Types that all modules share: `Batch` is what a network learns from, `Output` what it answers.

Letters of shapes: `B` images in a batch, `K` classes, `C` feature channels, `H, W` height and width of the image in
pixels, `h, w` height and width of the last feature maps (and so of a class activation map) in cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from salign.checks import tensors, values

DRAWS = 232_792_560
"""The least common multiple of 1 to 20, so that `draw % n` takes each of n <= 20 values equally often."""


class Batch(NamedTuple):
    """Images with labels and human saliency maps; a single sample is a `Batch` without the leading `B`, too."""

    images: Tensor
    """`(B, 3, H, W)` float32 in [0, 1]: the pixels, which the network normalises itself."""
    labels: Tensor
    """`(B,)` int64 in [0, K); or `(B, K)` float32 zeros and ones if an image may have several labels or none."""
    saliency: Tensor
    """`(B, 1, H, W)` float32 in [0, 1]: the human saliency maps; all zeros for an image that nobody looked at."""
    annotated: Tensor
    """`(B,)` bool: False if nobody looked at the image (its map is missing). True with an all-zero map means that
    somebody looked and marked nothing (the map is blank)."""
    index: Tensor  # type: ignore[assignment]  # tuple.index is not needed here
    """`(B,)` int64: the position of the image in its data set."""
    seconds: Tensor | None = None
    """`(B,)` float32: how long people looked at the image, NaN if unknown; None if it is unknown for all images."""
    targets: Tensor | None = None
    """`(B, K)` float32 in [0, 1]: how probable each class is, for the cross-entropy; None if the labels are certain.
    All other terms that need the class of an image, such as terms on maps, take the label."""
    draw: Tensor | None = None
    """`(B,)` int64 in [0, `DRAWS`): a random number for each image, from which steps derive their random choices."""
    partner: Tensor | None = None
    """`(B, 3, H, W)` float32 in [0, 1]: another image for each image, NaN where none was drawn."""
    fooled: Tensor | None = None
    """`(B,)` bool: True if an attack changed the image so that its answer is wrong; None if nothing was attacked."""

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.labels.dim() == 2

    @property
    def marked(self) -> Tensor:
        """`(B,)` bool: True if somebody looked at the image and marked something."""
        return self.annotated & (self.saliency.flatten(1).amax(1) > 0)

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return a batch in which `change` was applied to every field that is not None."""
        return Batch(*(None if values is None else change(values) for values in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Output:
    """The result of one forward pass: the logits, and what is needed to compute the evidence for any class."""

    logits: Tensor
    """`(B, K)`: the logits."""
    features: Tensor
    """`(B, C, h, w)`: the last feature maps; `logits` are computed from exactly this tensor."""
    head: Callable[[Tensor], Tensor]
    """`(B, C, h, w) -> (B, K)`: the function that turned `features` into `logits`."""
    weight: Tensor | None = None
    """`(K, C)`: the weights of a linear head on the spatial mean; None for any other head."""
    again: Callable[[Tensor], Output] | None = None
    """`(B, 3, H, W)` -> Output: the network itself, for losses that compare an image with a changed copy of it. With a
    `Classifier`, this call leaves the running statistics of batch norm unchanged."""

    def cam(self, classes: Tensor) -> Tensor:
        """Compute class activation maps: signed, not scaled, float32, and differentiable if grad is enabled.

        With a linear head, this is `CAM_c = sum_k weight[c, k] * features[k]` (Zhou et al. 2016, eq. 2), whose spatial
        mean plus the bias is the logit. With any other head, it is the head-gradient CAM
        `h * w * sum_k d logit_c / d features[k] * features[k]` (element-wise as in HiResCAM, Draelos & Carin 2020),
        which is the same map whenever the head is linear.

        Args:
            classes: `(B,)` or `(B, n)` int64, one or n classes for each image; or `(B, K)` floating point, a
                coefficient for each class, for the map of that linear combination of logits.

        Returns:
            `(B, h, w)`, or `(B, n, h, w)` for `(B, n)` classes, on the device of the features.

        Raises:
            SalignError: `classes` has another kind or shape, or names a class that does not exist.
        """
        self._check(classes, "int64 (B,) or (B, n)")
        if classes.dim() == 2 and not classes.is_floating_point():
            if self.weight is not None:
                return _linear_cam(self.features, self.weight.float()[classes])
            return torch.stack([self.cam(column) for column in classes.unbind(1)], dim=1)
        if self.weight is not None:
            return _linear_cam(self.features, _rows(self.weight, classes)[:, None])[:, 0]
        return _by_gradient(self, classes, _element_wise)

    def to_image(self, maps: Tensor) -> Tensor:
        """Return maps `(B, h, w)` or `(B, n, h, w)` of what the network saw as maps of the whole image.

        Here the network saw the whole image, so that the maps come back as they are.
        """
        return maps

    def grad_cam(self, classes: Tensor) -> Tensor:
        """Compute Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) on the last feature maps.

        The map is `ReLU(sum_k a_k * features[k])`, where `a_k` is the spatial mean of `d logit_c / d features[k]`. With
        a linear head this is `ReLU(CAM) / (h * w)` and costs no more than a CAM. It is differentiable if grad is
        enabled.

        Args:
            classes: `(B,)` int64, a class for each image; or `(B, K)` floating point, a coefficient for each class.

        Returns:
            `(B, h, w)` float32, 0 or more.

        Raises:
            SalignError: `classes` has another kind or shape, or names a class that does not exist.
        """
        self._check(classes, "int64 (B,)")
        if self.weight is not None:
            cells = self.features.shape[2] * self.features.shape[3]
            return self.cam(classes).relu() / cells
        return _by_gradient(self, classes, _channel_weighted)

    def _check(self, classes: Tensor, numbers: str) -> None:
        mixed = isinstance(classes, Tensor) and classes.is_floating_point()
        tensors(
            logits=(self.logits, "float (B, K)"),
            features=(self.features, "float (B, C, h, w)"),
            classes=(classes, "float (B, K)" if mixed else numbers),
        )
        if not mixed:
            values("classes", classes, f"[0, {self.logits.shape[1] - 1}]")


def _rows(weight: Tensor, classes: Tensor) -> Tensor:
    """Return the rows `(B, C)` of `weight` `(K, C)` for `(B,)` classes, or their sums with `(B, K)` coefficients.

    The result is float32 even under autocast.
    """
    if not classes.is_floating_point():
        return weight.float()[classes]
    with torch.autocast(weight.device.type, enabled=False):
        return classes.float() @ weight.float()


def _linear_cam(features: Tensor, rows: Tensor) -> Tensor:
    """Weigh features `(B, C, h, w)` by rows `(B, n, C)` to maps `(B, n, h, w)`, in float32 even under autocast."""
    learning = torch.is_grad_enabled() and not features.is_inference()
    with torch.set_grad_enabled(learning), torch.autocast(features.device.type, enabled=False):
        return torch.bmm(rows, features.float().flatten(2)).unflatten(2, features.shape[2:])


def _element_wise(gradient: Tensor, features: Tensor) -> Tensor:
    return (gradient * features).sum(1) * (features.shape[2] * features.shape[3])


def _channel_weighted(gradient: Tensor, features: Tensor) -> Tensor:
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1).relu()


def _by_gradient(output: Output, classes: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return `combine(d logit / d features, features)`, where the gradient is taken through the head alone."""
    features = output.features
    training = torch.is_grad_enabled() and output.logits.requires_grad  # also true if only the head learns
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(features.device.type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),  # the fused attention kernels have no second derivative
    ):
        leaf = features.float() if training and features.requires_grad else _leaf(features)
        logits = output.head(leaf)
        classes = classes.clone()  # a tensor made in inference mode could not be saved for the backward pass
        answers = logits * classes if classes.is_floating_point() else logits.gather(1, classes[:, None])
        (gradient,) = torch.autograd.grad(answers.sum(), leaf, create_graph=training)
        maps = combine(gradient, leaf)
    return maps if training else maps.detach()


def _leaf(features: Tensor) -> Tensor:
    return features.detach().clone().float().requires_grad_()
