"""The network of templates against torch-geometric, and on subjects whose template is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import NNConv

from salign.errors import SalignError
from salign.graphs.dgn import EdgeConvolution, TemplateNet, dgn_template


def test_the_convolution_is_that_of_torch_geometric() -> None:
    torch.manual_seed(0)
    ours = EdgeConvolution(2, 3, 4)
    oracle = NNConv(3, 4, nn.Sequential(ours.edge, nn.ReLU()), aggr="mean")
    oracle.lin.weight.data, oracle.bias.data = ours.own.weight.data, ours.own.bias.data
    nodes, edges = torch.randn(5, 3), torch.randn(5, 5, 2)
    edges = edges + edges.transpose(0, 1)
    source, target = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    apart = source != target
    links = torch.stack([source[apart], target[apart]])
    torch.testing.assert_close(ours(nodes, edges), oracle(nodes, links, edges[apart]))


def test_a_template_is_symmetric_and_has_no_connection_below_zero() -> None:
    torch.manual_seed(0)
    template = TemplateNet(2)(torch.rand(2, 6, 6)).detach()
    torch.testing.assert_close(template, template.T)
    assert template.diagonal().tolist() == [0] * 6
    assert float(template.min()) == 0
    assert float(template.max()) > 0


def test_training_comes_closer_to_the_subjects() -> None:
    """Regions lie on a line, and a connection is a distance: the network can give the template exactly."""
    place = torch.tensor([0.0, 1, 3, 4, 7])
    matrices = (place[:, None] - place).abs()[None, None] + 0.01 * torch.rand(8, 1, 5, 5)
    matrices = (matrices + matrices.transpose(2, 3)) / 2
    mean = matrices.mean((0, 1))
    before, after = (
        float((dgn_template(matrices, epochs=epochs, lr=lr) - mean).norm()) for epochs, lr in ((1, 1e-9), (25, 0.01))
    )
    assert after < 0.5 * before


def test_connections_below_zero_are_refused() -> None:
    with pytest.raises(SalignError, match="no connection below zero"):
        dgn_template(torch.full((2, 1, 3, 3), -1.0))
