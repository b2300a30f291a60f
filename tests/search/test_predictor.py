"""The graph network against torch-geometric and loops; edits; and what pretraining and fitting promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.nn import GINConv

from references.gin import sums
from salign.search.predictor import Isomorphism, Predictor, edit_cells, fit_ranks, pretrain, scaled_ranks
from salign.search.spaces import SPACES, Space

LINKS = [(0, 1), (1, 2), (0, 3)]


def adjacency() -> torch.Tensor:
    matrix = torch.zeros(4, 4)
    for a, b in LINKS:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def test_a_layer_is_that_of_torch_geometric_and_of_the_loops() -> None:
    torch.manual_seed(0)
    layer = Isomorphism(3, 5).eval()
    layer.eps.data.fill_(0.3)
    nodes = torch.randn(1, 4, 3)
    both = torch.tensor([*LINKS, *((b, a) for a, b in LINKS)]).T
    oracle = GINConv(layer.mlp, eps=0.3)
    expected = layer.norm(oracle(nodes[0], both)).relu()
    torch.testing.assert_close(layer(nodes, adjacency())[0], expected)
    by_hand = layer.norm(layer.mlp(torch.tensor(sums(nodes[0].tolist(), LINKS, 0.3)))).relu()
    torch.testing.assert_close(layer(nodes, adjacency())[0], by_hand)


@pytest.mark.parametrize("edits", [0, 1, 3, 6])
def test_edits_change_so_many_slots_and_spare_none(edits: int) -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(5, (400, 6), generator=generator)
    changed = edit_cells(cells, edits, torch.full((6,), 5), generator)
    apart = changed != cells
    assert (apart.sum(1) == edits).all()
    assert 0 <= int(changed.min()) <= int(changed.max()) < 5
    if edits == 1:
        assert apart.float().mean(0).tolist() == pytest.approx([1 / 6] * 6, abs=0.08)
        steps = (changed - cells)[apart] % 5
        assert torch.bincount(steps, minlength=5)[1:].tolist() == pytest.approx([100] * 4, abs=40)
    mixed = edit_cells(torch.zeros(50, 2, dtype=torch.long), 2, torch.tensor([2, 3]), generator)
    assert (mixed[:, 0] == 1).all()
    assert set(mixed[:, 1].tolist()) == {1, 2}


def test_scores_follow_the_ranks_that_were_fitted() -> None:
    space = SPACES["nasbench_macro"]
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(3, (60, 8), generator=generator)
    values = (cells == 2).sum(1).numpy() + 0.1 * cells[:, 0].numpy()
    torch.manual_seed(0)
    net = Predictor(space)
    fit_ranks(net, cells[:40], values[:40], epochs=60)
    with torch.no_grad():
        scores = net(cells).numpy()
    assert np.corrcoef(scores[:40], scaled_ranks(values[:40]))[0, 1] > 0.95
    assert np.corrcoef(scores[40:], values[40:])[0, 1] > 0.7


def test_ranks_are_scaled() -> None:
    assert scaled_ranks(np.array([5.0, 100.0, -3.0])).tolist() == pytest.approx([0, 1.5**0.5, -(1.5**0.5)])
    assert scaled_ranks(np.array([2.0, 2.0])).tolist() == [0, 0]


def test_pretraining_brings_edits_of_a_cell_together_and_none_changes_nothing() -> None:
    space, sizes = SPACES["nasbench201"], torch.full((6,), 5)
    cells = torch.from_numpy(space.cells()[::40])
    torch.manual_seed(0)
    net = Predictor(space)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pretrain(net, cells, sizes, order="none")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    def apart() -> float:
        """Mean distance of a cell to its edit over the mean distance of two cells."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            here, there = net.encode(cells), net.encode(edit_cells(cells, 1, sizes, generator))
        return float((here - there).norm(dim=1).mean() / (here - here.roll(1, 0)).norm(dim=1).mean())

    fresh = apart()
    pretrain(net, cells, sizes, epochs=6, seed=0)
    assert apart() < 0.95 * fresh


def test_slots_with_operations_of_their_own_do_not_share_them() -> None:
    own = Predictor(Space("own", (("a", "b"), ("x", "y", "z")), ((0, 1),)))
    shared = Predictor(SPACES["nasbench_macro"])
    assert (own.operations, own.offsets.tolist()) == (7, [0, 2])
    assert (shared.operations, shared.offsets.tolist()) == (5, [0] * 8)
