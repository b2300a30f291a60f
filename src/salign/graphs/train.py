"""Train an encoder of nodes and a head over their neighbours: apart, with plain or deconvolved labels, or jointly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from salign.checks import choice, number, tensors
from salign.graphs.deconvolution import deconvolve, spread_labels
from salign.graphs.neighbours import Neighbours
from salign.graphs.networks import GraphHead, Head
from salign.progress import Bar

Way = Literal["plain", "deconvolved", "joint"]
"""`plain`: the encoder learns the labels, then the head learns on the encoder's outputs; `deconvolved`: the same, but
the encoder learns deconvolved labels; `joint`: both learn at once, through the links."""
TEMPERATURE = 0.1
"""Temperature that sharpens the head's answers for nodes without a label before they are spread (as published)."""


@dataclass(frozen=True)
class NodeSets:
    """The labels of a graph, and which nodes are for training and which for validation."""

    labels: Tensor
    """`(N,)` int64; only the labels of `train` and `val` are used."""
    classes: int
    train: Tensor
    """`(n,)` int64 positions of the training nodes."""
    val: Tensor
    """`(m,)` int64 positions of the validation nodes, which choose the epoch."""


@dataclass(frozen=True)
class Trained:
    """The result of `train_nodes`."""

    alone: Tensor
    """`(N, K)` probabilities of the encoder alone; the same as `answers` for the way `joint`."""
    answers: Tensor
    """`(N, K)` probabilities of encoder and head together."""
    weights: Tensor
    """`(H,)` shares of the hops in the targets; empty if no labels were spread."""


def train_nodes(
    make_encoder: Callable[[], nn.Module],
    width: int,
    neighbours: Neighbours,
    sets: NodeSets,
    *,
    way: Way = "deconvolved",
    head: Head = "gcn",
    learned: bool = False,
    hops: int = 3,
    alpha: float = 0.5,
    rounds: int = 1,
    epochs: tuple[int, int] = (30, 100),
    lr: float = 0.01,
    batch: int = 512,
    seed: int = 0,
    progress: bool = False,
) -> Trained:
    """Train an encoder and a head, and answer for every node.

    Encoder and head each take the weights of the epoch with the most right validation nodes.

    Args:
        make_encoder: makes an encoder, `rows (B,) int64 -> (B, width)`; it is called after the seed is set.
        width: number of outputs of the encoder.
        neighbours: the links between the nodes.
        sets: labels, training nodes and validation nodes.
        way: see `Way`.
        head: see `Head`.
        learned: whether the weights of the hops are learned with the encoder; otherwise all hops count alike.
        hops: how often labels are spread.
        alpha: share of the spread labels in a target.
        rounds: how often encoder and head are trained in turn. From the second round on, the head's answers take the
            place of missing labels, and the encoder learns from these nodes, too; half of its loss is theirs.
        epochs: number of epochs of the encoder, and of the head. `joint` takes the second for both at once.
        lr: learning rate of Adam.
        batch: number of nodes in a step of the encoder; the head sees the whole graph.
        seed: decides everything that is drawn.
        progress: whether to show progress bars.
    """
    tensors(labels=(sets.labels, "int64 (N,)"), degree=(neighbours.degree, "float (N,)"))
    choice("way", way, Way)
    for name, count in (("rounds", rounds), ("batch", batch), *(("epochs", epoch) for epoch in epochs)):
        number(name, count, "[1, inf)", whole=True)
    number("lr", lr, "(0, inf)")
    torch.manual_seed(seed)
    encoder, classify = make_encoder(), nn.Linear(width, sets.classes)
    everyone = torch.arange(len(sets.labels))
    top = GraphHead(width, sets.classes, head)
    if way == "joint":
        both = nn.ModuleList([encoder, top])
        _learn_graph(both, lambda: top(encoder(everyone), neighbours), sets, epochs[1], lr, progress)
        answers = _answer(both, lambda: top(encoder(everyone), neighbours))
        return Trained(answers, answers, torch.zeros(0))

    gold = torch.zeros(len(sets.labels), sets.classes)
    gold[sets.train, sets.labels[sets.train]] = 1
    own, weights = gold, nn.Parameter(torch.zeros(hops), requires_grad=learned)
    answers = torch.zeros(0)
    for turn in range(rounds):
        targets = _targets(own, neighbours, weights, alpha) if way == "deconvolved" else lambda rows, own=own: own[rows]
        alone = nn.Sequential(encoder, nn.Dropout(0.5), classify)
        pseudo = everyone[own.sum(1) > 0] if turn else sets.train[:0]
        extra = pseudo[~torch.isin(pseudo, sets.train)]
        _learn_rows(alone, [weights] if learned else [], targets, extra, sets, epochs[0], lr, batch, progress)
        features = _encode(encoder, everyone)
        top = GraphHead(width, sets.classes, head)
        _learn_graph(top, lambda: top(features, neighbours), sets, epochs[1], lr, progress)  # noqa: B023 - called here
        answers = _answer(top, lambda: top(features, neighbours), TEMPERATURE)  # noqa: B023 - called here
        own = torch.where(gold.sum(1, keepdim=True) > 0, gold, answers)
    final = _answer(top, lambda: top(features, neighbours))
    alone_answers = _answer(classify, lambda: classify(features))
    shares = weights.detach().softmax(0) if way == "deconvolved" else torch.zeros(0)
    return Trained(alone_answers, final, shares)


