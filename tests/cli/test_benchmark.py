from __future__ import annotations

import itertools
import json

from command import salign
from salign.losses import LOSSES
from salign.train import speed
from salign.train.speed import SETTINGS


def test_a_cell_per_loss_and_setting_and_the_fastest_named(tmp_path, monkeypatch):
    """With durations that are known: 1, 2, 3, ... seconds in the order of the table."""
    seconds = itertools.count(1)
    monkeypatch.setattr(speed, "step_seconds", lambda *_, **__: float(next(seconds)))
    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "b.json"
    ended = salign("benchmark", "test_resnet", "--image-size", 32, "--batch-size", 2, "--json", out)
    found = json.loads(out.read_text())
    assert (found["backbone"], found["image_size"]) == ("test_resnet", 32)
    cells = {(cell["loss"], cell["precision"], cell["memory_format"]): cell["seconds"] for cell in found["cells"]}
    assert list(cells) == [(loss, *setting) for loss in LOSSES for setting in SETTINGS]
    assert list(cells.values()) == [float(k + 1) for k in range(len(cells))]
    guided, plain = cells["cyborg", *SETTINGS[0]], cells["ce", *SETTINGS[0]]
    assert f"{1000 * guided:.0f} ms ({guided / plain:.2f} x ce)" in ended.out
    assert f"fastest here: {SETTINGS[0]}" in ended.out
    assert f"wrote {out}" in ended.out


def test_it_measures_for_real(tmp_path):
    out = tmp_path / "b.json"
    salign("benchmark", "test_resnet", "--image-size", 32, "--batch-size", 2, "--repeats", 1, "--json", out)
    assert all(0 < cell["seconds"] < 60 for cell in json.loads(out.read_text())["cells"])


def test_losses_that_cannot_train_a_network_are_left_out_with_the_reason(tmp_path, monkeypatch):
    """Hard sigmoids have no second derivative, and MobileNetV3's head is not linear; in every setting alike."""
    monkeypatch.setattr(speed, "SETTINGS", SETTINGS[1:2])
    out = tmp_path / "b.json"
    args = ("--image-size", 32, "--batch-size", 2, "--repeats", 1, "--json", out)
    ended = salign("benchmark", "mobilenetv3_small_050", *args)
    measured = {cell["loss"] for cell in json.loads(out.read_text())["cells"]}
    refused = {name for name, loss in LOSSES.items() if loss.needs & {"input_gradient", "linear_head"}}
    assert measured == LOSSES.keys() - refused
    assert "cdep: not for this network. cdep needs" in ended.out
    assert "rrr: not for this network. this network cannot be trained with a loss on the gradient" in ended.out


def test_mistakes():
    assert "nonet" in salign("benchmark", "nonet", code=2).err
    assert "image-size" in salign("benchmark", "test_resnet", "--image-size", 3, code=2).err


def test_a_place_that_is_not_there_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "step_seconds", lambda *_, **__: 1.0)
    out = tmp_path / "new" / "b.json"
    salign("benchmark", "test_resnet", "--image-size", 32, "--batch-size", 2, "--json", out)
    assert json.loads(out.read_text())["backbone"] == "test_resnet"
