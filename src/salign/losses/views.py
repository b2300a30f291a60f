"""Helpers of the losses that look at a changed copy of the images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.errors import SalignError
from salign.types import Output


def look_again(output: Output, images: Tensor, loss: str) -> Output:
    """Run the network of an output on other images `(B, 3, H, W)`.

    Raises:
        SalignError: the output does not know its network; the message names the `loss` that needs it.
    """
    if output.again is None:
        raise SalignError(
            f"{loss} looks at changed images, too, but this output has no network: expected `again`, got None. A "
            "Classifier gives it by itself; in a loop of your own, Output(..., again=network), where network(images) "
            "gives an Output."
        )
    return output.again(images)


def log_answers(logits: Tensor, *, multi_label: bool = False) -> Tensor:
    """Return the logarithms of the answers' probabilities, in float32 at least, even under autocast.

    Args:
        logits: `(B, K)`.
        multi_label: whether images may have several labels; each class is then a question of its own.

    Returns:
        `(B, questions, answers)`: `(B, 1, K)`, or with `multi_label` `(B, K, 2)`, whose answers are no and yes.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if multi_label:
        return torch.stack([functional.logsigmoid(-logits), functional.logsigmoid(logits)], dim=2)
    return logits.log_softmax(1)[:, None]
