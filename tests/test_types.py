"""`Output.cam` against loops, explicit autograd and a float64 version that gradcheck has passed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from references.cam import head_gradient_cam, linear_cam
from salign.types import Output

B, C, K, SIZE = 3, 5, 4, (2, 3)
CLASSES = torch.tensor([2, 0, 3])
PAIRS = torch.tensor([[2, 1], [0, 3], [3, 3]])


class Pooled(nn.Module):
    """Mean over cells, then linear."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(C, K)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(features.mean((2, 3)))


class Curved(nn.Module):
    """A head with a norm and a nonlinearity, as ConvNeXt's and MobileNetV3's."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.hidden, self.fc = nn.LayerNorm(C), nn.Linear(C, 7), nn.Linear(7, K)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.hidden(self.norm(features.mean((2, 3))))))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def make(head: nn.Module, features: Tensor, *, linear: bool) -> Output:
    return Output(head(features), features, head, head.fc.weight if linear else None)


def random_features(*, requires_grad: bool = False) -> Tensor:
    return torch.randn(B, C, *SIZE).requires_grad_(requires_grad)


def test_linear_cam_of_one_class_each_equals_four_loops() -> None:
    output = make(Pooled(), random_features(), linear=True)
    expected = linear_cam(output.features.numpy(), output.weight.detach().numpy(), CLASSES.tolist())
    assert torch.allclose(output.cam(CLASSES).double(), torch.from_numpy(expected), atol=1e-6)


@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_several_classes_are_the_single_ones_side_by_side(head: type[nn.Module], linear: bool) -> None:
    output = make(head(), random_features(), linear=linear)
    expected = torch.stack([output.cam(PAIRS[:, 0]), output.cam(PAIRS[:, 1])], 1)
    assert torch.allclose(output.cam(PAIRS), expected, atol=1e-6)


@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_coefficients_weigh_the_maps_of_the_classes(head: type[nn.Module], linear: bool) -> None:
    output = make(head(), random_features(), linear=linear)
    coefficients = torch.randn(B, K)
    every = output.cam(torch.arange(K).expand(B, -1))
    assert torch.allclose(output.cam(coefficients), torch.einsum("bk,bkhw->bhw", coefficients, every), atol=1e-5)


def test_head_gradient_cam_equals_a_backward_pass_per_image() -> None:
    output = make(Curved(), random_features(), linear=False)
    expected = SIZE[0] * SIZE[1] * head_gradient_cam(output.head, output.features, CLASSES.tolist())
    assert torch.allclose(output.cam(CLASSES), expected, atol=1e-6)


def test_head_gradient_cam_of_a_linear_head_is_the_linear_cam() -> None:
    head, features = Pooled(), random_features()
    linear, gradient = make(head, features, linear=True), make(head, features, linear=False)
    assert torch.allclose(linear.cam(CLASSES), gradient.cam(CLASSES), atol=1e-6)


def _float64_linear(features: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("bc,bchw->bhw", weight[CLASSES], features)


def _float64_curved(head: Curved, features: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(head(features).gather(1, CLASSES[:, None]).sum(), features, create_graph=True)
    return (gradient * features).sum(1) * features.shape[2] * features.shape[3]


def test_linear_gradients_equal_those_gradcheck_has_passed() -> None:
    head, features = Pooled(), random_features(requires_grad=True)
    doubles = (features.detach().double().requires_grad_(), head.fc.weight.detach().double().requires_grad_())
    assert torch.autograd.gradcheck(_float64_linear, doubles)
    weighting = torch.randn(B, *SIZE)
    got = torch.autograd.grad(
        (make(head, features, linear=True).cam(CLASSES) * weighting).sum(), (features, head.fc.weight)
    )
    expected = torch.autograd.grad((_float64_linear(*doubles) * weighting).sum(), doubles)
    for mine, reference in zip(got, expected, strict=True):
        assert torch.allclose(mine.double(), reference, atol=1e-5)
        assert mine.abs().max() > 0.1


def test_head_gradient_gradients_equal_those_gradcheck_has_passed() -> None:
    head, features = Curved(), random_features(requires_grad=True)
    twin = Curved().double()
    twin.load_state_dict(head.state_dict())
    double = features.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _float64_curved(twin, x), (double,))
    weighting = torch.randn(B, *SIZE)
    got = torch.autograd.grad(
        (make(head, features, linear=False).cam(CLASSES) * weighting).sum(), (features, head.fc.weight)
    )
    expected = torch.autograd.grad((_float64_curved(twin, double) * weighting).sum(), (double, twin.fc.weight))
    for mine, reference in zip(got, expected, strict=True):
        assert torch.allclose(mine.double(), reference, atol=1e-5)
        assert mine.abs().max() > 0.01


@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_a_map_of_frozen_features_still_teaches_the_head(head: type[nn.Module], linear: bool) -> None:
    module = head()
    make(module, random_features(), linear=linear).cam(CLASSES).square().sum().backward()
    assert module.fc.weight.grad is not None
    assert module.fc.weight.grad.abs().max() > 1e-3


@pytest.mark.parametrize("asked", [CLASSES, PAIRS, torch.randn(B, K)], ids=["one", "several", "coefficients"])
@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_inference_mode_gives_the_same_map_without_a_graph(head: type[nn.Module], linear: bool, asked: Tensor) -> None:
    module, features = head(), random_features()
    with torch.inference_mode():
        quiet = make(module, features.clone(), linear=linear).cam(asked.clone())
    learning = make(module, features.requires_grad_(), linear=linear).cam(asked)
    assert learning.requires_grad
    assert not quiet.requires_grad
    assert torch.equal(quiet, learning.detach())


@pytest.mark.parametrize("asked", [CLASSES, PAIRS, torch.randn(B, K)], ids=["one", "several", "coefficients"])
@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_an_answer_of_inference_mode_may_be_asked_for_its_map_later(
    head: type[nn.Module], linear: bool, asked: Tensor
) -> None:
    module, features = head(), random_features()
    expected = make(module, features, linear=linear).cam(asked).detach()
    with torch.inference_mode():
        output = make(module, features.clone(), linear=linear)
    cam = output.cam(asked)
    assert not cam.requires_grad
    assert torch.equal(cam, expected)


@pytest.mark.parametrize("asked", [CLASSES, PAIRS, torch.randn(B, K)], ids=["one", "several", "coefficients"])
@pytest.mark.parametrize(("head", "linear"), [(Pooled, True), (Curved, False)])
def test_bfloat16_autocast_does_not_reach_the_map(head: type[nn.Module], linear: bool, asked: Tensor) -> None:
    module, features = head(), random_features(requires_grad=True)
    expected = make(module, features, linear=linear).cam(asked)
    with torch.autocast("cpu", torch.bfloat16):
        output = make(module, features, linear=linear)
        cam = output.cam(asked)
    assert output.logits.dtype == torch.bfloat16
    assert cam.dtype == torch.float32
    assert torch.equal(cam, expected)


def test_bfloat16_features_give_the_float32_map_of_the_same_features() -> None:
    features = random_features().bfloat16()
    head = Pooled()
    output = Output(torch.zeros(B, K), features, head, head.fc.weight)
    expected = linear_cam(features.float().numpy(), head.fc.weight.detach().numpy(), CLASSES.tolist())
    assert torch.allclose(output.cam(CLASSES).double(), torch.from_numpy(expected), atol=1e-6)


def test_channels_last_features_give_the_same_map() -> None:
    head, features = Pooled(), random_features()
    last = features.contiguous(memory_format=torch.channels_last)
    expected = make(head, features, linear=True).cam(PAIRS)
    assert torch.allclose(make(head, last, linear=True).cam(PAIRS), expected, atol=1e-6)
