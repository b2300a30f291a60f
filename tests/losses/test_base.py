"""The gradient by the image is differentiated again: through batch norm, attention and reduced precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import pixels
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.losses.base import going_back, input_gradient
from salign.models import Classifier
from salign.types import Batch

SIZE = 64
SWIN = {"img_size": SIZE, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}
NETWORKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "batch norm": ("test_resnet", {"zero_init_last": False}, "layer1.0.conv1.weight"),
    "attention": ("test_vit", {"global_pool": "avg", "img_size": SIZE}, "blocks.0.attn.qkv.weight"),
    "windows": ("swin_tiny_patch4_window7_224", SWIN, "layers.0.blocks.0.attn.qkv.weight"),
}
every_network = pytest.mark.parametrize("kind", NETWORKS)
every_loss = pytest.mark.parametrize("name", sorted(name for name in LOSSES if "input_gradient" in LOSSES[name].needs))


def made(kind: str) -> tuple[Classifier, Tensor, Batch]:
    """A network in training mode, one of its inner weights, and a batch."""
    name, args, inner = NETWORKS[kind]
    classifier = Classifier(name, ["a", "b", "c"], image_size=SIZE, args=args).train()
    head = classifier.backbone.net.get_classifier()
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))  # Swin's starts at almost zero
    images = torch.rand(pixels.B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return classifier, classifier.backbone.net.get_parameter(inner), pixels.random_batch()._replace(images=images)


def term(name: str, classifier: Classifier, batch: Batch) -> Tensor:
    """The saliency term alone, with its graph."""
    loss = LOSSES[name]()
    batch = loss.prepare(batch)
    return loss.term(classifier(batch.images), batch)


@every_network
@every_loss
def test_the_slope_of_the_term_is_what_it_changes_by(kind: str, name: str) -> None:
    """In double precision, along a random direction of a weight deep inside, stochastic depth off."""
    classifier, weight, batch = made(kind)
    classifier.double()
    for module in classifier.modules():
        if "Drop" in type(module).__name__:
            module.eval()
    batch = batch._replace(images=batch.images.double())
    direction = torch.randn(weight.shape, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    (slope,) = torch.autograd.grad(term(name, classifier, batch), weight)
    step, ends = 1e-8, []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
        ends.append(term(name, classifier, batch).item())
        with torch.no_grad():
            weight -= sign * step * direction
    expected = (ends[0] - ends[1]) / (2 * step)
    assert abs(expected) > 1e-3
    assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-4)


@every_network
@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_step_trains_every_kind_of_network(kind: str, name: str, dtype: torch.dtype) -> None:
    classifier, weight, batch = made(kind)
    loss = LOSSES[name]()
    optimiser = torch.optim.SGD(classifier.parameters(), lr=1e-3)
    before = weight.detach().clone()
    batch = loss.prepare(batch)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        total = loss(classifier(batch.images), batch).total
    total.backward()
    optimiser.step()
    assert total.dtype == torch.float32
    assert all(torch.isfinite(parameter).all() for parameter in classifier.parameters())
    assert not torch.equal(weight, before)


def test_images_that_record_nothing_may_use_the_fused_kernels() -> None:
    """The plain kernel is for those that will be differentiated twice; both give the same answer."""
    classifier, _, batch = made("attention")
    classifier.eval()
    seen = {}
    for name, images in (("plain", batch.images), ("recording", batch.images.clone().requires_grad_())):
        with torch.profiler.profile() as profile:
            seen[name] = classifier(images).logits
        fused = any("flash_attention" in event.key for event in profile.key_averages())
        assert fused == (name == "plain")
    assert torch.allclose(seen["plain"], seen["recording"], atol=1e-5)


def test_images_that_were_not_prepared_are_refused_with_the_remedy() -> None:
    classifier, _, batch = made("batch norm")
    with pytest.raises(SalignError, match=r"rrr needs .* `batch = loss.prepare\(batch\)` before the forward pass"):
        LOSSES["rrr"]()(classifier(batch.images), batch)
    prepared = LOSSES["rrr"]().prepare(batch)
    with pytest.raises(SalignError, match="mine needs the gradient by the image"):
        input_gradient(classifier(batch.images).logits.detach(), prepared, "mine")


def test_a_network_without_second_derivative_is_named_and_other_errors_stay_what_they_are() -> None:
    classifier = Classifier("mobilenetv3_small_050", ["a", "b", "c"], image_size=32)
    batch = pixels.random_batch()._replace(images=torch.rand(pixels.B, 3, 32, 32))
    total = term("rrr", classifier, batch)
    with (
        pytest.raises(SalignError, match=r"hardsigmoid_backward is not implemented\. Take another backbone"),
        going_back(),
    ):
        total.backward()
    with pytest.raises(RuntimeError, match="does not require grad"), going_back():
        torch.ones(()).backward()
