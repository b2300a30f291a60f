from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import references.tensor_ops as slow
from salign.maps import tensor_ops

SIDES = st.integers(1, 7)
SIGNED = arrays(np.float64, st.tuples(SIDES, SIDES), elements=st.floats(-1e3, 1e3, width=32))
POSITIVE = arrays(np.float64, st.tuples(SIDES, SIDES), elements=st.floats(0, 1e3, width=32))
FEW = settings(max_examples=60, deadline=None)


def torched(function, values, *args):
    return function(torch.from_numpy(values), *args).numpy()


@FEW
@given(SIGNED)
def test_min_max_equals_the_slow_version_and_stays_in_range(values):
    scaled = torched(tensor_ops.min_max, values)
    np.testing.assert_allclose(scaled, slow.min_max(values), rtol=1e-12, atol=0)
    assert scaled.min() == 0
    assert scaled.max() == (1 if values.max() > values.min() else 0)


@FEW
@given(POSITIVE)
def test_sum_to_one_equals_the_slow_version(values):
    scaled = torched(tensor_ops.sum_to_one, values)
    np.testing.assert_allclose(scaled, slow.sum_to_one(values), rtol=1e-9)
    assert scaled.sum() == pytest.approx(1 if values.any() else 0)


@FEW
@given(SIGNED, st.integers(1, 7), st.integers(1, 7))
def test_resize_shrinks_by_area_and_grows_bilinearly(values, height, width):
    small = (min(height, values.shape[0]), min(width, values.shape[1]))
    expected = slow.grow(slow.shrink(values, small), (height, width))
    got = torched(tensor_ops.resize, values, (height, width))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * (1 + np.abs(values).max()))


@FEW
@given(POSITIVE, st.integers(1, 20), st.integers(1, 20))
def test_resize_never_leaves_the_range_of_the_map(values, height, width):
    got = torched(tensor_ops.resize, values, (height, width))
    slack = 1e-9 * (1 + values.max())
    assert values.min() - slack <= got.min()
    assert got.max() <= values.max() + slack


def test_shrinking_keeps_the_mean_and_loses_no_single_marked_pixel():
    values = torch.zeros(5, 224, 224, dtype=torch.float64)
    for k in range(5):
        values[k, 13 * k + 1, 40 * k + 3] = 1
    small = tensor_ops.resize(values, (7, 7))
    assert (small.amax((1, 2)) > 0).all()
    torch.testing.assert_close(small.mean((1, 2)), values.mean((1, 2)))


@FEW
@given(SIGNED)
def test_varies_only_where_values_differ(values):
    assert torched(tensor_ops.varies, values) == (len(np.unique(values)) > 1)


@pytest.mark.parametrize("function", [tensor_ops.min_max, tensor_ops.sum_to_one])
def test_each_map_of_a_stack_is_treated_by_itself(function):
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps[1, 2] = 0
    expected = torch.stack([torch.stack([function(one) for one in row]) for row in maps])
    torch.testing.assert_close(function(maps), expected, rtol=0, atol=0)


@pytest.mark.parametrize("function", [tensor_ops.min_max, tensor_ops.sum_to_one])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_map_gives_finite_values_and_gradients_beside_a_normal_one(function, level):
    maps = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(1))
    maps[0] = level
    maps.requires_grad_()
    scaled = function(maps)
    (scaled * torch.arange(16.0).reshape(4, 4)).sum().backward()
    assert torch.isfinite(scaled).all()
    assert torch.isfinite(maps.grad).all()
    if function is tensor_ops.min_max or level == 0:
        assert not scaled[0].any()
        assert not maps.grad[0].any()
    assert maps.grad[1].abs().max() > 0


@pytest.mark.parametrize(
    "function",
    [
        tensor_ops.min_max,
        tensor_ops.sum_to_one,
        lambda maps: tensor_ops.resize(maps, (2, 3)),
        lambda maps: tensor_ops.resize(maps, (9, 7)),
        lambda maps: tensor_ops.resize(maps, (3, 9)),
    ],
)
def test_gradients_are_right(function):
    maps = torch.rand(2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(function, maps)
    assert torch.autograd.gradgradcheck(function, maps)
