"""Loggers that record a training besides `metrics.csv`; nothing leaves the machine unless the user asks for it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from salign.errors import SalignError


def build_logger(name: str, folder: Path) -> Logger | None:
    """Build Lightning's logger of a name for the run in `folder`; None if `metrics.csv` is the only log.

    Args:
        name: `train.logger` of the recipe; `auto` takes TensorBoard if it is installed.
        folder: the run folder; the logs lie in a folder of it that has the logger's name.

    Raises:
        SalignError: the package of the logger cannot be imported.
    """
    if name == "auto":
        name = "tensorboard" if importlib.util.find_spec("tensorboard") else "csv"
    if name == "csv":
        return None
    try:
        return _LOGGERS[name](folder)
    except ModuleNotFoundError as error:
        raise SalignError(f"train.logger: {name} cannot be imported: {error}") from error


def _tensorboard(folder: Path) -> Logger:
    return TensorBoardLogger(folder, name="", version="tensorboard")


def _wandb(folder: Path) -> Logger:
    """Build the logger of Weights & Biases, which is offline unless the variable WANDB_MODE is `online`.

    `wandb sync` can send offline logs later. The id of the run is the name of its folder, so that a resumed training
    continues the same log.
    """
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    offline = os.environ.get("WANDB_MODE", "offline") != "online"
    return WandbLogger(name=folder.name, id=folder.name, save_dir=folder, project="salign", offline=offline)


def _mlflow(folder: Path) -> Logger:
    """Build the logger of MLflow, which writes an SQLite file in the run folder unless MLFLOW_TRACKING_URI is set."""
    (folder / "mlflow").mkdir(parents=True, exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow' / 'mlflow.db'}"
    return MLFlowLogger(experiment_name="salign", run_name=folder.name, tracking_uri=address)


_LOGGERS: dict[str, Callable[[Path], Logger]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
