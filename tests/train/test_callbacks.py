from __future__ import annotations

import math
import types

import pandas as pd
import pytest
import torch

from salign.errors import SalignError
from salign.models import Classifier
from salign.train.callbacks import History, KeepBest, ResumePoint, TrainingBar


class Trained:
    """As much of a trainer as the callbacks look at."""

    def __init__(self, **figures):
        self.current_epoch, self.is_global_zero = 0, True
        self.optimizers = [types.SimpleNamespace(param_groups=[{"lr": 0.5}])]
        self.callback_metrics = {"train/loss": torch.tensor(1.0)}
        self.failing = False

    def end_of(self, epoch, **figures):
        self.current_epoch = epoch
        self.callback_metrics |= {name.replace("_", "/"): torch.tensor(value) for name, value in figures.items()}
        return self

    def save_checkpoint(self, path):
        path.write_text(f"half of epoch {self.current_epoch}")
        if self.failing:
            raise OSError(28, "No space left on device")
        path.write_text(f"whole epoch {self.current_epoch}")


@pytest.fixture
def classifier():
    return Classifier("test_resnet", ["a", "b"], image_size=32)


def kept(folder, classifier, scores, *, monitor="val/auroc", ties="last"):
    """Mark each epoch in the weights, and say which epoch's were kept, after a resume in the middle too."""
    trainer, best = Trained(), KeepBest(folder, classifier, monitor=monitor, ties=ties)
    for epoch, score in enumerate(scores):
        torch.nn.init.constant_(next(classifier.parameters()), float(epoch))
        best.on_train_epoch_end(trainer.end_of(epoch, val_auroc=score), None)
        resumed = KeepBest(folder, classifier, monitor=monitor, ties=ties)
        resumed.load_state_dict(best.state_dict())
        best = resumed
    epoch = int(next(Classifier.load(folder).parameters()).flatten()[0])
    assert best.epoch == epoch
    return epoch


@pytest.mark.parametrize(
    ("scores", "first", "last"),
    [
        ([0.5, 0.9, 0.7, 0.9, 0.8], 1, 3),
        ([0.9, 0.5, 0.4], 0, 0),
        ([1.0, 1.0, 1.0], 0, 2),
        ([0.1, 0.2, 0.3], 2, 2),
        ([0.0, 0.0], 0, 1),
        ([0.5, math.nan, 0.4], 0, 0),
        ([math.nan, 0.1, math.nan], 1, 1),
    ],
)
def test_the_best_epoch_by_validation_is_kept_and_ties_as_asked(tmp_path, classifier, scores, first, last):
    assert kept(tmp_path / "a", classifier, scores, ties="first") == first
    assert kept(tmp_path / "b", classifier, scores, ties="last") == last
    assert kept(tmp_path / "c", classifier, scores, monitor=None) == len(scores) - 1
    assert kept(tmp_path / "d", classifier, scores, monitor=None, ties="first") == len(scores) - 1


