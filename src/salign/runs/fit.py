"""From a recipe to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from salign.class_names import SEPARATOR
from salign.data.reading.datamodule import SaliencyDataModule
from salign.errors import SalignError
from salign.files import replace_text
from salign.losses import Loss
from salign.models import Classifier
from salign.runs.folder import RunFolder
from salign.runs.inputs import check_inputs, note_inputs
from salign.runs.report import report
from salign.train.callbacks import KeepBest
from salign.train.guidance import tell_guidance
from salign.train.module import GuidedTraining
from salign.train.prepare import Prepared, balanced_weights, class_counts, of_machines, prepare
from salign.train.recipe import LossRecipe, Recipe
from salign.train.speed import SETTINGS, Setting, fastest, random_batch
from salign.train.trainer import choose_device, run_trainer, training_options

Say = Callable[[str], None]


def fit(
    recipe: Recipe, out: Path | str = "runs", *, resume: bool = False, progress: bool = True, say: Say = print
) -> RunFolder:
    """Train, keep the best epoch, predict validation and test images, evaluate; everything lands in one folder.

    Args:
        recipe: the whole description of the run.
        out: folder that run folders go into.
        resume: go on with a run that was cut off; its weights end as if it had not been.
        progress: show bars.
        say: receives lines for the user.

    Returns:
        The run folder. A run that is already done is not repeated.

    Raises:
        SalignError: bad data or settings, or an unfinished run is there and `resume` was not asked for, or it
            began with other images or maps.
    """
    run = RunFolder.of(recipe, out)
    if not run.begin(resume, say):
        return run
    device = choose_device(recipe.train.device)
    data = prepare(recipe.data, progress=progress)
    check_inputs(run, data)
    _tell_data(data, recipe, say)
    loss = build_loss(recipe.loss, data)
    tell_guidance(loss, data, recipe, say)
    classifier = Classifier(
        recipe.model.backbone,
        data.classes,
        image_size=recipe.data.image_size,
        weights=recipe.model.weights,
        output_stride=recipe.model.output_stride,
        args=recipe.model.args,
        cam=recipe.model.cam,
        multi_label=recipe.data.multi_label,
        head=recipe.model.head,
        seed=recipe.seed,
    )
    _tell_model(classifier, recipe, say)
    resolved = _resolve(recipe, run, classifier, loss, device, say)
    run.start(resolved)
    note_inputs(run, data)
    if data.left_out:
        replace_text(run.path / "left_out.csv", pd.DataFrame(data.left_out).to_csv(index=False))
    _train(resolved, run, data, classifier, loss, device, progress)
    finished = Classifier.load(run.path).to(device)
    predicted = report(run, finished, data, resolved, progress=progress)
    run.finish(predicted)
    return run


def build_loss(recipe: LossRecipe, data: Prepared) -> Loss:
    """The loss with all that is added to it, the class weights computed from the training labels."""
    weights = None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(data.train.labels, len(data.classes))
    elif recipe.class_weights != "none":
        weights = torch.tensor(recipe.class_weights, dtype=torch.float32)
        if len(weights) != len(data.classes):
            raise SalignError(f"loss.class_weights: expected {len(data.classes)} numbers, got {len(weights)}.")
    return recipe.build(weights)


def _train(
    recipe: Recipe, run: RunFolder, data: Prepared, classifier: Classifier, loss: Loss, device: str, progress: bool
) -> None:
    options = recipe.train
    module = GuidedTraining(classifier, loss, **training_options(options, recipe.seed))
    loaders = SaliencyDataModule(
        train=data.train,
        val=data.val,
        batch_size=options.batch_size,
        workers=recipe.data.workers,
        seed=recipe.seed,
        sampling=recipe.data.sampling,
    )
    monitor = None if options.select == "last" else f"val/{options.select}"
    keep = KeepBest(run.path, classifier, monitor=monitor, ties=options.ties)
    run_trainer(module, loaders, keep, run.path, options, device, progress=progress)


def _resolve(recipe: Recipe, run: RunFolder, classifier: Classifier, loss: Loss, device: str, say: Say) -> Recipe:
    """Replace `auto` by what is fastest here; a run that was cut off keeps what it began with."""
    if run.recipe.exists():
        begun = Recipe.read(run.recipe).train
        return recipe.with_values({"train": {"precision": begun.precision, "memory_format": begun.memory_format}})
    allowed = [
        setting
        for setting in SETTINGS
        if recipe.train.precision in ("auto", setting.precision)
        and recipe.train.memory_format in ("auto", setting.memory_format)
    ]
    if len(allowed) > 1:
        few = min(recipe.train.batch_size, 8)
        batch = random_batch(few, len(classifier.classes), classifier.image_size, device=device)
        measured = fastest(classifier.to(device), loss.to(device), batch, allowed)
        say(
            "training step, measured here: "
            + "; ".join(f"{key} {1000 * value:.0f} ms" for key, value in measured.items())
        )
        allowed = list(measured)
    chosen = allowed[0] if allowed else Setting(recipe.train.precision, recipe.train.memory_format)
    return recipe.with_values({"train": chosen._asdict()})


def _tell_data(data: Prepared, recipe: Recipe, say: Say) -> None:
    for name, dataset in {"training": data.train, "validation": data.val, **data.tests}.items():
        counts = class_counts(dataset.labels, len(data.classes)).tolist()
        per_class = ", ".join(f"{count} {label}" for label, count in zip(data.classes, counts, strict=True))
        mapped = f"{int(dataset.annotated.sum())} with a saliency map{of_machines(dataset)}"
        say(f"{name}: {len(dataset)} images ({per_class}), {mapped}")
    if recipe.data.augment != "none":
        say("  training images are mirrored at random; where left and right matter, set data.augment: none")
    if joined := [name for name in data.classes if SEPARATOR in name]:
        say(f"  {joined[0]!r} is taken for one class; if such images have several labels, set data.multi_label: true")
    for question in data.questions:
        say(f"  {question}")
    if data.left_out:
        say(f"left out {len(data.left_out)} faults: " + "; ".join(str(fault) for fault in data.left_out[:5]))


def _tell_model(classifier: Classifier, recipe: Recipe, say: Say) -> None:
    height, width = classifier.backbone.grid
    kind = {
        "linear": "class activation map",
        "head_gradient": "head-gradient class activation map",
        "none": "no map of evidence, features",
    }[classifier.backbone.cam_kind]
    say(f"{recipe.model.backbone}: {classifier.origin}; {kind} of {height} x {width} cells")
    if min(height, width) < 5 and recipe.loss.name != "ce":
        say("  such a coarse map says little about where: raise data.image_size, or set model.output_stride to 16 or 8")
