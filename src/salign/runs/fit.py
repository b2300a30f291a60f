"""From a recipe to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from salign.data.reading.datamodule import SaliencyDataModule
from salign.files import replace_text
from salign.runs.evaluate import evaluate_run, predict_sets
from salign.runs.inputs import check_inputs, note_inputs
from salign.runs.run import Run
from salign.runs.saliency_report import evaluate_saliency
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.prepare import Prepared, prepare
from salign.train.recipe import MapsRecipe, Recipe
from salign.train.speed import SETTINGS, Setting, fastest, random_batch
from salign.train.steps import for_steps
from salign.train.tasks import TASKS, Task
from salign.train.trainer import choose_device, run_trainer, training_options

Say = Callable[[str], None]


def fit(
    recipe: Recipe, out: Path | str = "runs", *, resume: bool = False, progress: bool = True, say: Say = print
) -> Run:
    """Train, keep the best epoch, and measure it on validation and test images; everything lands in one folder.

    A classifier's folder has predictions and `evaluation.csv`. That of a net that draws maps has `agreement.csv` (a row
    per image and predictor) and `encoder.safetensors`, from which a classifier can start.

    Args:
        recipe: the whole description of the run.
        out: folder that run folders go into.
        resume: go on with a run that was cut off; its weights end as if it had not been.
        progress: show bars.
        say: receives lines for the user.

    Returns:
        The run. One that is already done is not repeated.

    Raises:
        SalignError: bad data or settings, or an unfinished run is there and `resume` was not asked for, or it
            began with other images or maps.
    """
    run = Run.of(recipe, out)
    if not run.begin(resume, say):
        return run
    device = choose_device(recipe.train.device)
    given = prepare(recipe.data, progress=progress)
    check_inputs(run, given)
    kind = TASKS[recipe.task]
    data = kind.rows(recipe, given, say)
    if data.left_out:
        say(f"left out {len(data.left_out)} faults: " + "; ".join(str(fault) for fault in data.left_out[:5]))
    task = kind.build(recipe, data, say)
    resolved = _resolve(recipe, run, task, len(data.classes), device, say)
    run.start(resolved)
    note_inputs(run, given)
    if data.left_out:
        replace_text(run.path / "left_out.csv", pd.DataFrame(data.left_out).to_csv(index=False))
    _train(resolved, run, data, task, device, progress)
    run.remember(resolved, data)
    run.finish(_measure(run, device, progress))
    return run


def _train(recipe: Recipe, run: Run, data: Prepared, task: Task, device: str, progress: bool) -> None:
    options = recipe.train
    steps = [step.build() for step in recipe.all_steps()]
    for step in steps:
        step.remember(len(data.train))
    module = Training(task, steps, **training_options(options, recipe.seed))
    loaders = SaliencyDataModule(
        train=for_steps(data.train, steps),
        val=data.val,
        batch_size=options.batch_size,
        workers=recipe.data.workers,
        seed=recipe.seed,
        sampling=recipe.data.sampling,
    )
    keep = KeepBest(run.path, task.network, **task.selection(recipe)._asdict())
    run_trainer(module, loaders, keep, run.path, options, device, progress=progress)


def _measure(run: Run, device: str, progress: bool) -> dict[str, int] | None:
    """Report on the network that was kept; the number of predictions of every set, where there are any."""
    if isinstance(run.recipe, MapsRecipe):
        if run.recipe.loss.target == "map":
            evaluate_saliency(run, run.model().to(device), progress=progress)
        return None
    rows = predict_sets(run, run.model().to(device), progress=progress)
    evaluate_run(run, seed=run.recipe.seed, progress=progress)
    return rows


def _resolve(recipe: Recipe, run: Run, task: Task, classes: int, device: str, say: Say) -> Recipe:
    """Replace `auto` by what is fastest here; a run that was cut off keeps what it began with."""
    if run.recipe_file.exists():
        begun = Recipe.read(run.recipe_file).train
        return recipe.with_values({"train": {"precision": begun.precision, "memory_format": begun.memory_format}})
    allowed = [
        setting
        for setting in SETTINGS
        if recipe.train.precision in ("auto", setting.precision)
        and recipe.train.memory_format in ("auto", setting.memory_format)
    ]
    if len(allowed) > 1:
        batch = random_batch(min(recipe.train.batch_size, 8), classes, task.image_size, device=device)
        measured = fastest(task.to(device), batch, allowed)
        say(
            "training step, measured here: "
            + "; ".join(f"{key} {1000 * value:.0f} ms" for key, value in measured.items())
        )
        allowed = list(measured)
    chosen = allowed[0] if allowed else Setting(recipe.train.precision, recipe.train.memory_format)
    return recipe.with_values({"train": chosen._asdict()})