def _targets(own: Tensor, neighbours: Neighbours, weights: Tensor, alpha: float) -> Callable[[Tensor], Tensor]:
    """Return a function from `rows` to deconvolved targets `(B, K)`.

    Labels are spread once for all nodes. Each batch then mixes only its own rows.
    """
    spread = spread_labels(own, neighbours, len(weights))
    return lambda rows: deconvolve(own[rows], spread[:, rows], weights.softmax(0), alpha)


def _learn_rows(
    net: nn.Module,
    more: list[nn.Parameter],
    targets: Callable[[Tensor], Tensor],
    pseudo: Tensor,
    sets: NodeSets,
    epochs: int,
    lr: float,
    batch: int,
    progress: bool,
) -> None:
    """Train an encoder and its linear layer on single nodes, without their neighbours."""
    optimizer = torch.optim.Adam([*net.parameters(), *more], lr=lr)
    best = _Best(net, sets)
    with Bar("encoder", epochs, show=progress) as bar:
        for _ in range(epochs):
            net.train()
            order = sets.train[torch.randperm(len(sets.train))]
            for rows in order.split(batch):
                loss = cross_entropy(net(rows), targets(rows))
                if len(pseudo):
                    drawn_rows = pseudo[torch.randint(len(pseudo), (len(rows),))]
                    loss = 0.5 * loss + 0.5 * cross_entropy(net(drawn_rows), targets(drawn_rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                net.eval()
                best.see(torch.cat([net(rows) for rows in sets.val.split(8192)]))
            bar.advance()
    best.restore()


def _learn_graph(
    net: nn.Module, forward: Callable[[], Tensor], sets: NodeSets, epochs: int, lr: float, progress: bool
) -> None:
    """Train a network that answers for the whole graph at once."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, weight_decay=5e-4)
    best = _Best(net, sets)
    with Bar("head", epochs, show=progress) as bar:
        for _ in range(epochs):
            net.train()
            loss = cross_entropy(forward()[sets.train], sets.labels[sets.train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                net.eval()
                best.see(forward()[sets.val])
            bar.advance()
    best.restore()


class _Best:
    """The weights of the epoch with the most right validation nodes; among equals, with the lowest validation loss."""

    def __init__(self, net: nn.Module, sets: NodeSets) -> None:
        self.net, self.labels, self.score = net, sets.labels[sets.val], (-1.0, 0.0)
        self.state: dict[str, Tensor] = {}

    def see(self, logits: Tensor) -> None:
        right = float((logits.argmax(1) == self.labels).sum())
        score = right, -float(cross_entropy(logits, self.labels))
        if score > self.score:
            self.score = score
            self.state = {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def restore(self) -> None:
        self.net.load_state_dict(self.state)


@torch.no_grad()
def _encode(encoder: nn.Module, rows: Tensor) -> Tensor:
    encoder.eval()
    return torch.cat([encoder(part) for part in rows.split(8192)])


@torch.no_grad()
def _answer(net: nn.Module, forward: Callable[[], Tensor], temperature: float = 1.0) -> Tensor:
    net.eval()
    return (forward() / temperature).softmax(1)
