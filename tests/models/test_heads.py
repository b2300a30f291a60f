"""What a new head starts from: the documented spread in every kind of head, and timm's own, bit for bit, if asked."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from salign.errors import SalignError
from salign.models import Classifier, wrap
from salign.models.heads import draw_small_head

AVERAGE = {"global_pool": "avg"}


def named(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def state(**options: Any) -> dict[str, Tensor]:
    settings = {"backbone": "test_efficientnet", "classes": ["a", "b"], "image_size": 64, "seed": 3, **options}
    return Classifier(**settings).backbone.net.state_dict()


def test_weights_are_uniform_within_one_over_the_root_of_the_features_and_biases_zero() -> None:
    drawn = state(classes=named(40))
    weight = drawn["classifier.weight"]  # 40 x 256
    assert weight.shape == (40, 256)
    assert not drawn["classifier.bias"].any()
    assert weight.abs().max() < 1 / 16
    assert weight.abs().max() > 0.99 / 16
    assert weight.std() == pytest.approx(1 / math.sqrt(3 * 256), rel=0.02)
    assert weight.mean() == pytest.approx(0, abs=4 / math.sqrt(3 * 256 * weight.numel()))
    quarters = torch.histc(weight, bins=4, min=-1 / 16, max=1 / 16) / weight.numel()
    assert quarters.tolist() == pytest.approx([0.25] * 4, abs=0.02)
    assert weight.std(0).min() > 0.01  # every feature has its own


def test_the_seed_draws_the_head_and_the_body_is_the_same_with_either_head() -> None:
    small, again, other, timms = state(), state(), state(seed=4), state(head="timm")
    assert torch.equal(small["classifier.weight"], again["classifier.weight"])
    assert not torch.equal(small["classifier.weight"], other["classifier.weight"])
    assert {key for key in small if not torch.equal(small[key], timms[key])} == {"classifier.weight"}


def digest(weight: Tensor) -> str:
    return hashlib.sha256(weight.numpy().tobytes()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("name", "options", "layer", "first", "spread"),
    [
        # Read from the network of seed 3 when there was no other head (commit 0d4fc3f).
        ("test_efficientnet", {}, "classifier", [0.4632336, -0.4342835, 0.3021446], 0.4115104),
        ("test_resnet", {}, "fc", [0.0063373, 0.0971414, 0.0702555], 0.0574581),
        ("test_convnext", {}, "head.fc", [-0.0023312, 0.0267189, 0.0304394], 0.0206026),
        ("test_vit2", {"args": AVERAGE}, "head", [0.0113746, 0.0094662, -0.0227135], 0.0183491),
    ],
)
def test_timms_own_head_is_what_it_was(
    name: str, options: dict[str, Any], layer: str, first: list[float], spread: float
) -> None:
    weight = state(backbone=name, head="timm", **options)[f"{layer}.weight"]
    assert weight.flatten()[:3].tolist() == pytest.approx(first, rel=1e-4)
    assert weight.std().item() == pytest.approx(spread, rel=1e-4)


HEADS = [
    ("test_resnet", {}, ["fc"], []),
    ("test_convnext", {}, ["head.fc"], []),
    ("convnext_atto", {"args": {"head_hidden_size": 24}}, ["head.fc"], ["head.pre_logits.fc"]),  # two layers
    (
        "swin_tiny_patch4_window7_224",
        {"args": {"img_size": 64, "depths": (1, 1, 1, 1), "embed_dim": 24}},
        ["head.fc"],
        [],
    ),
    ("test_vit2", {"args": AVERAGE}, ["head"], []),
    ("test_vit", {"cam": "none", "image_size": 160}, ["head"], []),  # reads a class token
    ("mobilenetv3_small_050", {}, ["classifier"], ["conv_head"]),
    ("resnetv2_50", {"args": {"layers": (1, 1, 1, 1)}}, ["head.fc"], []),  # a 1 x 1 convolution
    (
        "deit_tiny_distilled_patch16_224",
        {"cam": "none", "image_size": 224, "args": {"depth": 1}},
        ["head", "head_dist"],
        [],
    ),
    (
        "levit_128s",
        {"cam": "none", "image_size": 224},
        ["head.linear", "head_dist.linear"],
        ["head.bn"],
    ),  # batch norm first
    (
        "repvit_m0_9",
        {"args": {"embed_dim": (16, 16, 16, 32), "depth": (1, 1, 1, 1)}},
        ["head.head.l", "head.head_dist.l"],
        ["head.head.bn"],
    ),
]


@pytest.mark.parametrize(("name", "options", "drawn", "kept"), HEADS, ids=[case[0] for case in HEADS])
def test_every_kind_of_head(name: str, options: dict[str, Any], drawn: list[str], kept: list[str]) -> None:
    small = state(backbone=name, **options)
    timms = state(backbone=name, head="timm", **options)
    changed = {key.rpartition(".")[0] for key in small if not torch.equal(small[key], timms[key])}
    assert changed == set(drawn)
    for layer in drawn:
        weight = small[f"{layer}.weight"]
        bound = weight[0].numel() ** -0.5
        assert weight.abs().max() < bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)
        assert not small[f"{layer}.bias"].any()
    assert all(f"{layer}.weight" in small for layer in kept)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_first_loss_of_an_efficientnet_is_that_of_no_knowledge(multi_label: bool) -> None:
    """ln K, or ln 2 for each yes or no; with timm's own head it is far from it."""
    images = torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    loss, scale = {}, {}
    for head in ("small", "timm"):
        model = Classifier("test_efficientnet", named(2), image_size=64, head=head, multi_label=multi_label, seed=1)
        with torch.no_grad():
            logits = model.train()(images).logits
        scale[head] = logits.std().item()
        labels = torch.arange(16) % 2
        loss[head] = (
            nn.functional.binary_cross_entropy_with_logits(logits, nn.functional.one_hot(labels, 2).float())
            if multi_label
            else nn.functional.cross_entropy(logits, labels)
        ).item()
    assert loss["small"] == pytest.approx(math.log(2), abs=0.05)
    assert scale["timm"] > 5 * scale["small"]


