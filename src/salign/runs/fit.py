"""Training: from a recipe to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from salign.errors import SalignError
from salign.files import replace_csv
from salign.runs.card import write_cards
from salign.runs.curves import write_curves
from salign.runs.evaluate import evaluate_run, predict_sets
from salign.runs.inputs import check_inputs, note_inputs
from salign.runs.learn import check_division, follow, learn
from salign.runs.posthoc import make_posthoc
from salign.runs.run import Run
from salign.runs.saliency_report import evaluate_saliency
from salign.train.prepare import prepare
from salign.train.processes import leading
from salign.train.recipe import (
    ARM,
    ClassifyRecipe,
    MapsRecipe,
    PretrainRecipe,
    Recipe,
    bound,
    named_runs,
    references,
    resolved,
)
from salign.train.speed import SETTINGS, Setting, fastest, random_batch
from salign.train.tasks import TASKS, Task
from salign.train.trainer import check_devices, choose_device
from salign.train.world import follows, planned

Say = Callable[[str], None]


def fit(
    recipe: Recipe,
    out: Path | str = "runs",
    *,
    stages: Path | str | None = None,
    resume: bool = False,
    progress: bool = True,
    say: Say = print,
) -> Run:
    """Train a network, keep its best epoch, and measure it on validation and test images; write all to one folder.

    The folder of a classifier has predictions and `evaluation.csv`. The folder of a net that draws maps has
    `agreement.csv` (a row per image and predictor) and `encoder.safetensors`, from which a classifier can start. The
    folder of a pretrained backbone has `encoder.safetensors`, too.

    A recipe with stages is trained stage by stage. Each stage has a run folder of its own, which is named after the
    content of the stage's recipe, so that a stage that another recipe has trained is not trained again. If another
    process is working on the same run, this one waits for it. If `torchrun` or `srun` started several processes, each
    of them calls this function: all of them train, and the first process alone does everything else.

    Args:
        recipe: the complete description of the run.
        out: folder that holds the run folders.
        stages: folder that holds the run folders of stages; None = `out`. Stages that are arms of a study are always
            written to `out`.
        resume: continue a run that was interrupted; its final weights are the same as without the interruption.
        progress: show progress bars.
        say: receives lines for the user.

    Returns:
        The run of the last stage, in every process. A run that is already done is not repeated.

    Raises:
        SalignError: the data or the settings are wrong; an unfinished run exists and `resume` is False; or the run that
            is resumed began with other images or maps. All stages are checked before the first one is trained.
    """
    if follows():
        follow()
        return Run.of(recipe, out)
    with leading():
        return _fit_stages(recipe, out, stages, resume, progress, say)


def _fit_stages(
    recipe: Recipe, out: Path | str, above: Path | str | None, resume: bool, progress: bool, say: Say
) -> Run:
    chain = resolved(recipe)
    beside = {name for name in chain if not name or name.startswith(ARM)}
    runs = {name: Run.of(stage, out if name in beside else above or out) for name, stage in chain.items()}
    if len(chain) > 1 and not runs[""].done:
        for name, stage in chain.items():
            if not runs[name].done:
                _check(stage, f"stages.{name}: " if name else "")
    values: dict[str, str] = {}
    for name, stage in chain.items():
        if not name:
            break
        if runs[name].done:
            say(f"stage {name}: found in {runs[name].path}")
        elif not runs[""].done:
            say(f"stage {name}: trained in {runs[name].path}")
            with runs[name].locked(say):
                _fit(bound(stage, values), runs[name], resume=resume, progress=progress, say=say)
        values[stage.fingerprint()] = str(runs[name].path.resolve())
    with nullcontext() if runs[""].done else runs[""].locked(say):
        _fit(bound(chain[""], values), runs[""], resume=resume, progress=progress, say=say)
    return runs[""]


def _check(recipe: Recipe, prefix: str) -> None:
    """Check a stage before training: its images are read as for training, but nothing that earlier stages will make.

    Raises:
        SalignError: the first problem found, with the name of the stage.
    """
    try:
        choose_device(recipe.train.device)
        kind, draws = TASKS[recipe.task], recipe.data.drawn is not None
        known = recipe.data.model_copy(update={"drawn": None, "repeat_errors": None})
        rows = prepare(known)
        if not (draws and recipe.task == "maps"):  # otherwise its maps are still to be drawn
            rows = kind.rows(recipe, rows, lambda line: None)
        changes: dict[str, Any] = {"data": known.model_copy(update={"annotated": 0}) if draws else known}
        of_stages = {key for key, _ in references(recipe)}
        if {"model.weights", "posthoc.run"} & of_stages:
            changes["model"] = recipe.model.model_copy(update={"weights": None})
        if "model.region.by" in of_stages:
            changes["model"] = changes.get("model", recipe.model).model_copy(update={"region": None})
        if not isinstance(recipe, MapsRecipe):
            changes["loss"] = recipe.loss.model_copy(update={"teacher": None})
        kind.build(recipe.model_copy(update=changes), rows, lambda line: None)
    except SalignError as error:
        raise SalignError(f"{prefix}{error}") from error


def _fit(recipe: Recipe, run: Run, *, resume: bool, progress: bool, say: Say) -> None:
    if not run.begin(resume, say):
        return
    for named in named_runs(recipe):
        Run.open(named)
    device, world = choose_device(recipe.train.device), planned(recipe.train.devices, recipe.train.nodes)
    check_devices(device, world)
    if isinstance(recipe, ClassifyRecipe) and recipe.posthoc is not None:
        make_posthoc(recipe, run, device=device, progress=progress, say=say)
        return
    rows = prepare(recipe.data, device=recipe.train.device, progress=progress)
    check_inputs(run, rows)
    kind = TASKS[recipe.task]
    data = kind.rows(recipe, rows, say)
    check_division(recipe, data, world)
    if data.left_out:
        say(f"left out {len(data.left_out)} faults: " + "; ".join(str(fault) for fault in data.left_out[:5]))
    task = kind.build(recipe, data, say)
    final = _resolve(recipe, run, task, len(data.classes), device, say)
    run.start(final)
    note_inputs(run, rows)
    if data.left_out:
        replace_csv(run.path / "left_out.csv", pd.DataFrame(data.left_out))
    learn(final, run, data, task, device, world, progress, say)
    run.remember(final, data)
    write_curves(run, progress=progress)
    predicted = _measure(run, device, progress)
    write_cards(run)
    run.finish(predicted)


def _measure(run: Run, device: str, progress: bool) -> dict[str, int] | None:
    """Measure the network that was kept, and return the number of predictions of each set.

    It is None for runs that are no classifiers, which have no predictions.
    """
    if isinstance(run.recipe, PretrainRecipe):
        return None
    if isinstance(run.recipe, MapsRecipe):
        if run.recipe.loss.target == "map":
            evaluate_saliency(run, run.model().to(device), progress=progress)
        return None
    rows = predict_sets(run, run.model().to(device), progress=progress)
    evaluate_run(run, seed=run.recipe.seed, progress=progress)
    return rows


def _resolve(recipe: Recipe, run: Run, task: Task, classes: int, device: str, say: Say) -> Recipe:
    """Replace `auto` by the fastest setting on this machine; a resumed run keeps the setting that it began with."""
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
