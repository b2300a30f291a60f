"""The CYBORG loss in a plain PyTorch loop: your network, your data, one function.

The pictures are made up. A disc tells the class, and people marked the disc. A square beside it tells the class, too,
but only in training.
"""

import torch
from torch import Tensor, nn

from salign.losses import cyborg


def pictures(count: int, seed: int, square_tells: float) -> tuple[Tensor, Tensor, Tensor]:
    """Images `(B, 3, 48, 48)`, labels `(B,)`, human maps `(B, 48, 48)`."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=draw)
    hints = torch.where(torch.rand(count, generator=draw) < square_tells, labels, 1 - labels)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    (top, left), side = torch.rand(2, count, 1, 1, generator=draw) * 32 + 8, torch.rand(count, 1, 1, generator=draw)
    disc = (rows - top) ** 2 + (columns - left) ** 2 < 49
    square = ((rows - (top + 24) % 48).abs() < 6) & ((columns - (left + 16 * side + 16) % 48).abs() < 6)
    images = torch.rand(count, 3, 48, 48, generator=draw) * 0.5
    images[:, 0] += disc * (0.2 + 0.15 * labels.view(-1, 1, 1))
    images[:, 1] += (square & ~disc) * (0.2 + 0.4 * hints.view(-1, 1, 1))
    return images, labels, disc.float()


def train(alpha: float) -> float:
    """Accuracy on pictures whose squares tell nothing."""
    torch.manual_seed(0)
    widths = [(3, 16), (16, 32), (32, 64)]
    body = nn.Sequential(*(nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in widths))
    fc = nn.Linear(64, 2)
    optimiser = torch.optim.Adam([*body.parameters(), *fc.parameters()], lr=2e-3)
    images, labels, human = pictures(256, seed=1, square_tells=1.0)
    for _ in range(15):
        for batch in torch.randperm(len(images)).split(32):
            features = body(images[batch])
            logits = fc(features.mean((2, 3)))
            cam = torch.einsum("bc,bchw->bhw", fc.weight[labels[batch]], features)
            loss = cyborg(logits, cam, labels[batch], human[batch], alpha=alpha)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    images, labels, _ = pictures(500, seed=2, square_tells=0.5)
    with torch.inference_mode():
        return (fc(body.eval()(images).mean((2, 3))).argmax(1) == labels).float().mean().item()


for name, alpha in (("cross-entropy", 1.0), ("CYBORG", 0.5)):
    print(f"{name:13} gets {train(alpha):.0%} right where the squares tell nothing")
