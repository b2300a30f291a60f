from __future__ import annotations

import numpy as np
import pytest
import torch

from salign.errors import SalignError
from salign.maps import SaliencyMap


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 255], [51, 102]], np.uint8), [[0, 1], [0.2, 0.4]]),
        (np.array([[0, 65535], [13107, 26214]], np.uint16), [[0, 1], [0.2, 0.4]]),
        (np.array([[False, True]]), [[0, 1]]),
        (np.array([[0.25, 0.5]], np.float64), [[0.25, 0.5]]),
        (torch.tensor([[0.25, 0.5]], dtype=torch.float16), [[0.25, 0.5]]),
        (np.arange(6, dtype=np.uint8).reshape(2, 3).T, [[0, 3 / 255], [1 / 255, 4 / 255], [2 / 255, 5 / 255]]),
    ],
)
def test_from_array_scales_by_the_full_range_of_the_type(array, expected):
    made = SaliencyMap.from_array(array, "human:anna")
    torch.testing.assert_close(made.values, torch.tensor(expected, dtype=torch.float32))
    assert made.values.is_contiguous()
    assert made.provenance == "human:anna"


def test_the_map_does_not_share_memory_with_integers_nor_change_them():
    array = np.full((2, 2), 255, np.uint8)
    made = SaliencyMap.from_array(array)
    array[:] = 0
    assert made.values.min() == 1


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (torch.zeros(3), "shape"),
        (torch.zeros(1, 3, 3), "shape"),
        (torch.zeros(0, 3), "shape"),
        (torch.zeros(2, 2, dtype=torch.float64), "from_array"),
        (torch.tensor([[0.0, float("nan")]]), "finite"),
        (torch.tensor([[0.0, float("inf")]]), "finite"),
        (torch.tensor([[-0.1, 0.5]]), r"-0.1 to 0.5"),
        (torch.tensor([[0.0, 255.0]]), r"0 to 255"),
    ],
)
def test_what_is_not_a_map_is_refused(values, complaint):
    with pytest.raises(SalignError, match=complaint):
        SaliencyMap(values)


def test_integers_of_unknown_range_are_refused():
    with pytest.raises(SalignError, match="int64"):
        SaliencyMap.from_array(np.array([[0, 1]]))


@pytest.mark.parametrize("provenance", ["human:", "human", "gaze", "model:", ""])
def test_unknown_provenance_is_refused(provenance):
    with pytest.raises(SalignError, match="provenance"):
        SaliencyMap(torch.zeros(2, 2), provenance)


@pytest.mark.parametrize("provenance", ["human:reader 3", "model:rise", "mask", "unknown"])
def test_known_provenance_is_kept(provenance):
    assert SaliencyMap(torch.zeros(2, 2), provenance).provenance == provenance
