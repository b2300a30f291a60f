from __future__ import annotations

import multiprocessing

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from salign.data.manifest import COLUMNS, Manifest
from salign.data.reading.datamodule import SaliencyDataModule, class_balance, predict_loader, worker_count
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import ImageError
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.types import Batch


def dataset_of(folder, n, augment="none", labels=None):
    rng = np.random.default_rng(1)
    folder.mkdir(exist_ok=True)
    rows = []
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (20, 20), dtype=np.uint8)).save(folder / f"{i}_map.png")
        rows.append((str(i), f"{i}.png", (labels or "ab" * n)[i], "train", f"{i}_map.png" if i % 3 else None, i / 4))
    manifest = Manifest.of(pd.DataFrame(rows, columns=[*COLUMNS, "time"]), folder, "m.csv")
    return SaliencyDataset(manifest, ("a", "b"), build_transform(16, augment), seconds_column="time")


def module(dataset, **options):
    return SaliencyDataModule(train=dataset, val=dataset, **{"batch_size": 4, "workers": 0, "seed": 5, **options})


def same(first, second):
    return first is second is None or torch.equal(first, second)


def stacked(loader):
    batches = list(loader)
    assert all(isinstance(batch, Batch) for batch in batches)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in zip(*batches, strict=True)))


def test_validation_gives_every_sample_in_order(tmp_path):
    dataset = dataset_of(tmp_path, 10)
    seen = stacked(module(dataset).val_dataloader())
    assert seen.index.tolist() == list(range(10))
    assert torch.equal(seen.labels, dataset.labels)
    assert torch.equal(seen.annotated, dataset.annotated)
    assert torch.equal(seen.images, torch.stack([dataset[i].images for i in range(10)]))
    assert torch.equal(seen.saliency, torch.stack([dataset[i].saliency for i in range(10)]))
    assert torch.equal(seen.seconds, torch.arange(10) / 4)


@pytest.mark.slow
def test_workers_and_epochs_change_nothing_in_the_stream(tmp_path):
    dataset = dataset_of(tmp_path, 10, "standard")
    alone, helped = module(dataset).train_dataloader(), module(dataset, workers=2).train_dataloader()
    for epoch in (0, 1, 0):
        for loader in (alone, helped):
            loader.sampler.set_epoch(epoch)
        state = torch.get_rng_state()
        first, second = stacked(alone), stacked(helped)
        assert torch.equal(torch.get_rng_state(), state)  # loading draws nothing from the global generator
        assert len(first) == len(second)
        assert all(same(a, b) for a, b in zip(first, second, strict=True))
        assert sorted(first.index.tolist()) == list(range(10))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_of_a_worker_arrives_with_its_own_message(tmp_path, workers):
    dataset = dataset_of(tmp_path, 6)
    (tmp_path / "4.png").write_bytes(b"damaged")
    message = ""
    before = set(multiprocessing.active_children())
    try:
        list(predict_loader(dataset, 2, workers))
    except ImageError as error:
        message = str(error)
    assert set(multiprocessing.active_children()) == before  # they end at once, not with the garbage collector
    assert message.startswith("m.csv row 6 (4.png): the file is damaged")
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 1, [1, 1, 1]), (1, 4, [1])]
)
def test_only_a_single_left_over_image_is_dropped_and_only_in_training(tmp_path, n, batch_size, sizes):
    data = module(dataset_of(tmp_path, n), batch_size=batch_size)
    assert [len(batch.labels) for batch in data.train_dataloader()] == sizes
    assert sum(len(batch.labels) for batch in data.val_dataloader()) == n


def test_balanced_sampling_shows_both_classes_equally_often(tmp_path):
    data = module(dataset_of(tmp_path, 24, labels="a" * 21 + "b" * 3), sampling="balanced")
    loader = data.train_dataloader()
    rare = []
    for epoch in range(12):
        loader.sampler.set_epoch(epoch)
        rare += stacked(loader).labels.tolist()
    assert np.mean(rare) == pytest.approx(0.5, abs=0.1)


