"""What is kept of every epoch: predictions, whole after a crash, and weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from salign.errors import SalignError
from salign.models import Classifier
from salign.train.history import (
    KeepHistory,
    KeepSnapshots,
    StopCollapsed,
    chance_of,
    correct_answers,
    join_history,
    learned_and_forgotten,
    read_history,
    snapshot_epochs,
    snapshot_steps,
)
from salign.train.snapshots import snapshot, snapshots


def test_accuracy_at_the_end_is_that_of_any_epoch_with_what_was_learned_and_without_what_was_forgotten() -> None:
    correct = torch.rand(7, 40, generator=torch.Generator().manual_seed(0)) < 0.6
    learned, forgotten = learned_and_forgotten(correct)
    for epoch in range(7):
        wrong, lost = [], []
        for image in range(40):
            wrong.append(not correct[epoch, image] and bool(correct[-1, image]))
            lost.append(bool(correct[epoch, image]) and not correct[-1, image])
        assert learned[epoch].item() == pytest.approx(sum(wrong) / 40)
        assert forgotten[epoch].item() == pytest.approx(sum(lost) / 40)
    accuracy = correct.double().mean(1)
    torch.testing.assert_close(accuracy + learned - forgotten, accuracy[-1].expand(7))


@pytest.mark.parametrize(
    ("asked", "epochs", "expected"),
    [
        (None, 10, []),
        ([5, 0, 5, 12], 10, [0, 5]),
        ({"even": 5}, 10, [1, 3, 5, 7, 9]),
        ({"even": 1}, 10, [9]),
        ({"log": 4}, 1000, [0, 9, 99, 999]),
        ({"log": 9}, 3, [0, 1, 2]),
        ({"log": 1}, 10, [9]),
        ({"even": 9}, 3, [0, 1, 2]),
    ],
)
def test_snapshots_are_spaced_as_asked(asked: Any, epochs: int, expected: list[int]) -> None:
    assert snapshot_epochs(asked, epochs) == expected


ANSWERS = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(1)).softmax(2)
IDS, LABELS = ["a", "b", "c", "d"], ["cat", "dog", "dog", "cat"]


def run_epochs(keep: KeepHistory, epochs: list[int]) -> None:
    for epoch in epochs:
        trainer: Any = SimpleNamespace(current_epoch=epoch)
        module: Any = SimpleNamespace(task=SimpleNamespace(answers=lambda epoch=epoch: ANSWERS[epoch]))
        keep.on_train_epoch_end(trainer, module)


def made(folder: Path) -> KeepHistory:
    return KeepHistory(folder, ("cat", "dog"), IDS, LABELS)


def test_every_epoch_is_in_the_file_and_a_training_cut_off_anywhere_writes_the_same(tmp_path: Path) -> None:
    with pytest.raises(SalignError, match=r"has no history.parquet"):
        read_history(tmp_path)
    run_epochs(made(tmp_path), [0, 1, 2])
    join_history(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["history.parquet"]
    table = read_history(tmp_path)
    assert table["epoch"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert table["id"].tolist() == IDS * 3
    assert table["label"].tolist() == LABELS * 3
    for k, name in enumerate(("prob_cat", "prob_dog")):
        assert table[name].dtype == np.float16
        assert table[name].tolist() == ANSWERS[:, :, k].flatten().half().tolist()
    expected = [
        [bool(row[0] > row[1]) == (label == "cat") for row, label in zip(epoch, LABELS, strict=True)]
        for epoch in ANSWERS
    ]
    assert correct_answers(tmp_path, multi_label=False).tolist() == expected
    whole = (tmp_path / "history.parquet").read_bytes()
    for run, joined in (("stopped", False), ("joined", True)):  # the last epoch is repeated after it was written
        folder = tmp_path / run
        run_epochs(made(folder), [0, 1, 2])
        (folder / "history" / ".0123456789abcdef.7.partial").write_bytes(b"half of an epoch")
        if joined:
            join_history(folder)
        run_epochs(made(folder), [2])
        join_history(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"history.parquet": whole}


def test_nothing_is_held_in_memory_or_in_the_point_to_resume_from(tmp_path: Path) -> None:
    keep = made(tmp_path)
    run_epochs(keep, [0])
    before = {key: len(value) for key, value in vars(keep).items() if isinstance(value, list | tuple)}
    run_epochs(keep, [1, 2])
    assert {key: len(value) for key, value in vars(keep).items() if isinstance(value, list | tuple)} == before
    assert keep.state_dict() == {}


def test_a_training_that_an_earlier_version_began_gets_no_history(tmp_path: Path) -> None:
    run_epochs(made(tmp_path), [1, 2])
    join_history(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_labels_are_right_if_all_are_whatever_the_labels_look_like(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"epoch": [0, 0, 0], "id": ["a", "b", "c"], "label": ["cat;dog", None, "dog"],
         "prob_cat": np.float16([0.9, 0.2, 0.6]), "prob_dog": np.float16([0.7, 0.1, 0.65])}
    )  # fmt: skip
    table.to_parquet(tmp_path / "history.parquet", index=False)
    assert correct_answers(tmp_path, multi_label=True).tolist() == [[True, True, False]]
    table["label"] = "dog"  # each image has one label here, and might have several
    table.to_parquet(tmp_path / "history.parquet", index=False)
    assert correct_answers(tmp_path, multi_label=True).tolist() == [[False, False, False]]
    assert correct_answers(tmp_path, multi_label=False).tolist() == [[False, False, True]]


def test_a_thousand_images_and_thirty_epochs_are_below_a_megabyte(tmp_path: Path) -> None:
    keep = KeepHistory(tmp_path, [str(k) for k in range(10)], [f"images/{k}" for k in range(1000)], ["3"] * 1000)
    for epoch in range(30):
        answers = torch.rand(1000, 10).softmax(1)
        trainer: Any = SimpleNamespace(current_epoch=epoch)
        module: Any = SimpleNamespace(task=SimpleNamespace(answers=lambda answers=answers: answers))
        keep.on_train_epoch_end(trainer, module)
    join_history(tmp_path)
    assert (tmp_path / "history.parquet").stat().st_size < 1_000_000


def test_the_weights_after_the_chosen_epochs_are_networks(tmp_path: Path) -> None:
    network = Classifier("test_resnet", ("a", "b"), image_size=32)
    keep = KeepSnapshots(tmp_path, network, [1])
    for epoch in (0, 1, 2):
        trainer: Any = SimpleNamespace(current_epoch=epoch, max_epochs=3)
        network.backbone.net.fc.bias.data.fill_(epoch)
        keep.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert Classifier.load(snapshot(tmp_path, 1)).backbone.net.fc.bias.tolist() == [1.0, 1.0]
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["epoch_0001"]
    assert snapshots(tmp_path) == [1]


@pytest.mark.parametrize(
    ("asked", "steps", "expected"),
    [
        ({"steps": 6}, 10_000, [0, 1, 10, 100, 1000, 10_000]),
        ({"steps": 5}, 3, [0, 1, 2, 3]),
        ({"steps": 2}, 8, [0, 8]),
        ({"steps": 1}, 8, [0]),
        ({"even": 3}, 8, []),
        (None, 8, []),
    ],
)
def test_steps_grow_from_the_network_that_has_learned_nothing_to_the_last(
    asked: Any, steps: int, expected: list[int]
) -> None:
    assert snapshot_steps(asked, steps) == expected
    assert not ({"steps"} & set(asked or ())) or snapshot_epochs(asked, 4) == []


EVEN = torch.full((4, 2), 0.5)
TOLD = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.6, 0.4]])


def stopped_at(folder: Path, answers: list[torch.Tensor], losses: list[float], patience: int) -> tuple[int | None, str]:
    """The epoch in which a training with these answers and losses is stopped, and why; each has a new callback."""
    state: dict[str, Any] = {"epochs": 0}
    for epoch, (values, loss) in enumerate(zip(answers, losses, strict=True)):
        trainer: Any = SimpleNamespace(current_epoch=epoch, callback_metrics={"train/ce": torch.tensor(loss)})
        module: Any = SimpleNamespace(task=SimpleNamespace(answers=lambda values=values: values))
        made(folder).on_train_epoch_end(trainer, module)
        stop = StopCollapsed(folder, ("cat", "dog"), patience, chance=0.69)
        stop.load_state_dict(state)
        try:
            stop.on_train_epoch_end(trainer, module)
        except SalignError as error:
            return epoch, str(error)
        state = stop.state_dict()
    return None, ""


@pytest.mark.parametrize(
    ("answers", "losses", "epoch"),
    [
        ([EVEN, EVEN, EVEN, EVEN], [0.1] * 4, 2),
        ([EVEN, EVEN, TOLD, EVEN], [0.1] * 4, None),
        ([TOLD] * 4, [0.7, 0.7, 0.8, 0.1], 2),
        ([TOLD] * 4, [0.7, 0.68, 0.7, 0.7], None),
        ([TOLD, EVEN, TOLD, TOLD], [0.1, 0.1, 0.7, 0.9], 3),
    ],
)
def test_a_training_that_learned_nothing_for_three_epochs_is_stopped(
    tmp_path: Path, answers: list[torch.Tensor], losses: list[float], epoch: int | None
) -> None:
    at, message = stopped_at(tmp_path, answers, losses, 3)
    assert at == epoch
    assert epoch is None or f"3 epochs up to epoch {epoch + 1}. Lower train.lr" in message


def test_chance_is_the_cross_entropy_of_the_shares_of_the_classes() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    known = torch.tensor([[0.75, 0.25]]).log().expand(4, 2)
    assert chance_of(labels, 2) == pytest.approx(torch.nn.functional.cross_entropy(known, labels).item())
    twice = torch.tensor([1, 1, 1, 2])  # the last is drawn twice as often
    assert chance_of(labels, 2, twice.double()) == pytest.approx(chance_of(torch.repeat_interleave(labels, twice), 2))
    weights = torch.tensor([1.0, 5.0])
    shares = torch.tensor([[3.0, 5.0]]) / 8
    weighed = torch.nn.functional.cross_entropy(shares.log().expand(4, 2), labels, weight=weights).item()
    assert chance_of(labels, 2, weights[labels]) == pytest.approx(weighed)
    several = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]])
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) * 2 / 3
    assert chance_of(several, 3) == pytest.approx(expected)
