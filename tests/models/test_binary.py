"""That the layers of one bit are their formulas, and that the networks are networks of timm as all others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from salign.models import Backbone
from salign.models.binary import STAGES, BinaryConv2d, BinaryUnit, binary_weight, sign


def quadratic(x: float) -> float:
    """The piecewise quadratic function of Bi-Real Net, eq. 7, whose derivative stands for that of the sign."""
    if x < -1:
        return -1.0
    if x < 0:
        return 2 * x + x * x
    if x < 1:
        return 2 * x - x * x
    return 1.0


POINTS = [-3.0, -1.5, -1.0, -0.75, -0.5, -0.1, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 1.1, 4.0]


def test_the_sign_is_one_bit_and_its_gradient_that_of_the_quadratic_function() -> None:
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    y = sign(x)
    assert y.tolist() == [-1.0 if value < 0 else 1.0 for value in POINTS]
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    exact = [2 + 2 * v if -1 <= v < 0 else 2 - 2 * v if 0 <= v < 1 else 0.0 for v in POINTS]
    assert gradient.tolist() == pytest.approx(exact, abs=1e-15)
    step = 1e-6
    numeric = [(quadratic(v + step) - quadratic(v - step)) / (2 * step) for v in POINTS]
    assert gradient.tolist() == pytest.approx(numeric, abs=1e-5)
    inner = [index for index, v in enumerate(POINTS) if 0 < abs(v) < 1]
    (second,) = torch.autograd.grad(gradient[inner].sum(), x)  # what losses on the gradient of the image need
    assert [second[index] for index in inner] == [-2.0 if POINTS[index] > 0 else 2.0 for index in inner]
    with torch.no_grad():
        assert torch.equal(sign(x), y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_sign_is_exact_in_every_format(dtype: torch.dtype) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    assert set(sign(x).tolist()) == {-1.0, 1.0}
    assert sign(x).dtype == dtype


def test_a_filter_has_one_magnitude_and_the_gradient_passes_within_one() -> None:
    weight = torch.tensor([[0.5, -0.25, 0.0], [2.0, -0.5, -3.5]], dtype=torch.float64)[
        :, :, None, None
    ].requires_grad_()
    binary = binary_weight(weight)
    assert binary.flatten(1).tolist() == [[0.25, -0.25, 0.25], [2.0, -2.0, -2.0]]
    grad = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)[:, :, None, None]
    binary.backward(grad)
    assert weight.grad is not None
    assert weight.grad.flatten(1).tolist() == [[1.0, 2.0, 3.0], [0.0, 5.0, 0.0]]


def by_loops(unit: BinaryUnit, x: np.ndarray, *, kernel: int, stride: int, dilation: int) -> np.ndarray:
    """A unit in training mode, number by number."""
    state = {name: value.detach().numpy() for name, value in unit.state_dict().items()}
    images, channels, height, width = x.shape
    weight = state["conv.weight"]
    filters, tall, wide = len(weight), math.ceil(height / stride), math.ceil(width / stride)
    y = np.zeros((images, filters, tall, wide))
    for n, f, i, j in np.ndindex(y.shape):
        scale = np.abs(weight[f]).mean()
        for c, a, b in np.ndindex(channels, kernel, kernel):
            row = i * stride + (a - kernel // 2) * dilation
            column = j * stride + (b - kernel // 2) * dilation
            if 0 <= row < height and 0 <= column < width:
                bit = 1 if x[n, c, row, column] + state["shift.bias"][c] >= 0 else -1
                y[n, f, i, j] += bit * scale * (1 if weight[f, c, a, b] >= 0 else -1)
    mean, variance = y.mean((0, 2, 3), keepdims=True), y.var((0, 2, 3), keepdims=True)
    norm = (y - mean) / np.sqrt(variance + 1e-5)
    norm = norm * state["norm.weight"][:, None, None] + state["norm.bias"][:, None, None]
    for n, f, i, j in np.ndindex(y.shape):
        cell = x[n, f % channels, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        moved = norm[n, f, i, j] + cell.mean() + state["act.0.bias"][f]
        y[n, f, i, j] = (moved if moved > 0 else state["act.1.weight"][f] * moved) + state["act.2.bias"][f]
    return y


@pytest.mark.parametrize(
    ("channels", "width", "kernel", "stride", "dilation"),
    [(2, 2, 3, 1, 1), (2, 2, 3, 2, 1), (2, 2, 3, 1, 2), (2, 4, 1, 1, 1)],
)
def test_a_unit_is_its_formula(channels: int, width: int, kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    unit = BinaryUnit(channels, width, kernel, stride, dilation).double()
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.normal_()
    images = torch.randn(2, channels, 5, 4, dtype=torch.float64)
    expected = by_loops(unit, images.numpy(), kernel=kernel, stride=stride, dilation=dilation)
    np.testing.assert_allclose(unit(images).detach().numpy(), expected, atol=1e-10)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("reactnet_025", 3, image_size=(64, 64), output_stride=8)


def test_first_and_last_layer_are_real_and_all_between_is_binary(backbone: Backbone) -> None:
    layers = {
        name: type(part) for name, part in backbone.net.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)
    }
    first, *between, last = layers
    assert (layers[first], layers[last]) == (nn.Conv2d, nn.Linear)
    assert {layers[name] for name in between} == {BinaryConv2d}
    assert len(between) == 2 * sum(map(len, STAGES))  # 13 blocks of two


def test_weights_start_symmetric_about_zero(backbone: Backbone) -> None:
    """The public code of S2-BNN draws those of its second step from [0, .001), so that every bit begins as +1."""
    binary = [part.weight.detach() for part in backbone.net.modules() if isinstance(part, BinaryConv2d)]
    assert sum(weight.numel() for weight in binary) > 1_000_000
    for weight in binary:
        spread = 0.5 / math.sqrt(weight.numel())
        assert (weight > 0).double().mean() == pytest.approx(0.5, abs=4 * spread)
        assert weight.mean() == pytest.approx(0, abs=4 * float(weight.std()) / math.sqrt(weight.numel()))


def test_steps_with_real_and_with_binary_weights_share_their_names(backbone: Backbone) -> None:
    first = timm.create_model("reactnet_025", num_classes=3, binary_weights=False)
    missing = first.load_state_dict(backbone.net.state_dict())
    assert not missing.missing_keys
    assert not missing.unexpected_keys
    images = torch.rand(2, 3, 64, 64)
    pixels = images.clone().requires_grad_()
    assert not torch.equal(first.eval()(pixels), backbone.net.eval()(images))


def test_its_map_is_proved_and_as_fine_as_asked(backbone: Backbone) -> None:
    assert (backbone.cam_kind, backbone.grid, backbone.channels) == ("linear", (8, 8), 256)
    images = torch.rand(2, 3, 64, 64)
    output = backbone.eval()(images)
    maps = output.cam(torch.arange(3).expand(2, -1))
    bias: Tensor = backbone.net.get_classifier().bias
    torch.testing.assert_close(maps.mean((2, 3)) + bias, output.logits)
    torch.testing.assert_close(output.logits, backbone.net(images))


def test_timm_knows_it() -> None:
    assert timm.list_models("reactnet*") == ["reactnet_012", "reactnet_025", "reactnet_050", "reactnet_100"]
    net = timm.create_model("reactnet_025", features_only=True, output_stride=16)
    shapes = [tuple(level.shape[1:]) for level in net(torch.rand(1, 3, 64, 96))]
    assert shapes == [(16, 32, 48), (32, 16, 24), (64, 8, 12), (128, 4, 6), (256, 4, 6)]
    assert net.feature_info.reduction() == [2, 4, 8, 16, 16]
    net = timm.create_model("reactnet_025", num_classes=0)
    assert net.forward_head(net.forward_features(torch.rand(1, 3, 64, 64))).shape == (1, 256)
    net.reset_classifier(7)
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 7)
    with pytest.raises(ValueError, match="output_stride is 8, 16 or 32; got 4"):
        timm.create_model("reactnet_025", output_stride=4)
