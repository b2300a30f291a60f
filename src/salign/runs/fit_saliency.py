"""Training a net that predicts human maps, and starting a classifier from one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.errors import SalignError
from salign.losses.map_losses import MAP_LOSSES, mse
from salign.maps import min_max
from salign.models import SaliencyNet
from salign.models.saliency_net import CONFIG, ENCODER, NetConfig
from salign.models.saved import read_config
from salign.runs.folder import RunFolder
from salign.runs.inputs import check_inputs, note_inputs
from salign.runs.saliency_report import evaluate_saliency
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.prepare import Prepared, of_machines, prepare
from salign.train.recipe import Recipe, SaliencyRecipe
from salign.train.trainer import choose_device, run_trainer, training_options
from salign.types import Batch

Say = Callable[[str], None]
FEWEST = 10
"""Annotated training images needed where a fifth of them is held out for validation."""


class SaliencyTraining(Training):
    """Trains a net on annotated images alone; blank maps count where the loss has a meaning for them."""

    def __init__(self, net: SaliencyNet, loss: str, target: str, **options: Any) -> None:
        super().__init__(**options)
        self.net = net.to(memory_format=self.format)
        self.loss, self.target = loss, target

    def _distance(self, batch: Batch) -> Tensor:
        logits = self.net(batch.images.contiguous(memory_format=self.format)).float()
        if self.target == "image":
            return mse(logits.flatten(0, 1), batch.images.flatten(0, 1))
        return MAP_LOSSES[self.loss](logits[:, 0], min_max(batch.saliency[:, 0]))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """One forward pass and the loss."""
        total = self._distance(batch)
        self.log_step(total, {}, len(batch.labels))
        return total

    def validation_step(self, batch: Batch, _: int) -> None:
        """The loss on held-out images."""
        self.log("val/loss", self._distance(batch), on_epoch=True, batch_size=len(batch.labels), sync_dist=True)


def fit_saliency(
    recipe: SaliencyRecipe,
    out: Path | str = "runs",
    *,
    resume: bool = False,
    progress: bool = True,
    say: Say = print,
) -> RunFolder:
    """Train, keep the best epoch, and measure it on the images of validation and every test set that people annotated.

    Args:
        recipe: the whole description of the run.
        out: folder that run folders go into.
        resume: go on with a run that was cut off; its weights end as if it had not been.
        progress: show bars.
        say: receives lines for the user.

    Returns:
        The run folder: besides what every run has, `saliency.json`, `weights.safetensors`, `encoder.safetensors` for a
        classifier to start from, and `agreement.csv` (a row per image and predictor).

    Raises:
        SalignError: bad data or settings, too few maps, or an unfinished run is there and `resume` was not asked for,
            or it began with other images or maps.
    """
    run = RunFolder.of(recipe, out)
    if not run.begin(resume, say):
        return run
    device = choose_device(recipe.train.device)
    data = prepare(recipe.data, progress=progress)
    check_inputs(run, data)
    train, val = _people(recipe, data, say)
    sets = {"val": _of_people(val), **{name: _of_people(part) for name, part in data.tests.items()}}
    sets = {name: part for name, part in sets.items() if len(part)}
    if recipe.loss.target == "map" and not sets:
        raise SalignError(
            f"{recipe.data.manifest}: no image of validation or test has a map that a person made; a net is measured "
            "against people, not against a machine."
        )
    for name, part in (("training", train), ("validation", val)):
        say(f"{name}: {len(part)} images with a map{of_machines(part)}")
    net = SaliencyNet(
        recipe.model.backbone,
        image_size=recipe.data.image_size,
        decoder=recipe.model.decoder,
        channels=3 if recipe.loss.target == "image" else 1,
        width=recipe.model.width,
        weights=recipe.model.weights,
        output_stride=recipe.model.output_stride,
        args=recipe.model.args,
        seed=recipe.seed,
    )
    say(f"{recipe.model.backbone} with a {recipe.model.decoder} decoder: {net.origin}")
    run.start(recipe)
    note_inputs(run, data)
    options = recipe.train
    loaders = SaliencyDataModule(
        train=train, val=val, batch_size=options.batch_size, workers=recipe.data.workers, seed=recipe.seed
    )
    keep = KeepBest(run.path, net, monitor=None if options.select == "last" else "val/loss", ties="first", lowest=True)
    module = SaliencyTraining(net, recipe.loss.name, recipe.loss.target, **training_options(options, recipe.seed))
    run_trainer(module, loaders, keep, run.path, options, device, progress=progress)
    if recipe.loss.target == "map":
        evaluate_saliency(run, SaliencyNet.load(run.path).to(device), train, sets, progress=progress)
    run.finish()
    return run


def _people(recipe: SaliencyRecipe, data: Prepared, say: Say) -> tuple[SaliencyDataset, SaliencyDataset]:
    """The annotated images to train and to validate on; a fifth of the first is held out where the second has none."""
    train, val = annotated_rows(data.train), annotated_rows(data.val)
    if train is None or (val is None and len(train) < FEWEST):
        found = [0 if part is None else len(part) for part in (train, val)]
        raise SalignError(
            f"{recipe.data.manifest}: {found[0]} images of the training splits have a map, and {found[1]} of the "
            f"validation splits; expected some in both, or {FEWEST} in training."
        )
    if val is not None:
        return train, val
    own = np.flatnonzero(~train.manifest.machine_made)
    if len(own) < FEWEST:
        raise SalignError(
            f"{recipe.data.manifest}: no validation image has a map, and {len(own)} of the training images a person's; "
            f"expected {FEWEST} to hold some of them out: a net is measured against people, not against a machine."
        )
    held = np.random.default_rng(recipe.data.seed).permutation(own)[: len(own) // 5]
    say(
        f"no validation image has a map: {len(held)} of the {len(train)} annotated training images are held out instead"
    )
    return train.take(np.setdiff1d(np.arange(len(train)), held)), train.take(np.sort(held))


def start_from(recipe: Recipe, run: Path | str) -> Recipe:
    """MENTOR's second step: the recipe of a classifier that starts from the encoder of a net trained on human maps.

    Raises:
        SalignError: no finished run of `fit_saliency` there, or one of another backbone.
    """
    folder = RunFolder.open(run).path
    encoder = folder / ENCODER
    described = read_config(folder / CONFIG, NetConfig, "salign saliency train")
    if described["backbone"] != recipe.model.backbone:
        raise SalignError(
            f"{folder} was trained with {described['backbone']}, and the recipe asks for {recipe.model.backbone}; "
            f"set model.backbone to {described['backbone']}, or train a net with the other."
        )
    return recipe.with_values({"model": {"weights": str(encoder.resolve())}})


def _of_people(dataset: SaliencyDataset) -> SaliencyDataset:
    """The images with a map that no machine made, blank or not."""
    return dataset.take(np.flatnonzero(dataset.annotated.numpy() & ~dataset.manifest.machine_made))


def annotated_rows(dataset: SaliencyDataset) -> SaliencyDataset | None:
    """The images with a map, blank or not; None if there is none."""
    rows = np.flatnonzero(dataset.annotated.numpy())
    return dataset.take(rows) if len(rows) else None