def test_of_a_block_of_layers_the_last_is_drawn() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 2, bias=False))
            nn.init.ones_(self.block[3].weight)

        def get_classifier(self) -> nn.Module:
            return self.block

    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    draw_small_head(net, 2)
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"block.3.weight"}
    assert net.block[3].weight.abs().max() < 6**-0.5


def test_a_classifier_without_a_linear_layer_is_told_how_to_go_on() -> None:
    net = timm.create_model("test_resnet", num_classes=2)
    with pytest.raises(SalignError, match=r"ResNet: no linear layer of its classifier gives 7 logits.*head = timm"):
        draw_small_head(net, 7)


def test_another_word_for_the_head_is_refused() -> None:
    with pytest.raises(SalignError, match="head: expected small or timm, got 'zero'"):
        state(head="zero")


def test_a_saved_head_comes_back_and_weights_with_a_head_that_fits_win(tmp_path) -> None:
    saved = Classifier("test_resnet", named(3), image_size=64, seed=5)
    saved.save(tmp_path)
    weight = saved.backbone.net.fc.weight
    assert torch.equal(Classifier.load(tmp_path).backbone.net.fc.weight, weight)
    path = str(tmp_path / "weights.safetensors")
    again = Classifier("test_resnet", named(3), image_size=64, weights=path, seed=6)
    assert torch.equal(again.backbone.net.fc.weight, weight)
    other = state(backbone="test_resnet", weights=path, seed=6)  # of two classes: the body alone fits
    fresh = state(backbone="test_resnet", seed=6)
    assert torch.equal(other["fc.weight"], fresh["fc.weight"])
    assert torch.equal(other["layer4.0.conv1.weight"], saved.backbone.net.layer4[0].conv1.weight)
    assert not torch.equal(other["layer4.0.conv1.weight"], fresh["layer4.0.conv1.weight"])


def test_a_network_of_ones_own_keeps_its_head() -> None:
    net = timm.create_model("test_efficientnet", num_classes=2)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    wrap(net, features="bn2", head="classifier", image_size=64)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
