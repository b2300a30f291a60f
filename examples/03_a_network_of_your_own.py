"""Any network with any head: name the layer whose maps are used and what comes after it; every loss here trains it.

The two networks are one of torchvision's, and a new one that pools by attention. Each is trained for a few steps on
made-up pictures with two losses: CYBORG, and the share of evidence outside the human region.
"""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from salign.losses import LOSSES
from salign.models import Wrapped, wrap
from salign.types import Batch


class AttentionPooled(nn.Module):
    """Places are weighed before they are averaged: no class activation map adds up to that answer by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
        self.attention, self.fc = nn.Conv2d(32, 1, 1), nn.Linear(32, 2)

    def pool_and_classify(self, maps: Tensor) -> Tensor:
        """`(B, 32, h, w)` -> `(B, 2)`."""
        weights = self.attention(maps).flatten(2).softmax(2).unflatten(2, maps.shape[2:])
        return self.fc((maps * weights).sum((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` -> `(B, 2)`."""
        return self.pool_and_classify(self.body(images))


def pictures(count: int) -> Batch:
    """A bright disc, red or green, which people marked."""
    labels, (top, left) = torch.arange(count) % 2, torch.rand(2, count, 1, 1) * 32 + 16
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((rows - top) ** 2 + (columns - left) ** 2 < 100).float()
    images = torch.rand(count, 3, 64, 64) * 0.5
    images[torch.arange(count), labels] += 0.5 * disc
    return Batch(images, labels, disc[:, None], torch.ones(count, dtype=torch.bool), torch.arange(count))


def train(network: Wrapped, loss_name: str, steps: int = 5) -> None:
    loss, batch = LOSSES[loss_name](), pictures(16)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(steps):
        batch = loss.prepare(batch)
        total, parts = loss(network(batch.images), batch)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        if step in (0, steps - 1):
            told = ", ".join(f"{name} {value:.3f}" for name, value in parts.items())
            print(f"  {loss_name}, step {step + 1}: {told}")


torch.manual_seed(0)
own = AttentionPooled()
for title, network in (
    ("torchvision's resnet18", wrap(resnet18(num_classes=2), features="layer4", head="fc", image_size=64)),
    ("attention pooling", wrap(own, features="body", tail=own.pool_and_classify, image_size=64)),
):
    height, width = network.grid
    print(f"{title}: map of {height} x {width} cells, {network.cam_kind}")
    for loss_name in ("cyborg", "evidence"):
        train(network, loss_name)
