"""A predictor of architectures: a small graph network, pretrained by contrast on edited cells, then fitted to ranks.

Zheng et al., "DCLP: Neural Architecture Predictor with Curriculum Contrastive Learning" (arXiv 2302.13020).
The paper does not give the schedule from easy to hard, and its public code lacks it; ours is said below. All cells of a
space have the same graph, so a batch is one product with its adjacency.
"""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, normalize, one_hot

from salign.checks import choice, number, tensors
from salign.search.spaces import Space

Order = Literal["easy", "random", "none"]
"""How far pretraining edits cells: `easy`: few edits first, more later; `random`: as many, in random order; `none`: no
pretraining takes place."""
WIDTH, LAYERS = 32, 3


class Isomorphism(nn.Module):
    """`MLP((1 + eps) x + sum over the neighbours of x)`, batch-normed (GIN; Xu et al., arXiv 1810.00826).

    Args:
        inputs: numbers of a node.
        width: numbers of a node afterwards.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.norm = nn.BatchNorm1d(width)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """`(B, n, inputs)`, `(n, n) -> (B, n, width)`."""
        mixed: Tensor = self.mlp((1 + self.eps) * nodes + adjacency @ nodes)
        return self.norm(mixed.flatten(0, 1)).view_as(mixed).relu()


class Predictor(nn.Module):
    """`(B, S) int64 cells -> (B,)` scores, the higher the better; an encoder of `LAYERS` layers, mean pool, and a line.

    A node says which operation stands in which slot, by two one-hot parts.

    Args:
        space: the cells.
    """

    adjacency: Tensor
    offsets: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        shared = len(set(space.slots)) == 1  # else equal numbers in two slots are different operations
        sizes = [len(operations) for operations in space.slots]
        offsets = [0] * len(sizes) if shared else np.cumsum([0, *sizes[:-1]]).tolist()
        self.operations = (sizes[0] if shared else sum(sizes)) + 2
        self.register_buffer("offsets", torch.tensor(offsets))
        self.register_buffer("adjacency", torch.from_numpy(space.adjacency()))
        inputs = [self.operations + len(sizes) + 2, *[WIDTH] * (LAYERS - 1)]
        self.layers = nn.ModuleList([Isomorphism(size, WIDTH) for size in inputs])
        self.head = nn.Linear(WIDTH, 1)

    def encode(self, cells: Tensor) -> Tensor:
        """`(B, S) -> (B, WIDTH)`: the mean over the nodes."""
        tensors(cells=(cells, "int64 (B, S)"))
        ends = torch.tensor([self.operations - 2, self.operations - 1]).expand(len(cells), 2)
        operations = one_hot(torch.cat([cells + self.offsets, ends], 1), self.operations).float()
        slots = torch.eye(operations.shape[1]).expand(len(cells), -1, -1)
        nodes = torch.cat([operations, slots], 2)
        for layer in self.layers:
            nodes = layer(nodes, self.adjacency)
        return nodes.mean(1)

    def forward(self, cells: Tensor) -> Tensor:
        """Score cells."""
        score: Tensor = self.head(self.encode(cells))[:, 0]
        return score


def edit_cells(cells: Tensor, edits: int, sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Put another operation into `edits` different slots of each cell, drawn at random; no slot is spared.

    Args:
        cells: `(B, S)` int64.
        edits: from 0 to S.
        sizes: `(S,)` int64: how many operations each slot may have, two at least.
        generator: source of randomness.
    """
    tensors(cells=(cells, "int64 (B, S)"), sizes=(sizes, "int64 (S,)"))
    number("edits", edits, f"[0, {cells.shape[1]}]", whole=True)
    slots = torch.rand(cells.shape, generator=generator).argsort(1)[:, :edits]
    steps = 1 + (torch.rand(slots.shape, generator=generator) * (sizes[slots] - 1)).long()
    return cells.scatter(1, slots, (cells.gather(1, slots) + steps) % sizes[slots])


def pretrain(
    net: Predictor,
    cells: Tensor,
    sizes: Tensor,
    *,
    order: Order = "easy",
    epochs: int = 30,
    hardest: int = 3,
    batch: int = 256,
    queue: int = 1024,
    temperature: float = 0.07,
    momentum: float = 0.99,
    lr: float = 1e-3,
    seed: int = 0,
) -> None:
    """Pretrain the encoder: two edits of one cell are alike, other cells are not (momentum contrast, arXiv 1911.05722).

    The first `epochs / hardest` epochs edit one slot, the next as many two, and so on up to `hardest`;
    `random` goes through the same epochs in random order.

    Args:
        net: changed in place.
        cells: `(N, S)` int64 cells without labels.
        sizes: see `edit_cells`.
        order: see `Order`.
        epochs: times that all cells are seen.
        hardest: most edits of a view.
        batch: cells of a step.
        queue: embeddings of earlier cells that a cell is told apart from.
        temperature: the softmax over similarities has this temperature.
        momentum: how slowly the second encoder follows the first.
        lr: learning rate of Adam.
        seed: decides the order, the edits and the first queue. A layer that is thrown away afterwards has its first
            weights from torch's own generator, as the net has.
    """
    choice("order", order, Order)
    if order == "none":
        return
    generator = torch.Generator().manual_seed(seed)
    project = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    slow_net, slow_project = copy.deepcopy(net), copy.deepcopy(project)
    pairs = list(
        zip(
            [*net.parameters(), *project.parameters()],
            [*slow_net.parameters(), *slow_project.parameters()],
            strict=True,
        )
    )
    optimizer = torch.optim.Adam([*net.parameters(), *project.parameters()], lr=lr)
    memory = normalize(torch.randn(queue, WIDTH, generator=generator), dim=1)
    edits = [1 + min(hardest, cells.shape[1]) * epoch // epochs for epoch in range(epochs)]
    if order == "random":
        edits = [edits[k] for k in torch.randperm(epochs, generator=generator).tolist()]
    net.train()
    slow_net.train()
    for count in edits:
        for rows in torch.randperm(len(cells), generator=generator).split(batch):
            if len(rows) < 2:
                continue
            first, second = (edit_cells(cells[rows], count, sizes, generator) for _ in range(2))
            query = normalize(project(net.encode(first)), dim=1)
            with torch.no_grad():
                for fast, slow in pairs:
                    slow.lerp_(fast, 1 - momentum)
                key = normalize(slow_project(slow_net.encode(second)), dim=1)
            logits = torch.cat([(query * key).sum(1, keepdim=True), query @ memory.T], 1) / temperature
            loss = cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            memory = torch.cat([key, memory])[:queue]


def fit_ranks(
    net: Predictor, cells: Tensor, values: np.ndarray, *, epochs: int = 150, lr: float = 5e-3, seed: int = 0
) -> None:
    """Fit the predictor to ranks of the values, scaled to mean 0 and variance 1: accuracies have long tails.

    Args:
        net: changed in place, as it is after `pretrain` or fresh.
        cells: `(n, S)` int64.
        values: `(n,)`, the higher the better.
        epochs: steps on all cells at once.
        lr: learning rate of Adam, which falls to 0 as a cosine.
        seed: decides nothing but what PyTorch may draw.
    """
    torch.manual_seed(seed)
    target = torch.from_numpy(scaled_ranks(values)).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, weight_decay=1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    net.train()
    for _ in range(epochs):
        loss = mse_loss(net(cells), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    net.eval()


def scaled_ranks(values: np.ndarray) -> np.ndarray:
    """`(n,)` -> ranks with mean 0 and variance 1; equal values have equal ranks, and all equal ones are 0."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    spread = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (spread if spread > 0 else 1))
