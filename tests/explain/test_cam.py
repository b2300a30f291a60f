"""CAM and Grad-CAM against their definitions and the grad-cam package, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from references.cam import linear_cam
from salign.explain import EXPLAINERS, cam, grad_cam, grad_cam_of, rise
from salign.types import Output


class Tiny(nn.Module):
    """A small timm network returning Output; `deep` puts a non-linear head on the spatial mean."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = timm.create_model("test_resnet", num_classes=3)
        self.deep = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)) if deep else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):  # statistics that matter, so that evaluation mode matters
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
        self.forwards = 0

    def head(self, features: Tensor) -> Tensor:
        return self.deep(self.backbone.forward_head(features))

    def forward(self, images: Tensor) -> Output:
        self.forwards += 1
        features = self.backbone.forward_features(images)
        linear = isinstance(self.deep, nn.Identity)
        return Output(self.head(features), features, self.head, self.backbone.fc.weight if linear else None)


class Logits(nn.Module):
    """The same network as the grad-cam package wants it."""

    def __init__(self, model: Tiny) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


# Coarse patches, so that places differ after the pooling.
IMAGES = (
    torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(1)).repeat_interleave(32, 2).repeat_interleave(32, 3)
)
CLASSES = torch.tensor([0, 2, 1, 1, 0])


def by_rise(model: Callable[[Tensor], Output], images: Tensor, classes: Tensor) -> Tensor:
    return rise(model, images, classes, masks=4, generator=torch.Generator().manual_seed(0))


def test_cam_is_the_weighted_sum_of_features() -> None:
    model = Tiny().eval()
    output = model(IMAGES)
    weight = model.backbone.fc.weight
    expected = linear_cam(output.features.detach().numpy(), weight.detach().numpy(), CLASSES.tolist())
    found = cam(model, IMAGES, CLASSES)
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-4)
    logits = found.mean((1, 2)) + model.backbone.fc.bias[CLASSES]
    torch.testing.assert_close(logits, output.logits.gather(1, CLASSES[:, None])[:, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("deep", [False, True])
def test_grad_cam_equals_the_grad_cam_package(deep: bool) -> None:
    model = Tiny(deep).eval()
    layer = model.backbone.layer4[-1]
    targets = [ClassifierOutputTarget(int(k)) for k in CLASSES]
    with GradCAM(Logits(model), [layer]) as other:
        scaled = other(IMAGES, targets)
        kept = other.activations_and_grads
        raw = other.get_cam_image(IMAGES, layer, targets, kept.activations[0].numpy(), kept.gradients[0].numpy())
    found = grad_cam(model, IMAGES, CLASSES)
    assert (found.amax((1, 2)) > 0).sum() >= 2
    torch.testing.assert_close(found, torch.from_numpy(raw).relu(), atol=1e-7, rtol=1e-5)
    # The package scales before and after enlarging.
    again = scale_cam_image(scale_cam_image(found.numpy(), (128, 128)))
    torch.testing.assert_close(torch.from_numpy(again), torch.from_numpy(scaled), atol=1e-3, rtol=0)


def test_grad_cam_by_its_definition() -> None:
    """Equations 1 and 2, one image at a time, on a head that is not linear."""
    model = Tiny(deep=True).eval()
    for image, wanted, found in zip(IMAGES, CLASSES, grad_cam(model, IMAGES, CLASSES), strict=True):
        features = model(image[None]).features.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model.head(features)[0, wanted], features)
        expected = torch.zeros(features.shape[2:])
        for channel in range(features.shape[1]):
            expected += slope[0, channel].mean() * features[0, channel].detach()
        torch.testing.assert_close(found, expected.clamp(min=0), atol=1e-6, rtol=1e-4)


def test_grad_cam_of_a_linear_head_is_the_positive_part_of_cam() -> None:
    model = Tiny()
    maps = cam(model, IMAGES, CLASSES)
    torch.testing.assert_close(grad_cam(model, IMAGES, CLASSES), maps.relu() / maps[0].numel(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("explain", [cam, grad_cam, by_rise])
@pytest.mark.parametrize("deep", [False, True])
def test_explaining_leaves_no_trace(explain: Callable[..., Tensor], deep: bool) -> None:
    model = Tiny(deep).train()
    model.backbone.layer2.eval()  # a part kept in another mode, as when freezing
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = explain(model, IMAGES, CLASSES)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert not found.requires_grad
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, explain(model.eval(), IMAGES, CLASSES))


def test_the_mode_comes_back_after_an_error() -> None:
    model = Tiny().train()
    with pytest.raises(RuntimeError):
        cam(model, torch.rand(1, 3, 64, 64).double(), CLASSES[:1])
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("explain", [cam, grad_cam])
@pytest.mark.parametrize("deep", [False, True])
def test_one_forward_and_the_same_maps_under_inference_mode(explain: Callable[..., Tensor], deep: bool) -> None:
    model = Tiny(deep).eval()
    expected = explain(model, IMAGES, CLASSES)
    assert model.forwards == 1
    with torch.inference_mode():
        found = explain(model, IMAGES.clone(), CLASSES.clone())
        assert model.forwards == 2
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(grad_cam_of(model(IMAGES), CLASSES), grad_cam(model, IMAGES, CLASSES))
    assert torch.is_grad_enabled()


def test_cam_of_several_classes_and_any_callable() -> None:
    model = Tiny().eval()
    both = cam(lambda images: model(images), IMAGES, torch.stack([CLASSES, (CLASSES + 1) % 3], 1))
    torch.testing.assert_close(both[:, 1], cam(model, IMAGES, (CLASSES + 1) % 3))


def test_the_table_names_every_explainer() -> None:
    assert {"cam": cam, "grad_cam": grad_cam, "rise": rise} == EXPLAINERS
