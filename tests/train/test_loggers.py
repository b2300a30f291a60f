"""Where a training is logged besides metrics.csv."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from command import salign, small, written
from salign.train import loggers
from salign.train.recipe import Recipe


@pytest.fixture
def installed(monkeypatch):
    """Only these packages can be found."""

    def make(*names: str) -> None:
        find = importlib.util.find_spec
        known = {"tensorboard", "wandb", "mlflow"}
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: (object() if name in names else None) if name in known else find(name, *rest),
        )

    return make


def test_auto_is_tensorboard_where_that_is_installed(installed, tmp_path: Path) -> None:
    installed("tensorboard")
    logger = loggers.build_logger("auto", tmp_path / "run")
    assert logger is not None
    assert Path(logger.log_dir) == tmp_path / "run" / "tensorboard"
    installed()
    assert loggers.build_logger("auto", tmp_path / "run") is None


def test_csv_logs_nothing_else(tmp_path: Path) -> None:
    assert loggers.build_logger("csv", tmp_path) is None


def test_a_logger_that_is_not_installed_is_told_before_training(installed, digits, tmp_path: Path) -> None:
    installed("tensorboard")
    recipe = written(tmp_path / "a.yaml", small(digits))
    said = salign("train", recipe, "--set", "train.logger=wandb", code=2).err
    assert said.splitlines()[1:] == ["  train.logger: wandb is not installed here; pip install wandb, or take `csv`"]


def test_a_run_that_was_logged_elsewhere_is_still_read_and_has_the_same_name(installed, digits) -> None:
    installed()
    plain = Recipe.build(small(digits))
    elsewhere = Recipe.build({**small(digits), "train": small(digits)["train"] | {"logger": "mlflow"}})
    assert elsewhere.train.logger == "mlflow"
    assert elsewhere.fingerprint() == plain.fingerprint()


def test_nothing_leaves_the_machine_unless_asked_for(monkeypatch, tmp_path: Path) -> None:
    """The packages are not installed here; what is handed to Lightning's loggers of them is looked at."""
    given: list[dict[str, object]] = []
    for name in ("WandbLogger", "MLFlowLogger"):
        monkeypatch.setattr(loggers, name, lambda **options: given.append(options))
    for variables in ({}, {"WANDB_MODE": "online", "MLFLOW_TRACKING_URI": "https://logs.example"}):
        for key in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(key, raising=False)
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        for name in ("wandb", "mlflow"):
            loggers.build_logger(name, tmp_path / "run-1")
    assert [options.get("offline", options.get("tracking_uri")) for options in given] == [
        True, f"sqlite:///{tmp_path}/run-1/mlflow/mlflow.db", False, "https://logs.example",
    ]  # fmt: skip
    assert [options.get("id", options.get("run_name")) for options in given] == ["run-1"] * 4