def test_balanced_sampling_is_drawn_by_the_seed_and_the_epoch(tmp_path):
    dataset = dataset_of(tmp_path, 24, labels="a" * 21 + "b" * 3)

    def shown(seed, epoch):
        loader = module(dataset, sampling="balanced", seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return list(loader.sampler)

    torch.manual_seed(1)
    first = shown(0, 0)
    torch.manual_seed(2)
    assert shown(0, 0) == first
    assert [shown(0, 1) == first, shown(1, 0) == first] == [False, False]
    assert {position for position, _ in shown(1, 0)} != {position for position, _ in first}


def test_sampling_balances_the_classes_of_training(tmp_path):
    """Training has many of a, validation many of b; were its labels taken, one class would hardly be seen."""
    train = dataset_of(tmp_path / "train", 24, labels="a" * 21 + "b" * 3)
    val = dataset_of(tmp_path / "val", 24, labels="a" * 3 + "b" * 21)
    data = SaliencyDataModule(train=train, val=val, batch_size=24, workers=0, seed=0, sampling="balanced")
    sampler = data.train_dataloader().sampler
    drawn = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        drawn += [int(train.labels[position]) for position, _ in sampler]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.08)


def test_sampling_groups_shows_every_group_equally_often(tmp_path):
    """20 images of a and 4 of b; of each class one is of another place."""
    dataset = dataset_of(tmp_path, 24, labels="a" * 20 + "b" * 4)
    places = ["far" if k in (0, 20) else "near" for k in range(24)]
    dataset.manifest = Manifest.of(dataset.manifest.table.assign(place=places), tmp_path, "m.csv")
    sampler = module(dataset, sampling="groups", groups=["place"]).train_dataloader().sampler
    drawn = []
    for epoch in range(50):
        sampler.set_epoch(epoch)
        drawn += [position for position, _ in sampler]
    shares = [np.mean([low <= k < high for k in drawn]) for low, high in ((0, 1), (1, 20), (20, 21), (21, 24))]
    assert shares == pytest.approx([0.25] * 4, abs=0.05)


def test_class_balance_gives_each_class_the_same_total():
    labels = torch.tensor([2, 0, 0, 0, 2, 0])
    weights = class_balance(labels)
    assert weights[labels == 0].sum() == weights[labels == 2].sum() == 1


class Recorder(pl.LightningModule):
    """Notes what Lightning shows it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown: dict[int, list[int]] = {}

    def training_step(self, batch):
        self.shown.setdefault(self.current_epoch, []).extend(batch.index.tolist())
        return self.weight * batch.images.mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(**options):
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")
    return pl.Trainer(accelerator="cpu", devices=1, **dict.fromkeys(off, False), **options)


@pytest.mark.slow
def test_lightning_moves_the_sampler_from_epoch_to_epoch(tmp_path):
    data, recorder = module(dataset_of(tmp_path, 8)), Recorder()
    trainer(max_epochs=3).fit(recorder, datamodule=data)
    loader = module(data.train).train_dataloader()
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        assert recorder.shown[epoch] == stacked(loader).index.tolist()
    assert recorder.shown[0] != recorder.shown[1]


@pytest.mark.slow
def test_an_error_of_a_worker_passes_through_lightning_unchanged(tmp_path):
    data = module(dataset_of(tmp_path, 8), workers=1)
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"^m\.csv row 5 \(3\.png\): the file is empty"):
        trainer(max_epochs=1).fit(Recorder(), datamodule=data)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sampling": "even"}, "expected natural, balanced or groups"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"workers": "many"}, "workers"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, options, complaint):
    with pytest.raises(SalignError, match=complaint):
        module(dataset_of(tmp_path, 2), **options).train_dataloader()


def test_training_without_labels_is_refused(tmp_path):
    dataset = dataset_of(tmp_path, 2)
    table = dataset.manifest.table.assign(label=pd.array(["a", pd.NA], dtype="string"))
    unlabelled = SaliencyDataset(Manifest(table, tmp_path, "m.csv"), ("a", "b"), dataset.transform)
    with pytest.raises(SalignError, match="training set needs"):
        SaliencyDataModule(train=unlabelled, val=dataset, batch_size=2, seed=0)


def test_auto_leaves_one_cpu_to_the_network():
    assert 0 <= worker_count("auto") <= 8
    assert worker_count(3) == 3
