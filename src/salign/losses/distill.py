"""Distillation: the network learns the softened answers of a teacher beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors
from salign.errors import SalignError
from salign.losses.base import Teacher
from salign.losses.guided import GuidedLoss
from salign.losses.views import log_answers
from salign.types import Batch, Output


def distillation(student: Tensor, teacher: Tensor, *, temperature: float = 4.0, multi_label: bool = False) -> Tensor:
    """Return `T^2 KL(softmax(teacher / T) || softmax(student / T))`, the mean over images (arXiv 1503.02531).

    This is the term of Hinton et al. 2015. The factor `T^2` keeps the gradient at a similar size for every temperature.

    Args:
        student: `(B, K)` logits.
        teacher: `(B, K)` logits; no gradient flows into them.
        temperature: `T`, above 0; the larger it is, the more the unlikely classes count.
        multi_label: whether images may have several labels; the result is then the mean over classes of the divergence
            of yes and no.

    Returns:
        Scalar in nats, 0 or more.
    """
    tensors(student=(student, "float (B, K)"), teacher=(teacher, "float (B, K)"))
    number("temperature", temperature, "(0, inf)")
    own = log_answers(student / temperature, multi_label=multi_label)
    target = log_answers(teacher.detach() / temperature, multi_label=multi_label)
    apart = functional.kl_div(own, target, reduction="none", log_target=True).sum(2)
    return temperature**2 * apart.mean()


class Distill(GuidedLoss):
    """`CE + weight * T^2 KL(teacher || student)`, both softened by the temperature `T`, as Hinton et al. 2015.

    The teacher sees the images that the network sees. The loss does not look at people's maps, but a teacher that was
    trained with them may pass on where it looks. Each step costs one more forward pass, that of the teacher.

    Args:
        temperature: Logits are divided by this number before the softmax; 4 is usual.
        weight: The divergence has this weight beside the cross-entropy.
        ramp_epochs: The term grows linearly from near zero over this many epochs; 0 means full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"teacher"})
    guided = False

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        number("temperature", temperature, "(0, inf)")
        self.temperature = temperature

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the divergence from the teacher, a scalar of 0 or more."""
        target = taught(self.teacher, batch.images, "distill")
        return distillation(output.logits, target, temperature=self.temperature, multi_label=batch.multi_label)


def taught(teacher: Teacher | None, images: Tensor, loss: str) -> Tensor:
    """Return the teacher's logits `(B, K)` of images `(B, 3, H, W)`, without a graph.

    Raises:
        SalignError: there is no teacher; the message names the `loss` that needs one.
    """
    if teacher is None:
        raise SalignError(
            f"{loss} needs a teacher: loss.teacher: RUN in a recipe, where RUN is the folder of a finished run; in a "
            "loop of your own, loss.teacher = a function from images to logits."
        )
    with torch.no_grad():
        return teacher(images.detach())
