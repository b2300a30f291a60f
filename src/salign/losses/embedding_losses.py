"""Losses of a network that embeds images and learns without labels.

Every function takes embeddings `(B, D)` of length 1 and returns a scalar, the mean over images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors


def match_teacher(student: Tensor, teacher: Tensor, *, temperature: float = 0.2) -> Tensor:
    """Return the cross-entropy of `softmax(teacher / T)` and `softmax(student / T)` (S2-BNN, arXiv 2102.08946, eq. 6).

    The `D` numbers of an embedding are used as the logits of `D` classes without names.

    Args:
        student: `(B, D)`.
        teacher: `(B, D)` of the same images; no gradient flows into them.
        temperature: `T`, above 0.

    Returns:
        Scalar in nats. Its least value is the mean entropy of the teacher's distributions.
    """
    tensors(student=(student, "float (B, D)"), teacher=(teacher, "float (B, D)"))
    number("temperature", temperature, "(0, inf)")
    return functional.cross_entropy(student / temperature, (teacher.detach() / temperature).softmax(1))


def contrast(query: Tensor, key: Tensor, queue: Tensor, *, temperature: float = 0.2) -> Tensor:
    """Return the InfoNCE loss, which tells another view of an image from queued images (MoCo, arXiv 1911.05722, eq. 1).

    Args:
        query: `(B, D)` of the images.
        key: `(B, D)` of another view of the same images; no gradient flows into them.
        queue: `(N, D)` of other images.
        temperature: `T`, above 0.

    Returns:
        Scalar in nats; it is `ln(N + 1)` if all embeddings are alike.
    """
    tensors(query=(query, "float (B, D)"), key=(key, "float (B, D)"), queue=(queue, "float (N, D)"))
    number("temperature", temperature, "(0, inf)")
    same = (query * key.detach()).sum(1, keepdim=True)
    logits = torch.cat([same, query @ queue.T.to(query)], dim=1) / temperature
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
