"""Every loss on every kind of network: it trains there, or it is refused with what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from salign.errors import SalignError
from salign.losses import LOSSES, Loss
from salign.losses.base import going_back
from salign.models import Classifier, wrap
from salign.types import Batch, Output

B, SIZE, CLASSES = 4, 64, ("a", "b", "c")
SWIN = {"img_size": SIZE, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}
VIT = {"img_size": SIZE, "depth": 2}
THROUGH = "cdep, decomposes: network"


def taught(name: str) -> Loss:
    loss = LOSSES[name]()
    loss.teacher = lambda images: images.mean((2, 3))
    return loss


ALL: dict[str, Callable[[], Loss]] = {
    **LOSSES,
    "distill": lambda: taught("distill"),
    "okd": lambda: taught("okd"),
    THROUGH: lambda: LOSSES["cdep"](decomposes="network"),
}


class Own(nn.Module):
    """Nobody's architecture: no normalisation, a smooth kink, places weighed before they are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.GELU(), nn.Conv2d(8, 16, 3, 2, 1))
        self.last = nn.Linear(16, len(CLASSES))

    def pooled(self, maps: Tensor) -> Tensor:
        return self.last((maps * maps.flatten(2).softmax(2).view_as(maps)).sum((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.pooled(self.body(images))


def timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: Classifier(name, CLASSES, image_size=SIZE, **options)


def own() -> nn.Module:
    net = Own()
    return wrap(net, features="body", tail=net.pooled, image_size=SIZE)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": timm("resnet18", args={"zero_init_last": False}),
    "resnet18 of torchvision": lambda: wrap(resnet18(num_classes=3), features="layer4", head="fc", image_size=SIZE),
    "convnext": timm("convnext_atto", args={"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}),
    "swin": timm("swin_tiny_patch4_window7_224", args=SWIN),
    "vit": timm("vit_tiny_patch16_224", args={**VIT, "global_pool": "avg"}),
    "vit by class token": timm("vit_tiny_patch16_224", args=VIT, cam="none"),
    "own": own,
}
DECOMPOSED = {"resnet18", "resnet18 of torchvision"}


def remedy(network: str, name: str, loss: Loss, output: Output) -> str | None:
    """What must be said where a loss does not fit; None where it fits."""
    if name == THROUGH:
        return None if network in DECOMPOSED else "Take such a backbone .* or .*decomposes: head"
    if "linear_head" in loss.needs and output.weight is None:
        return "Take one of these as the backbone, .* or another loss"
    if network == "vit by class token" and loss.needs & {"cam", "grad_cam"}:
        return r"leave cam out and, if it is a ViT, pool its patches: model.args = \{global_pool: avg\}"
    return None


def made(annotated: list[bool]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    looked = torch.tensor(annotated)
    return Batch(
        images=torch.rand(B, 3, SIZE, SIZE, generator=generator),
        labels=torch.arange(B) % len(CLASSES),
        saliency=torch.rand(B, 1, SIZE, SIZE, generator=generator) * looked.view(B, 1, 1, 1),
        annotated=looked,
        index=torch.arange(B),
        seconds=torch.where(looked, 5.0, torch.nan),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_trains_it_or_says_what_to_do(network: str, name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, loss = NETWORKS[network]().train(), ALL[name]()
    batch = loss.prepare(made([True, True, False, True]))
    output = net(batch.images)
    instead = remedy(network, name, loss, output)
    if instead is not None:
        with pytest.raises(SalignError, match=instead):
            loss(output, batch)
        return
    terms = loss(output, batch)
    with going_back():
        terms.total.backward()
    for parameter in net.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.dim() == 1 or parameter.grad.abs().max() > 0
    if loss.guided:
        batch = loss.prepare(made([False] * B))
        without = loss(net(batch.images), batch).parts
        guided = without.keys() - loss.of_all_images
        assert {terms.parts[part].item() > 0 for part in guided} == {True}
        assert {without[part].item() for part in guided} == {0.0}
