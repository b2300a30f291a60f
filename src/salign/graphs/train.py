"""Train an encoder of nodes and a head over their neighbours: apart, with deconvolved labels, or end to end."""

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
"""`plain`: the encoder learns labels, then the head learns on what it gives; `deconvolved`: the encoder learns
deconvolved labels; `joint`: both learn at once, through the links."""
TEMPERATURE = 0.1
"""The head's answers for nodes without a label are sharpened by it before they are spread (as published)."""


@dataclass(frozen=True)
class NodeSets:
    """The labels of a graph, and which nodes are learned from, select and are measured."""

    labels: Tensor
    """`(N,)` int64; only those of `train` and `val` are looked at."""
    classes: int
    train: Tensor
    """`(n,)` int64 positions."""
    val: Tensor
    """`(m,)` int64 positions, which choose the epoch."""


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    alone: Tensor
    """`(N, K)` probabilities of the encoder alone; those of the head again where both learned at once."""
    answers: Tensor
    """`(N, K)` probabilities of encoder and head."""
    weights: Tensor
    """`(H,)` shares of the hops in the targets; empty where none was spread."""


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
    """Train, and answer for every node. The epoch with the most right validation nodes is taken.

    Args:
        make_encoder: makes an encoder, `rows (B,) int64 -> (B, width)`, after the seed is set.
        width: outputs of the encoder.
        neighbours: who is linked with whom.
        sets: labels, and who learns.
        way: see `Way`.
        head: see `Head`.
        learned: the weights of the hops are learned with the encoder; else all count alike.
        hops: how often labels are spread.
        alpha: share of the spread labels in a target.
        rounds: how often encoder and head are trained in turn. From the second on, the head's answers stand for the
            labels that are missing, and the encoder learns from all nodes: half of its loss is theirs.
        epochs: those of the encoder, and those of the head, or of both at once.
        lr: learning rate of Adam.
        batch: nodes of a step of the encoder; the head sees the whole graph.
        seed: decides all that is drawn.
        progress: show bars.
    """
    tensors(labels=(sets.labels, "int64 (N,)"), degree=(neighbours.degree, "float (N,)"))
    choice("way", way, Way)
    number("rounds", rounds, "[1, inf)", whole=True)
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
    """`rows -> (B, K)` deconvolved targets; labels are spread once, and a batch mixes its own rows alone."""
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
    """Train an encoder and its linear layer on nodes, whatever their neighbours are."""
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
    """Train what answers for the whole graph at once."""
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
    """The weights of the epoch with the most right validation nodes; of equals, that with the lowest loss on them."""

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
