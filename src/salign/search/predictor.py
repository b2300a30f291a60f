"""A predictor of architectures: a small graph network, pretrained by contrast on edited cells, then fitted to ranks.

The method is that of Zheng et al., "DCLP: Neural Architecture Predictor with Curriculum Contrastive Learning" (arXiv
2302.13020). The paper does not give the schedule from easy to hard, and its public code lacks it; `pretrain` describes
the schedule used here. All cells of a space have the same graph, so a layer multiplies a whole batch by one adjacency
matrix.
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
"""How pretraining edits cells: `easy` makes few edits first and more later; `random` makes the same numbers of edits in
random order; `none` means no pretraining."""
WIDTH, LAYERS = 32, 3


class Isomorphism(nn.Module):
    """A layer of a graph isomorphism network (GIN; Xu et al., arXiv 1810.00826).

    It computes `MLP((1 + eps) x + sum of x over the neighbours)`, followed by batch norm and ReLU.

    Args:
        inputs: number of features of a node.
        width: number of features of a node after the layer.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.norm = nn.BatchNorm1d(width)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """Map nodes `(B, n, inputs)` with the adjacency `(n, n)` to nodes `(B, n, width)`."""
        mixed: Tensor = self.mlp((1 + self.eps) * nodes + adjacency @ nodes)
        return self.norm(mixed.flatten(0, 1)).view_as(mixed).relu()


class Predictor(nn.Module):
    """A graph network that scores cells: `(B, S)` int64 -> `(B,)`, the higher the better.

    It consists of an encoder of `LAYERS` layers, a mean over the nodes, and a linear layer. The features of a node are
    two one-hot parts: the operation, and the slot in which it stands.

    Args:
        space: the space of the cells.
    """

    adjacency: Tensor
    offsets: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        shared = len(set(space.slots)) == 1  # if not, equal numbers in two slots mean different operations
        sizes = [len(operations) for operations in space.slots]
        offsets = [0] * len(sizes) if shared else np.cumsum([0, *sizes[:-1]]).tolist()
        self.operations = (sizes[0] if shared else sum(sizes)) + 2
        self.register_buffer("offsets", torch.tensor(offsets))
        self.register_buffer("adjacency", torch.from_numpy(space.adjacency()))
        inputs = [self.operations + len(sizes) + 2, *[WIDTH] * (LAYERS - 1)]
        self.layers = nn.ModuleList([Isomorphism(size, WIDTH) for size in inputs])
        self.head = nn.Linear(WIDTH, 1)

    def encode(self, cells: Tensor) -> Tensor:
        """Encode cells `(B, S)` as the mean over their nodes, `(B, WIDTH)`."""
        tensors(cells=(cells, "int64 (B, S)"))
        ends = torch.tensor([self.operations - 2, self.operations - 1]).expand(len(cells), 2)
        operations = one_hot(torch.cat([cells + self.offsets, ends], 1), self.operations).float()
        slots = torch.eye(operations.shape[1]).expand(len(cells), -1, -1)
        nodes = torch.cat([operations, slots], 2)
        for layer in self.layers:
            nodes = layer(nodes, self.adjacency)
        return nodes.mean(1)

    def forward(self, cells: Tensor) -> Tensor:
        """Score cells: `(B, S) -> (B,)`."""
        score: Tensor = self.head(self.encode(cells))[:, 0]
        return score


def edit_cells(cells: Tensor, edits: int, sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Put another operation into `edits` different slots of each cell, drawn at random from all slots.

    Args:
        cells: `(B, S)` int64.
        edits: number of slots to edit, from 0 to S.
        sizes: `(S,)` int64: the number of operations that may stand in each slot, at least two.
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
    """Pretrain the encoder by momentum contrast (arXiv 1911.05722).

    The encoder learns that two edits of the same cell are alike, and that other cells are not. With the order `easy`,
    the first `epochs / hardest` epochs edit one slot of a cell, the next as many epochs edit two slots, and so on up to
    `hardest`. The order `random` goes through the same epochs in random order.

    Args:
        net: the predictor, which is changed in place.
        cells: `(N, S)` int64 cells without labels.
        sizes: see `edit_cells`.
        order: see `Order`.
        epochs: number of passes over all cells.
        hardest: largest number of edits of a cell, capped at the number of slots.
        batch: number of cells per step.
        queue: number of embeddings of earlier cells that a cell is told apart from.
        temperature: temperature of the softmax over similarities.
        momentum: share of its weights that the second encoder keeps in each step, as it follows the first.
        lr: learning rate of Adam.
        seed: decides the order, the edits and the first queue. The projection, which is thrown away afterwards, has its
            first weights from torch's own generator, as the net has.
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
    """Fit the predictor to the ranks of the values, scaled to mean 0 and variance 1.

    Ranks take the place of the values because accuracies have long tails.

    Args:
        net: the predictor, fresh or after `pretrain`, which is changed in place.
        cells: `(n, S)` int64.
        values: `(n,)`, the higher the better.
        epochs: number of steps, each on all cells at once.
        lr: learning rate of Adam, which falls to 0 along a cosine.
        seed: seed of PyTorch's own generator; the fit itself draws nothing.
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
    """Return the ranks of `(n,)` values, scaled to mean 0 and variance 1.

    Equal values have equal ranks. If all values are equal, all ranks are 0.
    """
    from scipy.stats import rankdata

    ranks = rankdata(values)
    spread = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (spread if spread > 0 else 1))
