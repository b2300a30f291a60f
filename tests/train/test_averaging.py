"""The average of the weights against its formula, step by step; and whose weights the network has when."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from salign.errors import SalignError
from salign.train.averaging import Averaging


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items() if value.is_floating_point()}


def test_the_network_has_the_average_from_validation_to_the_end_of_an_epoch():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average, trainer, expected = Averaging(network, 0.75), SimpleNamespace(global_step=0), {}
    average.on_train_start(trainer, SimpleNamespace(device="cpu"))
    for step in range(1, 6):
        with torch.no_grad():
            for value in network.parameters():
                value += torch.randn_like(value)
        network(torch.randn(8, 2))  # moves the running statistics
        average.on_train_batch_end(trainer)  # accumulates: no step yet, so that nothing is averaged
        trainer.global_step = step
        average.on_train_batch_end(trainer)
        own = state(network)
        expected = {name: 0.75 * expected.get(name, now) + 0.25 * now for name, now in own.items()}
    average.on_validation_start(trainer)
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in state(network).items())
    assert not torch.allclose(network[1].running_mean, own["1.running_mean"])
    average.on_train_epoch_end(trainer)
    assert all(torch.equal(value, own[name]) for name, value in state(network).items())
    resumed = Averaging(network, 0.75)
    resumed.load_state_dict(average.state_dict())
    resumed.on_validation_start(trainer)
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in state(network).items())


def test_the_decay_is_a_share():
    with pytest.raises(SalignError, match="decay"):
        Averaging(nn.Linear(1, 1), 1.0)
