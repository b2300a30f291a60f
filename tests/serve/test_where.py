from __future__ import annotations

import numpy as np
import pytest

from salign.serve.where import summarise_map


def test_a_map_of_one_cell_in_a_corner():
    values = np.zeros((6, 6), np.float32)
    values[0, 5] = 1
    summary = summarise_map(values)
    assert summary.half == pytest.approx(1 / 36)
    assert np.array(summary.ninths) == pytest.approx(np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    # The cell is a sixth of the side wide; 0.4 of it lies beyond the outer tenth in each direction.
    assert summary.edge == pytest.approx(1 - 0.4 * 0.4)
    assert "the upper right one has the most: 100%" in summary.words
    assert "Half of the map's weight lies on 3% of the image" in summary.words


@pytest.mark.parametrize("shape", [(7, 7), (2, 5), (30, 30)])
def test_an_even_map_lies_everywhere(shape):
    summary = summarise_map(np.full(shape, 0.5, np.float32))
    assert summary.half == pytest.approx(0.5, abs=0.5 / (shape[0] * shape[1]) + 1e-9)
    assert np.array(summary.ninths) == pytest.approx(np.full((3, 3), 1 / 9))
    assert summary.edge == pytest.approx(0.36)


def test_shares_are_those_of_a_fine_picture_of_the_map():
    """Against the slow way: every cell becomes 30 x 30 pixels, and the pixels are counted."""
    values = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    fine = np.kron(values, np.ones((30, 30)))
    high, wide = fine.shape
    ninths = [[fine[high * i // 3 : high * (i + 1) // 3, wide * j // 3 : wide * (j + 1) // 3].sum() for j in range(3)]
              for i in range(3)]  # fmt: skip
    inner = fine[high // 10 : -high // 10, wide // 10 : -wide // 10].sum()
    summary = summarise_map(values)
    assert np.array(summary.ninths) == pytest.approx(np.array(ninths) / fine.sum())
    assert summary.edge == pytest.approx(1 - inner / fine.sum())


def test_a_map_of_zeros_lies_nowhere():
    assert summarise_map(np.zeros((3, 3), np.float32)) is None
