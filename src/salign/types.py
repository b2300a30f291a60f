"""The vocabulary every module shares.

Shape letters: `B` images in a batch, `K` classes, `C` feature channels, `H, W` image pixels, `h, w` cells of the
last feature map (and so of a class activation map).
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
"""The least number that all from 1 to 20 divide, so that `draw % n` is as likely to be each of n choices."""


class Batch(NamedTuple):
    """Images with labels and human saliency; also one sample, where the leading `B` is absent."""

    images: Tensor
    """`(B, 3, H, W)` float32 in [0, 1]."""
    labels: Tensor
    """`(B,)` int64 in [0, K); or `(B, K)` float32 zeros and ones, where an image may have several labels, or none."""
    saliency: Tensor
    """`(B, 1, H, W)` float32 in [0, 1]; zeros where nobody looked."""
    annotated: Tensor
    """`(B,)` bool: False = nobody looked (missing); True with an all-zero map = looked and marked nothing (blank)."""
    index: Tensor  # type: ignore[assignment]  # tuple.index is not needed here
    """`(B,)` int64: row of the manifest the image came from."""
    seconds: Tensor | None = None
    """`(B,)` float32: how long people looked at the image, NaN where unknown; None = unknown of all."""
    targets: Tensor | None = None
    """`(B, K)` float32 in [0, 1]: how probable each class is, for the cross-entropy; None = the labels are certain.
    Whatever else asks for an image's class, as map terms do, goes by the label."""
    draw: Tensor | None = None
    """`(B,)` int64 in [0, `DRAWS`): a number drawn for each image, the source of what is random in a step."""
    partner: Tensor | None = None
    """`(B, 3, H, W)` float32 in [0, 1]: another image, NaN where none was drawn."""
    fooled: Tensor | None = None
    """`(B,)` bool: an attack changed the image so that its answer is wrong; None = nothing was attacked."""

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.labels.dim() == 2

    @property
    def marked(self) -> Tensor:
        """`(B,)` bool: somebody looked and marked something."""
        return self.annotated & (self.saliency.flatten(1).amax(1) > 0)

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same done to every field that is there."""
        return Batch(*(None if values is None else change(values) for values in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Output:
    """What one forward pass gives: the answer, and the evidence for every class that is asked for."""

    logits: Tensor
    """`(B, K)`."""
    features: Tensor
    """`(B, C, h, w)`: the last feature maps; `logits` are computed from exactly this tensor."""
    head: Callable[[Tensor], Tensor]
    """`(B, C, h, w) -> (B, K)`: what turned `features` into `logits`."""
    weight: Tensor | None = None
    """`(K, C)` of a linear head on the spatial mean; None where the head is anything else."""
    again: Callable[[Tensor], Output] | None = None
    """The network itself, for losses that compare an image with a changed copy of it: `(B, 3, H, W)` -> Output. A
    Classifier's leaves the running statistics of batch norm alone."""

    def cam(self, classes: Tensor) -> Tensor:
        """Class activation maps: raw (signed, unscaled), float32, on device, differentiable if grad is enabled.

        With a linear head, `CAM_c = sum_k weight[c, k] * features[k]` (Zhou et al. 2016, eq. 2), whose spatial mean
        plus the bias is the logit. With any other head, the head-gradient CAM
        `h * w * sum_k d logit_c / d features[k] * features[k]` (element-wise as in HiResCAM, Draelos & Carin 2020),
        which is the same map whenever the head is linear.

        Args:
            classes: `(B,)` or `(B, n)` int64, the classes asked for, per image; or `(B, K)` floating point, one
                coefficient per class, for the map of that combination of logits.

        Returns:
            `(B, h, w)`, or `(B, n, h, w)` for `(B, n)` classes.

        Raises:
            SalignError: classes of another kind or shape, or one that there is not.
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
        """Maps `(B, h, w)` or `(B, n, h, w)` of what the network saw, as they lie in the image; here it saw all."""
        return maps

    def grad_cam(self, classes: Tensor) -> Tensor:
        """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) on the last feature maps, differentiable if grad is enabled.

        `ReLU(sum_k a_k * features[k])`, `a_k` the spatial mean of `d logit_c / d features[k]`; with a linear head this
        is `ReLU(CAM) / (h * w)`, and costs what a CAM costs.

        Args:
            classes: `(B,)` int64; or `(B, K)` floating point, one coefficient per class.

        Returns:
            `(B, h, w)` float32, not negative.

        Raises:
            SalignError: classes of another kind or shape, or one that there is not.
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
    """`(K, C)` and `(B,)` classes or `(B, K)` coefficients -> `(B, C)`, in float32 even under autocast."""
    if not classes.is_floating_point():
        return weight.float()[classes]
    with torch.autocast(weight.device.type, enabled=False):
        return classes.float() @ weight.float()


def _linear_cam(features: Tensor, rows: Tensor) -> Tensor:
    """`(B, C, h, w)` and `(B, n, C)` -> `(B, n, h, w)`, in float32 even under autocast."""
    learning = torch.is_grad_enabled() and not features.is_inference()
    with torch.set_grad_enabled(learning), torch.autocast(features.device.type, enabled=False):
        return torch.bmm(rows, features.float().flatten(2)).unflatten(2, features.shape[2:])


def _element_wise(gradient: Tensor, features: Tensor) -> Tensor:
    return (gradient * features).sum(1) * (features.shape[2] * features.shape[3])


def _channel_weighted(gradient: Tensor, features: Tensor) -> Tensor:
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1).relu()


def _by_gradient(output: Output, classes: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`combine(d logit / d features, features)`, the gradient taken through the head alone."""
    features = output.features
    training = torch.is_grad_enabled() and output.logits.requires_grad  # true, too, where only the head learns
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(features.device.type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),  # the fused attention kernels have no second derivative
    ):
        leaf = features.float() if training and features.requires_grad else _leaf(features)
        logits = output.head(leaf)
        classes = classes.clone()  # one made in inference mode could not be saved for the backward pass
        answers = logits * classes if classes.is_floating_point() else logits.gather(1, classes[:, None])
        (gradient,) = torch.autograd.grad(answers.sum(), leaf, create_graph=training)
        maps = combine(gradient, leaf)
    return maps if training else maps.detach()


def _leaf(features: Tensor) -> Tensor:
    return features.detach().clone().float().requires_grad_()
