"""The head of a frozen network: cached features give the weights that images give, in a fraction of the time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from half_maps import half, manifest_of
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.losses import LOSSES
from salign.models import Classifier
from salign.train.callbacks import KeepBest
from salign.train.features import FeatureDataset, HeadOnly, cached
from salign.train.module import Training
from salign.train.recipe import TrainRecipe
from salign.train.tasks import Classification
from salign.train.trainer import run_trainer, training_options

SIZE = 32


@pytest.fixture
def data(tmp_path: Path) -> SaliencyDataset:
    maps = [half(24, 32)] * 4 + [None] + [half(24, 32)] * 2
    manifest = manifest_of(tmp_path, maps, labels=list("aabbabb"))
    return SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))


def make_task(loss: str, trainable: Any = "head", **options: Any) -> Classification:
    args = {"zero_init_last": False}
    classifier = Classifier("test_resnet", ("a", "b"), image_size=SIZE, output_stride=8, args=args, seed=1)
    return Classification(classifier, LOSSES[loss](**options), trainable)


def trained(task: Classification, folder: Path, train: SaliencyDataset, val: SaliencyDataset) -> dict[str, Tensor]:
    folder.mkdir()
    options = TrainRecipe(epochs=4, batch_size=3, lr=0.5, precision="float32", memory_format="contiguous")
    module = Training(task, **training_options(options, 0))
    loaders = SaliencyDataModule(train=train, val=val, batch_size=3, workers=0, seed=0)
    run_trainer(
        module, loaders, KeepBest(folder, task.network, monitor="val/auroc", ties="last"), folder, options, "cpu",
        progress=False,
    )  # fmt: skip
    return Classifier.load(folder).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ce", "cyborg"])
def test_the_weights_are_those_without_the_cache(tmp_path: Path, data: SaliencyDataset, loss: str) -> None:
    plain = trained(make_task(loss), tmp_path / "plain", data, data)
    task, said = make_task(loss), []
    given = task.cache(data, data, [], tmp_path / "features", said.append, device="cpu", workers=0)
    assert all(isinstance(part, FeatureDataset) for part in given)
    fast = trained(task, tmp_path / "fast", *given)
    begun = make_task(loss).network.state_dict()
    for name, value in plain.items():
        assert (value - fast[name]).abs().max() <= 1e-6, name
        assert torch.equal(value, begun[name]) == ("net.fc." not in name), name
    assert said == [
        f"  only the head learns: the features of each image are computed once, into {tmp_path / 'features'}"
    ]


def test_a_batch_of_features_has_what_the_batch_of_images_has(tmp_path: Path, data: SaliencyDataset) -> None:
    task = make_task("cyborg")
    network = task.network.eval()
    assert isinstance(network, Classifier)
    data.targets = np.random.default_rng(0).random((7, 2), dtype=np.float32)
    fast = cached(network, data, tmp_path / "f", maps=True, device="cpu", workers=0)
    keys = [(4, 1), (0, 2), (6, 3)]
    images, features = data.batch(keys), fast.batch(keys)
    expected = network(images.images)
    got = HeadOnly(network)(features.images)
    torch.testing.assert_close(got.logits, expected.logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(got.cam(images.labels), expected.cam(images.labels), rtol=0, atol=1e-6)
    for name in ("labels", "saliency", "annotated", "index", "targets"):
        assert torch.equal(getattr(features, name), getattr(images, name)), name
    assert features.seconds is not None
    assert features.seconds.isnan().all()
    assert isinstance(fast.features, np.memmap)
    assert isinstance(fast.saliency, np.memmap)


def test_features_are_found_by_weights_images_and_size(
    tmp_path: Path, data: SaliencyDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files(network: Classifier, dataset: SaliencyDataset) -> set[str]:
        cached(network, dataset, tmp_path / "f", maps=False, device="cpu", workers=0)
        return {path.name for path in (tmp_path / "f").iterdir()}

    network = make_task("ce").network
    assert isinstance(network, Classifier)
    first = files(network, data)
    assert len(first) == 1
    network.backbone.net.fc.weight.data += 1  # the head is not in the features
    with monkeypatch.context() as patch:
        patch.setattr("salign.train.features._compute", None)  # nothing is computed again
        assert files(network, data) == first
    assert len(files(network, data.take([1, 0, 2]))) == 2
    network.backbone.net.layer4[0].bn1.running_mean += 1
    assert len(files(network, data)) == 3


@pytest.mark.parametrize(
    ("loss", "augment", "steps", "reason"),
    [
        ("ce", "flip", [], "data.augment changes the images"),
        ("ce", "none", ["a step"], "steps change the images"),
        ("swap", "none", [], r"the loss needs the images \(second_view\)"),
        ("rrr", "none", [], r"the loss needs the images \(input_gradient\)"),
    ],
)
def test_images_that_change_are_passed_through_the_network_and_the_user_is_told(
    tmp_path: Path, data: SaliencyDataset, loss: str, augment: str, steps: list[Any], reason: str
) -> None:
    said: list[str] = []
    train = data.with_transform(build_transform(SIZE, augment))
    given = make_task(loss).cache(train, data, steps, tmp_path / "f", said.append, device="cpu", workers=0)
    assert given == (train, data)
    assert len(said) == 1
    assert said[0] == f"  features are computed anew in each epoch: {reason}".replace("\\", "")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_nothing_is_cached_where_more_than_the_head_learns(
    tmp_path: Path, data: SaliencyDataset, trainable: Any
) -> None:
    given = make_task("ce", trainable).cache(data, data, [], tmp_path, print, device="cpu", workers=0)
    assert given == (data, data)


def test_dropout_of_the_head_is_off_in_validation(tmp_path: Path, data: SaliencyDataset) -> None:
    args = {"zero_init_last": False, "drop_rate": 0.5}
    classifier = Classifier("test_resnet", ("a", "b"), image_size=SIZE, args=args, seed=1)
    head = HeadOnly(classifier)
    with torch.inference_mode():
        features = classifier.eval()(data[0].images[None]).features.repeat(64, 1, 1, 1)
        head.train()
        assert head(features).logits.std(0).max() > 1e-3
        head.eval()
        assert head(features).logits.std(0).max() < 1e-6


def test_the_folder_holds_so_many_bytes_and_what_was_used_longest_ago_goes_first(
    tmp_path: Path, data: SaliencyDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, folder = make_task("ce").network, tmp_path / "f"
    assert isinstance(network, Classifier)

    def features(rows: list[int]) -> FeatureDataset:
        return cached(network, data.take(rows), folder, maps=False, device="cpu", workers=0)

    open_file = features([0, 1]).features
    before = np.array(open_file)
    (first,) = folder.iterdir()
    size = first.stat().st_size
    features([1, 2])
    (second,) = set(folder.iterdir()) - {first}
    for age, file in enumerate((first, second)):
        os.utime(file, (1000 + age, 1000 + age))
    half_written, being_written = folder / ".0123456789abcdef.1.partial", folder / ".0123456789abcdef.2.partial"
    for partial in (half_written, being_written):
        partial.write_bytes(b"half")
    os.utime(half_written, (1000, 1000))
    features([0, 1])  # used again, and so the second is the one that was used longest ago
    assert {first, second, being_written, half_written} == set(folder.iterdir())
    monkeypatch.setattr("salign.train.features.MOST_CACHED", 2 * size)
    features([2, 3])
    assert not second.exists()
    assert not half_written.exists()
    assert {first, being_written} < set(folder.iterdir())
    monkeypatch.setattr("salign.train.features.MOST_CACHED", 1)
    features([3, 4])
    assert len(list(folder.glob("*.npy"))) == 1
    assert np.array_equal(open_file, before), "what is deleted is still read by whoever has it open"
