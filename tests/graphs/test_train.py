"""What training on a graph promises, on graphs where the right answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from salign.errors import SalignError
from salign.graphs import NodeSets, from_groups, from_links, train_nodes


class Table(nn.Module):
    """A linear layer over given rows."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.values, self.layer = values, nn.Linear(values.shape[1], 8)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(self.values[rows]).relu()


def graph(seed: int = 0):
    """A ring of nodes, each of which shows one of two symbols; its label is the symbol of its two neighbours.

    Symbols come in pairs of rows (0011 0011 ...), so that two steps along the ring the symbol is the other one.
    """
    symbols = torch.arange(80) // 2 % 2
    values = nn.functional.one_hot(symbols, 2).float()
    links = torch.stack([torch.arange(80), (torch.arange(80) + 2) % 80])
    order = torch.from_numpy(np.random.default_rng(seed).permutation(80))
    sets = NodeSets(1 - symbols, 2, order[:40], order[40:60])
    return values, from_links(links, 80), sets, order[60:]


@pytest.mark.parametrize("way", ["plain", "deconvolved", "joint"])
@pytest.mark.parametrize("head", ["gcn", "mean"])
def test_every_way_learns_what_the_neighbours_say(way: str, head: str) -> None:
    values, neighbours, sets, test = graph()
    trained = train_nodes(lambda: Table(values), 8, neighbours, sets, way=way, head=head, epochs=(8, 30), lr=0.03)
    assert (trained.answers[test].argmax(1) == sets.labels[test]).all()
    torch.testing.assert_close(trained.answers.sum(1), torch.ones(80))


def test_labels_outside_of_training_and_validation_are_never_read() -> None:
    values, neighbours, sets, test = graph()
    hidden = sets.labels.clone()
    hidden[test] = -1
    options = {"epochs": (2, 3), "rounds": 2, "learned": True}
    one, other = (
        train_nodes(lambda: Table(values), 8, neighbours, NodeSets(labels, 2, sets.train, sets.val), **options)
        for labels in (sets.labels, hidden)
    )
    assert torch.equal(one.answers, other.answers)
    assert torch.equal(one.weights, other.weights)
    assert (one.weights != 1 / 3).all()
    torch.testing.assert_close(one.weights.sum(), torch.tensor(1.0))


def test_groups_of_one_label_train_exactly_as_plain_labels() -> None:
    values, _, sets, _ = graph()
    neighbours = from_groups(sets.labels)
    options = {"epochs": (3, 3)}
    plain, deconvolved = (
        train_nodes(lambda: Table(values), 8, neighbours, sets, way=way, **options) for way in ("plain", "deconvolved")
    )
    assert torch.equal(plain.alone, deconvolved.alone)
    assert torch.equal(plain.answers, deconvolved.answers)


def test_the_seed_decides() -> None:
    values, neighbours, sets, _ = graph()
    first, again, other = (
        train_nodes(lambda: Table(values), 8, neighbours, sets, epochs=(2, 2), seed=seed).answers for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": (0, 3)}, "epochs: "),
        ({"epochs": (3, 0)}, "epochs: "),
        ({"batch": 0}, "batch: "),
        ({"lr": 0}, "lr: "),
    ],
)
def test_training_of_no_steps_is_refused(options: dict[str, Any], message: str) -> None:
    values, neighbours, sets, _ = graph()
    with pytest.raises(SalignError, match=message):
        train_nodes(lambda: Table(values), 8, neighbours, sets, **options)
