"""The training of a run: how its parts are put together, and how further processes take part in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salign.data.manifest import Fault
from salign.data.reading.datamodule import SaliencyDataModule, worker_count
from salign.errors import SalignError
from salign.runs.run import Run
from salign.train.callbacks import KeepBest
from salign.train.history import KeepHistory, KeepSnapshots, StopCollapsed, chance_of, join_history
from salign.train.module import Training
from salign.train.prepare import Prepared, prepare
from salign.train.processes import Job, follow_jobs, training_together
from salign.train.recipe import ClassifyRecipe, Recipe, undivided
from salign.train.speed import leaves_weights, random_batch
from salign.train.steps import for_steps
from salign.train.tasks import TASKS, Task
from salign.train.tasks.classification import class_weights
from salign.train.trainer import run_trainer, training_options
from salign.train.world import ALONE, World, launched

Say = Callable[[str], None]


def learn(
    recipe: Recipe, run: Run, data: Prepared, task: Task, device: str, world: World, progress: bool, say: Say
) -> None:
    """Train, in one process or together with others; write what is kept into the run's folder.

    Raises:
        SalignError: another process was lost, or reported a mistake of the user.
    """
    unused = world != ALONE and leaves_weights(
        task.to(device), random_batch(2, len(data.classes), task.image_size, device=device)
    )
    module, loaders = _assemble(recipe, run.path, data, task, device, world, say)
    keep = KeepBest(run.path, task.network, **task.selection(recipe)._asdict())
    table = data.val.manifest.table
    further = [
        KeepHistory(run.path, data.classes, table["id"].tolist(), table["label"].astype(object).tolist()),
        KeepSnapshots(run.path, task.network, recipe.train.snapshots),
    ]
    if isinstance(recipe, ClassifyRecipe) and recipe.train.collapse_patience is not None:
        chance = _chance(recipe, data, loaders.weights)
        further.append(StopCollapsed(run.path, data.classes, recipe.train.collapse_patience, chance=chance))
    job: Job = {
        "recipe": recipe.model_dump(mode="json"),
        "run": str(run.path.resolve()),
        "left_out": [list(fault) for fault in data.left_out],
        "device": device,
        "unused": unused,
    }
    with training_together(world, device, job):
        run_trainer(
            module,
            loaders,
            keep,
            run.path,
            recipe.train,
            device,
            further=further,
            progress=progress,
            world=world,
            unused=unused,
        )
    join_history(run.path)


def follow() -> None:
    """Take part, as a further process, in every training that the first process starts."""
    follow_jobs(_follower)


def _follower(job: Job) -> Callable[[World], None]:
    """Read and build the same data and network as the first process; write nothing and print nothing."""
    recipe, device, run = Recipe.build(job["recipe"]), job["device"], Path(job["run"])
    rows = prepare(recipe.data, left_out=[Fault(*fault) for fault in job["left_out"]], device=recipe.train.device)
    kind = TASKS[recipe.task]
    data = kind.rows(recipe, rows, _silent)
    task = kind.build(recipe, data, _silent)
    module, loaders = _assemble(recipe, run, data, task, device, launched(), _silent)
    options: dict[str, Any] = {"progress": False, "unused": job["unused"]}
    return lambda world: run_trainer(module, loaders, None, run, recipe.train, device, world=world, **options)


def _silent(line: str) -> None:
    pass


def _assemble(
    recipe: Recipe, run: Path, data: Prepared, task: Task, device: str, world: World, say: Say
) -> tuple[Training, SaliencyDataModule]:
    steps = [step.build() for step in recipe.all_steps()]
    for step in steps:
        step.remember(len(data.train))
    workers = worker_count(recipe.data.workers, world.beside)
    train, val = task.cache(data.train, data.val, steps, run.parent / ".features", say, device=device, workers=workers)
    module = Training(task, steps, **training_options(recipe.train, recipe.seed))
    loaders = SaliencyDataModule(
        train=for_steps(train, steps, task.needs),
        val=val,
        batch_size=recipe.train.batch_size,
        workers=workers if train is data.train else 0,  # cached features need no workers
        seed=recipe.seed,
        sampling=recipe.data.sampling,
        groups=recipe.data.groups,
    )
    return module, loaders


def check_division(recipe: Recipe, data: Prepared, world: World) -> None:
    """Refuse a training that several processes cannot share with the same result as one process.

    Raises:
        SalignError: the batch size is not divisible, or a process would get no training image of the last batch or no
            validation image.
    """
    images, batch, size = len(data.train), recipe.train.batch_size, world.size
    if world == ALONE:
        return
    for name, part in (("training", data.train), ("validation", data.val)):
        if len(part) < size:
            raise SalignError(f"the {len(part)} {name} images are fewer than the {size} processes; take fewer.")
    if fault := undivided(batch, size):
        raise SalignError(f"train.{fault}.")
    if 1 < images % batch < size:
        fits = [other for other in range(size, images + size, size) if not 1 < images % other < size]
        raise SalignError(
            f"train.batch_size: the last batch of an epoch has {images % batch} of the {images} images, fewer than the "
            f"{size} processes; take {min(fits, key=lambda other: abs(other - batch))}."
        )


def _chance(recipe: ClassifyRecipe, data: Prepared, sampling: Tensor | None) -> float:
    """Return the training cross-entropy of a network that has learned nothing, with images weighted as in training."""
    labels, of_class = data.train.labels, class_weights(recipe.loss, data)
    weights = torch.ones(len(labels)) if sampling is None else sampling
    if of_class is not None and labels.dim() == 1:
        weights = weights * of_class[labels]
    return chance_of(labels, len(data.classes), weights)
