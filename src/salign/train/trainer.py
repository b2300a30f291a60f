"""Lightning's trainer as all runs use it: one device for each process, resumable, and with few messages."""

from __future__ import annotations

import functools
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from salign import checks
from salign.errors import SalignError
from salign.train.averaging import Averaging
from salign.train.callbacks import History, KeepBest, PlainFile, ResumePoint, TrainingBar
from salign.train.files import METRICS, RESUME
from salign.train.loggers import build_logger
from salign.train.module import Training, learning_rate
from salign.train.recipe import TrainOptions
from salign.train.world import ALONE, World, launched


def run_trainer(
    module: Training,
    loaders: LightningDataModule,
    keep: KeepBest | None,
    folder: Path,
    options: TrainOptions,
    device: str,
    *,
    further: Sequence[Callback] = (),
    progress: bool = True,
    world: World = ALONE,
    unused: bool = False,
) -> None:
    """Train to the end; if the folder has a resume point, continue from there.

    Args:
        module: the training module.
        loaders: loaders of the training and validation batches.
        keep: decides which epoch's weights are kept; None in the processes that follow the first, which keep nothing.
        folder: gets `METRICS`, the resume point, and the logs that `options.logger` asks for.
        options: section `train` of the recipe, in which precision and memory format are no longer `auto`.
        device: "cpu", "cuda" or "mps".
        further: further callbacks, which run after `keep`; they are left out where `keep` is None.
        progress: whether to show a bar.
        world: the processes of the training, and which of them this is; they must be connected already.
        unused: whether the loss leaves some weights without a gradient, which several processes must know beforehand.
    """
    resume, history = folder / RESUME, History(folder / METRICS)
    free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # else the program has a handler of its own
    listens = free and threading.current_thread() is threading.main_thread()
    callbacks: list[Callback] = [ResumePoint(resume, preemptible=listens)]
    if options.ema is not None:
        callbacks.insert(0, Averaging(module.task.network, options.ema))
    if keep is not None:
        bar = [TrainingBar(keep, history, options.epochs)] if progress else []
        callbacks = [keep, *further, *callbacks, history, *bar]
    with _lightning_quiet():
        trainer = Trainer(
            accelerator=device,
            devices=[world.local % torch.cuda.device_count()] if device == "cuda" else 1,
            num_nodes=world.size,  # Lightning is told that each process is a node with one device
            strategy=_strategy(world, unused),
            precision="bf16-mixed" if options.precision == "bfloat16" else "32-true",
            max_epochs=options.epochs,
            accumulate_grad_batches=options.accumulate,
            callbacks=callbacks,
            logger=(keep is not None and build_logger(options.logger, folder)) or False,
            default_root_dir=folder,
            plugins=[PlainFile(), _Placed(world)],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
            log_every_n_steps=1,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, loaders, ckpt_path=resume if resume.exists() else None, weights_only=True)
        except SystemExit:  # Lightning raises it on Ctrl-C, after it has switched the signal off
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None


def training_options(options: TrainOptions, seed: int) -> dict[str, Any]:
    """Return keyword arguments of `Training` that follow from section `train` of a recipe."""
    return {
        "optimizer": _optimizer(options),
        "rate": learning_rate(
            options.schedule, epochs=options.epochs, step_epochs=options.step_epochs, step_factor=options.step_factor
        ),
        "seed": seed,
        "channels_last": options.memory_format == "channels_last",
    }


def choose_device(name: str) -> str:
    """Return the device of a name, where `auto` is CUDA if this machine has it, else MPS, else the CPU.

    Raises:
        SalignError: this machine does not have the device.
    """
    if name != "auto":
        checks.device("train.device", name)
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def check_devices(device: str, world: World) -> None:
    """Refuse a training of more processes than there are devices.

    Raises:
        SalignError: this machine has fewer GPUs than processes, or the device is MPS and there are several processes.
    """
    if world.size > 1 and device == "mps":
        raise SalignError("train.devices: torch trains on one MPS device alone; take train.device: cpu, or one device.")
    if launched() == ALONE and device == "cuda" and world.size > (here := torch.cuda.device_count()):
        raise SalignError(f"train.devices: expected at most {here}, the GPUs that are here; got {world.size}.")


class _Placed(LightningEnvironment):
    """Tells Lightning that the processes were started already, and their ranks; it reads no environment variables."""

    creates_processes_externally = True

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return self.world.rank

    def teardown(self) -> None:
        pass


def _strategy(world: World, unused: bool) -> str | DDPStrategy:
    if world.size == 1:
        return "auto"
    # Buffers need no broadcast: they are the same everywhere, because batch norm is synced, and because steps and
    # queues gather what they remember from all processes.
    return DDPStrategy(broadcast_buffers=False, find_unused_parameters=unused)


@contextmanager
def _lightning_quiet() -> Iterator[None]:
    """Hide Lightning's messages, except for warnings that a user of salign can act on."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*srun. command is available.*")  # one process is intended
            warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")  # salign's loaders are
            warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # torchmetrics has gathered these figures
            warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # torch before 2.14 has only this name
            yield
    finally:
        logger.setLevel(level)


def _optimizer(options: TrainOptions) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    if options.optimizer == "adamw":
        return functools.partial(torch.optim.AdamW, lr=options.lr, weight_decay=options.weight_decay)
    return functools.partial(
        torch.optim.SGD, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
