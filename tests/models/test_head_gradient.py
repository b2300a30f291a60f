from __future__ import annotations

import pytest
import torch
from torch import nn

from salign.models.head_gradient import fold_head, rows_of
from salign.types import Output

ACTIVATIONS = [nn.ReLU(inplace=True), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Tanh()]


class Net(nn.Module):
    """Feature maps to logits by the spatial mean and layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features):
        return self.layers(features.mean((2, 3)))


def normalised() -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(6)
    norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.5
    return norm


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda layer: type(layer).__name__)
def test_the_closed_form_is_the_jacobian(activation):
    torch.manual_seed(0)
    net = Net(nn.LayerNorm(6, elementwise_affine=False), normalised(), nn.Linear(6, 5), activation, nn.Linear(5, 3))
    features = 2 * torch.randn(4, 6, 2, 3)
    layers = fold_head(net.eval(), Output(net(features), features, net))
    assert layers == list(net.layers)
    pooled = features.mean((2, 3))
    rows = rows_of(layers, pooled, torch.eye(3).expand(4, -1, -1))
    slow = torch.stack([torch.autograd.functional.jacobian(net.layers, pooled[i : i + 1])[0, :, 0] for i in range(4)])
    torch.testing.assert_close(rows, slow)


class Squared(Net):
    def forward(self, features):
        return self.layers(features.square().mean((2, 3)))


@pytest.mark.parametrize("net", [Squared(nn.Linear(6, 3)), Net(nn.Linear(6, 4), nn.Softplus(), nn.Linear(4, 3))])
def test_a_head_that_does_something_else_has_none(net):
    features = torch.randn(2, 6, 2, 2)
    assert fold_head(net.eval(), Output(net(features), features, net)) is None