def test_an_epoch_whose_answers_are_no_numbers_is_not_the_best(tmp_path, classifier):
    """The AUROC of probabilities that are NaN is 0.5."""
    trainer, best = Trained(), KeepBest(tmp_path, classifier, monitor="val/auroc", ties="last")
    for epoch, (score, loss) in enumerate([(0.3, 0.7), (0.5, math.nan), (0.4, 0.6)]):
        best.on_train_epoch_end(trainer.end_of(epoch, val_auroc=score, val_loss=loss), None)
    assert (best.epoch, best.best) == (2, pytest.approx(0.4))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_and_leaves_the_best_weights(tmp_path, classifier, loss):
    trainer, best = Trained(), KeepBest(tmp_path, classifier, monitor="val/auroc", ties="last")
    best.on_train_epoch_end(trainer.end_of(0, val_auroc=0.5), None)
    before = (tmp_path / "weights.safetensors").read_bytes()
    torch.nn.init.constant_(next(classifier.parameters()), 7.0)
    with pytest.raises(SalignError, match=r"diverged in epoch 2: the loss is .*Lower train\.lr"):
        best.on_train_epoch_end(trainer.end_of(1, val_auroc=0.9, train_loss=loss), None)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_history_is_a_row_per_epoch_and_goes_on_after_resuming(tmp_path):
    path, trainer = tmp_path / "metrics.csv", Trained()
    history = History(path)
    history.on_train_epoch_end(trainer.end_of(0, val_auroc=0.25, loss=3.0), None)
    history.on_train_epoch_end(trainer.end_of(1, val_auroc=0.5), None)
    path.write_text("a row of an epoch that was cut off")
    resumed = History(path)
    resumed.load_state_dict(history.state_dict())
    resumed.on_train_epoch_end(trainer.end_of(2, val_auroc=0.75), None)
    table = pd.read_csv(path)
    assert table.columns.tolist() == ["epoch", "lr", "train/loss", "val/auroc"]
    assert table.to_numpy().tolist() == [[0, 0.5, 1, 0.25], [1, 0.5, 1, 0.5], [2, 0.5, 1, 0.75]]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_the_resume_point_is_replaced_only_by_a_whole_one(tmp_path):
    path, trainer = tmp_path / "resume.ckpt", Trained()
    point = ResumePoint(path)
    point.on_train_epoch_end(trainer.end_of(0), None)
    trainer.failing = True
    with pytest.raises(OSError, match="No space left"):
        point.on_train_epoch_end(trainer.end_of(1), None)
    assert path.read_text() == "whole epoch 0"
    trainer.failing = False
    point.on_train_epoch_end(trainer.end_of(1), None)
    assert path.read_text() == "whole epoch 1"
    assert [path.name for path in tmp_path.iterdir()] == ["resume.ckpt"]


def test_the_bar_counts_epochs_from_one_and_shows_the_best_figure_and_its_course(tmp_path, classifier, capsys):
    keep = KeepBest(tmp_path, classifier, monitor="val/auroc", ties="last")
    history, trainer = History(tmp_path / "metrics.csv"), Trained()
    trainer.num_training_batches = 2
    bar = TrainingBar(keep, history, epochs=4)
    bar.on_train_start(trainer, None)
    for epoch, score in enumerate([0.5, 0.9, 0.9, 0.7]):
        trainer.end_of(epoch, val_auroc=score)
        for _ in range(2):
            bar.on_train_batch_end(trainer, None)
        for callback in (keep, history, bar):
            callback.on_train_epoch_end(trainer, None)
    bar.on_train_end(trainer, None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(",")[0] if " left" in line else line for line in lines] == [
        "training: epoch 1/4, val/auroc 0.500, best 0.500 in epoch 1 \u2584",
        "training: epoch 2/4, val/auroc 0.900, best 0.900 in epoch 2 \u2581\u2588",
        "training: epoch 3/4, val/auroc 0.900, best 0.900 in epoch 3 \u2581\u2588\u2588",
        "training: epoch 4/4, val/auroc 0.700, best 0.900 in epoch 3 \u2581\u2588\u2588\u2585",
    ]


def test_the_bar_of_a_run_that_keeps_its_last_epoch_shows_validation_or_the_loss(tmp_path, classifier):
    history = History(tmp_path / "metrics.csv")
    bar = TrainingBar(KeepBest(tmp_path, classifier, monitor=None, ties="last"), history, epochs=2)
    history.rows = [
        {"epoch": 0.0, "train/loss": 1.0, "val/loss": 0.3},
        {"epoch": 1.0, "train/loss": 0.5, "val/loss": 0.4},
    ]
    assert bar.note().startswith("val/loss 0.400, best 0.300 in epoch 1 ")
    history.rows = [{"epoch": 0.0, "train/loss": 1.0}]
    assert bar.note().startswith("train/loss 1.000, best 1.000 in epoch 1 ")
