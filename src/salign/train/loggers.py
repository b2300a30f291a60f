"""Where the course of a training is logged besides `metrics.csv`, by name; nothing leaves the machine unasked."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from salign.errors import SalignError


def build_logger(name: str, folder: Path) -> Logger | None:
    """Lightning's logger of that name for the run in `folder`; None where `metrics.csv` is all.

    Args:
        name: `train.logger` of the recipe; `auto` is TensorBoard where it is installed.
        folder: the run folder; logs lie in it, in a folder of the logger's name.

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
    """Weights & Biases, offline unless the variable WANDB_MODE is `online`; `wandb sync` sends such logs later.

    The run has the name of its folder for an id, so that a training that goes on goes on in the same log.
    """
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    offline = os.environ.get("WANDB_MODE", "offline") != "online"
    return WandbLogger(name=folder.name, id=folder.name, save_dir=folder, project="salign", offline=offline)


def _mlflow(folder: Path) -> Logger:
    """MLflow, in an SQLite file of the run folder unless the variable MLFLOW_TRACKING_URI names a server."""
    (folder / "mlflow").mkdir(parents=True, exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow' / 'mlflow.db'}"
    return MLFlowLogger(experiment_name="salign", run_name=folder.name, tracking_uri=address)


_LOGGERS: dict[str, Callable[[Path], Logger]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
