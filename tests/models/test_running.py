"""Batch norm on changed images: it normalises by the batch and remembers nothing of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from salign.models.running import keep_running_statistics


def test_the_batch_is_normalised_and_running_statistics_stay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False)).train()
    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with keep_running_statistics(network):
        inside = network(images)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    torch.testing.assert_close(network(images), inside)
    assert not torch.equal(before["1.running_mean"], network[1].running_mean), "outside they move as ever"
    assert [layer.track_running_stats for layer in (network[1], network[2])] == [True, False]


def test_an_error_inside_leaves_the_layers_as_they_were() -> None:
    layer = nn.BatchNorm2d(2)
    with pytest.raises(ZeroDivisionError), keep_running_statistics(layer):
        _ = 1 / 0
    assert layer.track_running_stats
