"""Changed copies of images: each follows from the number of its image, and from nothing else."""

from __future__ import annotations

import pytest
import torch

from references.cutmix import cutmix as slow
from salign.errors import SalignError
from salign.losses.changes import add_noise, cutmix, mixup, neighbours, random_numbers, random_view

GENERATOR = torch.Generator().manual_seed(0)
IMAGES, OTHERS = (torch.rand(60, 3, 9, 12, generator=GENERATOR) for _ in range(2))


def test_boxes_are_those_of_loops() -> None:
    numbers = torch.rand(60, 3, generator=torch.Generator().manual_seed(1))
    before = IMAGES.clone()
    mixed = cutmix(IMAGES, OTHERS, numbers)
    expected = [
        slow(image.tolist(), other.tolist(), *row)
        for image, other, row in zip(IMAGES, OTHERS, numbers.tolist(), strict=True)
    ]
    assert torch.equal(mixed, torch.tensor(expected))
    assert torch.equal(IMAGES, before)
    share = (mixed == OTHERS).float().mean().item()
    assert 0.2 < share < 0.5  # the mean share is 1/2 where nothing is cut off


def test_boxes_of_all_and_of_nothing() -> None:
    numbers = torch.tensor([[0.0, 0.5, 0.5], [0.999999, 0.5, 0.5]])
    mixed = cutmix(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8), numbers)
    assert mixed.mean((1, 2, 3)).tolist() == [1.0, 0.0]


def test_mixup_is_the_weighted_mean() -> None:
    mixed = mixup(torch.full((2, 3, 2, 2), 0.8), torch.full((2, 3, 2, 2), 0.2), torch.tensor([0.25, 1.0]))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), torch.tensor([0.35, 0.8]))


def test_noise_has_its_deviation_and_stays_in_range() -> None:
    grey = torch.full((4, 3, 64, 64), 0.5)
    noisy = add_noise(grey, torch.arange(4), 0.1)
    assert noisy.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(add_noise(grey[2:3], torch.tensor([2]), 0.1)[0], noisy[2])
    assert add_noise(torch.ones(1, 3, 8, 8), torch.tensor([0]), 0.3).max() == 1
    with pytest.raises(SalignError, match="deviation: expected a number of 0 or more, got -1"):
        add_noise(grey, torch.arange(4), -1)


def test_numbers_follow_from_the_image_alone() -> None:
    draws = torch.tensor([17, 3, 17, 99])
    numbers = random_numbers(draws, 4)
    assert torch.equal(numbers[0], numbers[2])
    assert torch.equal(random_numbers(draws.flip(0), 4), numbers.flip(0))
    assert 0.4 < random_numbers(torch.arange(200), 4).mean() < 0.6


def test_neighbours_go_round_in_the_order_of_the_draws() -> None:
    draws = torch.tensor([30, 10, 40, 20])
    assert neighbours(draws).tolist() == [2, 3, 1, 0]
    assert neighbours(draws, 2).tolist() == [1, 0, 3, 2]
    assert neighbours(torch.tensor([5])).tolist() == [0]


def test_a_view_is_a_part_of_the_image_enlarged_and_then_brightened() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[:, :, :4, 4:] = 0.5  # the upper right quarter
    whole = random_view(image, torch.tensor([[1.0, 0.3, 0.8, 0.5, 0.5]]))
    torch.testing.assert_close(whole, image)
    part = random_view(image, torch.tensor([[0.0625, 0.0, 1.0, 0.5, 0.5]]))  # a quarter of the area, upper right
    torch.testing.assert_close(part[..., :7, 1:], torch.full((1, 3, 7, 7), 0.5))
    torch.testing.assert_close(part[0, 0, 0, 0], torch.tensor(0.375))  # a quarter of it lies on the pixel outside
    dark = random_view(image, torch.tensor([[0.0625, 0.0, 1.0, 0.0, 0.5]]))  # times .6
    torch.testing.assert_close(dark[..., :7, 1:].mean(), torch.tensor(0.3), atol=1e-3, rtol=0)
    flat = random_view(image, torch.tensor([[1.0, 0.0, 0.0, 0.5, 0.0]]))  # mean .125, differences times .6
    torch.testing.assert_close(flat[0, 0, 0, 7], torch.tensor(0.125 + 0.6 * 0.375))
    torch.testing.assert_close(flat[0, 0, 7, 0], torch.tensor(0.125 - 0.6 * 0.125))
