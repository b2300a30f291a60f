"""The 3 x 3 convolution of maps, against loops that look at every neighbour."""

from __future__ import annotations

import torch

from salign.losses.smoothing import convolve, gaussian


def test_the_kernel_is_the_binomial_one() -> None:
    assert (16 * gaussian()).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_every_cell_is_the_weighted_sum_of_its_neighbours_and_edges_repeat() -> None:
    draw = torch.Generator().manual_seed(0)
    maps, kernel = torch.rand(2, 4, 5, generator=draw), torch.rand(3, 3, generator=draw)
    expected = torch.zeros(2, 4, 5)
    for image in range(2):
        for row in range(4):
            for column in range(5):
                for down in (-1, 0, 1):
                    for right in (-1, 0, 1):
                        there = min(max(row + down, 0), 3), min(max(column + right, 0), 4)
                        expected[image, row, column] += kernel[down + 1, right + 1] * maps[image][there]
    torch.testing.assert_close(convolve(maps, kernel), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(convolve(maps, kernel), convolve(maps, kernel).float())
        torch.testing.assert_close(convolve(maps, kernel), expected)
