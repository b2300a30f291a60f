"""Templates against a walk downhill, and the cases that Weiszfeld's iteration alone cannot solve."""

from __future__ import annotations

import pytest
import torch

from references import template as slow
from salign.errors import SalignError
from salign.maps.template import geometric_median, mean_template, median_template


def points(seed: int, count: int) -> torch.Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("seed", "count"), [(0, 3), (1, 4), (2, 7), (3, 20)])
def test_the_geometric_median_is_that_of_the_walk(seed: int, count: int) -> None:
    values = points(seed, count)
    expected = slow.geometric_median(values.tolist())
    torch.testing.assert_close(geometric_median(values), torch.tensor(expected).double(), atol=1e-4, rtol=0)


def test_a_median_that_is_one_of_the_points_is_hit() -> None:
    """The mean of these is the point in the middle, so that the first iterate lies on a point."""
    square = torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    assert geometric_median(square).tolist() == [0, 0]
    wide = torch.tensor([[0.0, 0], [0, 0], [0, 0], [9, 1], [-1, 5]])  # three of five points are the median
    torch.testing.assert_close(geometric_median(wide), torch.zeros(2), atol=1e-5, rtol=0)


def test_an_iterate_that_hits_another_point_goes_on() -> None:
    """The mean lies on the point at 0, and the median elsewhere: Weiszfeld's own iteration would stop."""
    values = torch.tensor([[0.0, 0], [6, 0], [-2, 1], [-2, -1], [-2, 0]], dtype=torch.float64)
    assert values.mean(0).tolist() == [0, 0]
    expected = slow.geometric_median(values.tolist())
    assert expected[0] < -1
    torch.testing.assert_close(geometric_median(values), torch.tensor(expected).double(), atol=1e-4, rtol=0)


def test_few_odd_arrays_move_the_mean_and_not_the_median() -> None:
    arrays = torch.cat(
        [0.01 * torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0)), torch.full((2, 3, 4), 9)]
    )
    assert float(mean_template(arrays).mean()) == pytest.approx(2, abs=0.01)
    assert float(geometric_median(arrays).abs().max()) < 0.05
    assert geometric_median(arrays).shape == (3, 4)
    assert geometric_median(arrays).dtype == torch.float32


def test_the_mean_and_the_median_of_each_element() -> None:
    arrays = torch.tensor([[0.0, 10], [1, 0], [5, 2], [2, 4]])
    assert mean_template(arrays).tolist() == [2, 4]
    assert median_template(arrays).tolist() == [1.5, 3]
    assert geometric_median(arrays[:1]).tolist() == [0, 10]
    same = torch.full((3, 2), 0.3)
    torch.testing.assert_close(geometric_median(same), same[0])


@pytest.mark.parametrize(
    "bad", [torch.ones(3), torch.ones(0, 2), torch.tensor([[1.0, float("nan")]]), torch.ones(2, 2).int()]
)
def test_what_is_no_stack_of_numbers_is_refused(bad: torch.Tensor) -> None:
    with pytest.raises(SalignError, match="arrays: expected"):
        geometric_median(bad)
