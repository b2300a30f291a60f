"""Where features lie: by hand, on networks that declare it and on one that does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from salign.errors import SalignError
from salign.models.layout import count_prefix_tokens, layout_of, token_grid


class Learned(nn.Module):
    """A network that declares nothing; two class tokens, of which the last counts."""

    def __init__(self, *lengths: int) -> None:
        super().__init__()
        for number, length in enumerate(lengths):
            part = nn.Module()
            part.cls_token = nn.Parameter(torch.zeros(1, length, 4))
            self.add_module(f"stage{number}", part)


def test_tokens_that_stand_for_no_place_are_those_declared_or_learned() -> None:
    assert count_prefix_tokens(SimpleNamespace(num_prefix_tokens=5)) == 5
    assert count_prefix_tokens(Learned(1, 2)) == 2
    assert count_prefix_tokens(Learned()) == 0


def test_three_dimensions_are_tokens() -> None:
    assert layout_of(Learned(), (1, 49, 16)) == "tokens"
    assert layout_of(nn.Conv2d(3, 4, 1), (1, 16, 7, 7)) == "nchw"


@pytest.mark.parametrize(
    ("tokens", "height", "width", "grid"), [(196, 224, 224, (14, 14)), (6, 64, 96, (2, 3)), (4, 64, 256, (1, 4))]
)
def test_the_grid_has_square_patches(tokens: int, height: int, width: int, grid: tuple[int, int]) -> None:
    assert token_grid("net", tokens, height, width) == grid


def test_tokens_that_do_not_tile_the_image_are_refused() -> None:
    with pytest.raises(SalignError, match="net: 7 tokens do not tile an image of 64 x 96 pixels"):
        token_grid("net", 7, 64, 96)
