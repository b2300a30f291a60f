"""Lightning's trainer as every run here uses it: one device, resumable at each epoch, quiet."""

from __future__ import annotations

import functools
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback

from salign import checks
from salign.train.callbacks import History, KeepBest, PlainFile, ResumePoint, TrainingBar
from salign.train.files import METRICS, RESUME
from salign.train.loggers import build_logger
from salign.train.module import Training, learning_rate
from salign.train.recipe import TrainOptions


def run_trainer(
    module: Training,
    loaders: LightningDataModule,
    keep: KeepBest,
    folder: Path,
    options: TrainOptions,
    device: str,
    *,
    further: Sequence[Callback] = (),
    progress: bool = True,
) -> None:
    """Train to the end, or on from where the folder says that it was cut off.

    Args:
        module: what is trained.
        loaders: training and validation batches.
        keep: decides which epoch's weights are kept.
        folder: gets `METRICS`, the point to resume from, and the logs that `options.logger` asks for.
        options: section `train` of the recipe, precision and memory format resolved.
        device: "cpu", "cuda" or "mps".
        further: what else is kept of every epoch.
        progress: show a bar.
    """
    resume, history = folder / RESUME, History(folder / METRICS)
    callbacks: list[Callback] = [
        keep,
        *further,
        history,
        ResumePoint(resume),
        *([TrainingBar(keep, history, options.epochs)] if progress else []),
    ]
    with _lightning_quiet():
        trainer = Trainer(
            accelerator=device,
            devices=1,
            precision="bf16-mixed" if options.precision == "bfloat16" else "32-true",
            max_epochs=options.epochs,
            accumulate_grad_batches=options.accumulate,
            callbacks=callbacks,
            logger=build_logger(options.logger, folder) or False,
            default_root_dir=folder,
            plugins=[PlainFile()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
            log_every_n_steps=1,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, loaders, ckpt_path=resume if resume.exists() else None, weights_only=True)
        except SystemExit:  # what Lightning makes of Ctrl-C, after it has switched the signal off
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None


def training_options(options: TrainOptions, seed: int) -> dict[str, Any]:
    """Keywords of `Training` from section `train` of a recipe."""
    return {
        "optimizer": _optimizer(options),
        "rate": learning_rate(
            options.schedule, epochs=options.epochs, step_epochs=options.step_epochs, step_factor=options.step_factor
        ),
        "seed": seed,
        "channels_last": options.memory_format == "channels_last",
    }


def choose_device(name: str) -> str:
    """`auto` is CUDA, else MPS, else the CPU.

    Raises:
        SalignError: what is asked for is not there.
    """
    if name != "auto":
        checks.device("train.device", name)
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def _lightning_quiet() -> Iterator[None]:
    """Only Lightning's warnings that a user of salign can act on; the caller has said the rest."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
            yield
    finally:
        logger.setLevel(level)


def _optimizer(options: TrainOptions) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    if options.optimizer == "adamw":
        return functools.partial(torch.optim.AdamW, lr=options.lr, weight_decay=options.weight_decay)
    return functools.partial(
        torch.optim.SGD, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
