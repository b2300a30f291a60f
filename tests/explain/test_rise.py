"""RISE against a loop over masks, and on a model whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from references import rise as reference
from salign.errors import SalignError
from salign.explain import rise
from salign.explain.rise import draw, enlarge
from salign.types import Output


def corner(images: Tensor) -> Output:
    """Class 1 is the brightness of the upper left quarter and nothing else."""
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    bright = images[:, :, :height, :width].mean((1, 2, 3))
    logits = torch.stack([torch.zeros_like(bright), 6 * bright - 3], 1)
    return Output(logits, images, lambda features: features.mean((2, 3)))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "batch_size", "grid"), [((32, 32), 64, 7), ((30, 41), 4, 5), ((16, 16), 2, 3)])
def test_equals_the_loop_over_masks(size: tuple[int, int], batch_size: int, grid: int) -> None:
    images, classes = torch.rand(3, 3, *size, generator=seeded(1)), torch.tensor([1, 0, 1])
    options = {"masks": 23, "grid": grid, "keep": 0.4}
    found = rise(corner, images, classes, **options, generator=seeded(), batch_size=batch_size)
    expected = reference.rise(corner, images, classes, **options, generator=seeded())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_never_more_pictures_at_once_than_asked() -> None:
    seen = []

    def model(images: Tensor) -> Output:
        seen.append(len(images))
        return corner(images)

    rise(model, torch.rand(5, 3, 8, 8), torch.ones(5, dtype=torch.long), masks=9, generator=seeded(), batch_size=11)
    assert max(seen) <= 11
    assert sum(seen) == 45


def test_finds_the_place_that_decides() -> None:
    images = torch.full((1, 3, 64, 64), 0.9)
    found = rise(corner, images, torch.tensor([1]), masks=600, generator=seeded())[0]
    inside, outside = found[8:24, 8:24].mean(), found[40:, 40:].mean()
    against = rise(corner, images, torch.tensor([0]), masks=600, generator=seeded())[0]
    assert inside > 1.15 * outside
    assert against[8:24, 8:24].mean() < 0.9 * against[40:, 40:].mean()


def test_masks_keep_the_share_asked_everywhere() -> None:
    cells, shifts = draw(4000, 7, 0.3, (50, 40), seeded())
    assert set(cells.unique().tolist()) == {0.0, 1.0}
    assert shifts.amin(0).tolist() == [0, 0]
    assert shifts.amax(0).tolist() == [7, 5]  # one cell is 8 x 6 pixels
    masks = enlarge(cells, shifts, (50, 40))
    assert masks.shape == (4000, 50, 40)
    torch.testing.assert_close(masks.mean(0), torch.full((50, 40), 0.3), atol=0.04, rtol=0)


def test_a_constant_answer_gives_a_flat_map() -> None:
    """Normalised by the chance to be visible, the map of an answer that never changes is that answer."""

    def sure(images: Tensor) -> Output:
        return Output(torch.tensor([[0.0, 2.0]]).expand(len(images), 2), images, lambda features: features)

    found = rise(sure, torch.rand(1, 3, 32, 32), torch.tensor([1]), masks=4000, keep=0.25, generator=seeded())
    answer = torch.tensor([0.0, 2.0]).softmax(0)[1]
    torch.testing.assert_close(found, answer.expand_as(found), atol=0, rtol=0.1)


def test_fill_is_what_hidden_places_show() -> None:
    grey = torch.full((1, 3, 16, 16), 0.5)
    with_fill = rise(corner, grey, torch.tensor([1]), masks=50, fill=0.5, generator=seeded())
    cells, shifts = draw(50, 7, 0.5, (16, 16), seeded())
    visible = enlarge(cells, shifts, (16, 16)).mean(0) / 0.5
    torch.testing.assert_close(with_fill[0], visible * corner(grey).logits.softmax(1)[0, 1])


@pytest.mark.parametrize("wrong", [{"masks": 0}, {"grid": 0}, {"keep": 0.0}, {"keep": 1.5}, {"batch_size": 0}])
def test_options_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SalignError, match=f"{next(iter(wrong))}: expected a"):
        rise(corner, torch.rand(1, 3, 8, 8), torch.tensor([1]), generator=seeded(), **wrong)
