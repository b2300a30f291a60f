"""Attention rollout against loops over tokens, what it adds up to, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from references import rollout as slow
from salign.errors import SalignError
from salign.explain import rollout
from salign.explain.rollout import attention_of, flow
from salign.models import Classifier


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"img_size": (32, 48), "patch_size": 16, "embed_dim": 12, "depth": 3, "num_heads": 3, "num_classes": 2}
    net = timm.models.VisionTransformer(**{**sizes, **options}).eval()
    for block in net.blocks:  # with timm's initial weights every token attends to all alike
        nn.init.normal_(block.attn.qkv.weight, std=0.7)
    return net


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("options", "prefix"),
    [({}, 1), ({"reg_tokens": 2}, 3), ({"class_token": False, "global_pool": "avg", "qkv_bias": False}, 0)],
    ids=["class token", "registers", "average"],
)
def test_equals_the_product_of_layers_in_loops(options: dict[str, Any], prefix: int) -> None:
    net = build(**options)
    layers = slow.attention(net, pictures())
    found = rollout(net, pictures())
    assert found.shape == (2, 2, 3)
    for i, image in enumerate(found):
        whole = slow.rolled([layer[i] for layer in layers])
        row = whole[0] if prefix else whole.mean(0)
        torch.testing.assert_close(image.flatten(), torch.from_numpy(row[prefix:]).float(), atol=1e-5, rtol=1e-4)
        assert row.sum() == pytest.approx(1)
    assert found.flatten(1).std(1).min() > 1e-3


def test_a_class_token_that_attends_to_one_patch_is_half_made_of_it() -> None:
    attends = torch.zeros(1, 1, 4, 4)
    attends[..., 2] = 1
    assert flow([attends])[0, 0].tolist() == [0.5, 0, 0.5, 0]
    assert flow([attends, attends])[0, 0].tolist() == [0.25, 0, 0.75, 0]
    assert torch.equal(flow([torch.eye(4)[None, None]] * 3)[0], torch.eye(4))


def test_inside_a_classifier_the_map_is_that_of_its_network() -> None:
    classifier = Classifier("test_vit", ["a", "b"], image_size=160, args={"global_pool": "avg"})
    images = torch.rand(1, 3, 160, 160)
    expected = rollout(classifier.backbone.net, (images - classifier.mean) / classifier.std)
    assert torch.equal(rollout(classifier, images), expected)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails: bool) -> None:
    net = build().train()
    net.blocks[1].eval()
    net.blocks[0].attn.fused_attn = False
    fused, modes = [b.attn.fused_attn for b in net.blocks], [module.training for module in net.modules()]
    if fails:
        with pytest.raises(RuntimeError):
            rollout(net, torch.rand(1, 3, 32, 48).double())
    else:
        assert not rollout(net, pictures()).requires_grad
    assert [block.attn.fused_attn for block in net.blocks] == fused
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_collecting_attention_does_not_change_the_answer() -> None:
    net = build()
    plain = net(pictures())
    with attention_of(net) as layers:
        torch.testing.assert_close(net(pictures()), plain)
    assert len(layers) == 3
    for layer in layers:
        torch.testing.assert_close(layer.sum(3), torch.ones(2, 3, 7))


def test_networks_without_attention_among_all_tokens_are_refused() -> None:
    with pytest.raises(SalignError, match=r"holds no vision transformer"):
        rollout(timm.create_model("test_resnet"), torch.rand(1, 3, 64, 64))
    net = build()
    net.blocks = net.blocks[:0]
    with pytest.raises(SalignError, match=r"expected attention .*got none"):
        rollout(net, pictures())
