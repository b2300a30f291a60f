"""A model that is explained is left exactly as it was."""

from __future__ import annotations

import pytest
from torch import nn

from salign.explain.state import evaluating


def test_every_part_gets_its_own_mode_back_also_after_an_error() -> None:
    """A network in training whose batch norm somebody froze."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).eval(), nn.Dropout()).train()
    network[1].eval()
    with evaluating(network):
        assert [part.training for part in network.modules()] == [False] * 4
    with pytest.raises(ZeroDivisionError), evaluating(network):
        _ = 1 / 0
    assert [part.training for part in network.modules()] == [True, True, False, True]


def test_a_function_has_no_modes() -> None:
    with evaluating(lambda images: images):
        pass
