"""The layers that give a network's logits, and the weights that they start from."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from salign.errors import SalignError

Head = Literal["small", "timm"]


def head_parts(net: Any) -> tuple[nn.Module, ...]:
    """Return the classifier layers of a timm network; a network that was distilled has two."""
    classifier = net.get_classifier()
    return classifier if isinstance(classifier, tuple) else (classifier,)


def draw_small_head(net: Any, classes: int) -> None:
    """Draw new weights for every layer that gives the `classes` logits, as torch draws a linear layer; biases are zero.

    Weights are uniform between -1 / sqrt(n) and 1 / sqrt(n), where n is the number of inputs of a logit: a standard
    deviation of 1 / sqrt(3 n). Features of a pretrained network then give logits near zero, and cross-entropy starts
    near ln(classes). timm draws the heads of EfficientNets and MobileNets with a spread that depends on the number of
    classes. For two classes and 1,280 features it is 25 times as large, so that the first steps of training undo the
    features. Layers of the head before the last keep timm's weights, and so does the body.

    Raises:
        SalignError: no layer of the classifier gives this number of logits.
    """
    last = [
        layer
        for part in head_parts(net)
        for layer in part.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == classes
    ]
    if not last:
        raise SalignError(
            f"{type(net).__name__}: no linear layer of its classifier gives {classes} logits, so its head cannot be "
            "drawn small. Keep the weights that timm draws: model.head = timm."
        )
    for layer in last:
        bound = layer.weight[0].numel() ** -0.5
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
