"""Training a net that predicts human maps, and measuring it on people whose maps it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor

from salign.data.datamodule import SaliencyDataModule, predict_loader
from salign.data.dataset import SaliencyDataset
from salign.data.transforms import build_transform
from salign.evaluate.agreement import METRICS, agreement
from salign.evaluate.statistics import bootstrap_counts, percentile_interval
from salign.files import replace_text
from salign.losses.map_losses import MAP_LOSSES, mse
from salign.maps import min_max
from salign.maps.files import write_map
from salign.models import SaliencyNet
from salign.models.saliency_net import CONFIG, ENCODER
from salign.models.saved import read_config
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.predict import folder_manifests
from salign.train.prepare import Prepared, prepare
from salign.train.recipe import Recipe
from salign.train.run import RunFolder
from salign.train.saliency_recipe import SaliencyRecipe
from salign.train.trainer import choose_device, run_trainer, training_options
from salign.types import Batch, SalignError

Say = Callable[[str], None]
NET, CENTRE, MEAN = "net", "centre", "mean_map"
"""What is measured: the net, a Gaussian in the middle of the image, and the mean of the training maps."""
CENTRE_SPREAD = 0.25
"""Standard deviation of the centre prior as a share of each side."""

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
    """Train, keep the best epoch, and measure it on the annotated images of validation and every test set.

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
        SalignError: bad data or settings, too few maps, or an unfinished run is there and `resume` was not asked for.
    """
    run = RunFolder.of(recipe, out)
    if not run.begin(resume, say):
        return run
    data = prepare(recipe.data, progress=progress)
    train, val = _people(recipe, data, say)
    for name, part in (("training", train), ("validation", val)):
        machine = int(part.manifest.machine_made.sum())
        made = f" ({machine} of them made by a machine)" if machine else ""
        say(f"{name}: {len(part)} images with a map{made}")
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
    device = choose_device(recipe.train.device)
    run.start(recipe)
    options = recipe.train
    loaders = SaliencyDataModule(
        train=train, val=val, batch_size=options.batch_size, workers=recipe.data.workers, seed=recipe.seed
    )
    keep = KeepBest(run.path, net, monitor=None if options.select == "last" else "val/loss", ties="first", lowest=True)
    module = SaliencyTraining(net, recipe.loss.name, recipe.loss.target, **training_options(options, recipe.seed))
    run_trainer(module, loaders, keep, run, options, device, progress=progress)
    if recipe.loss.target == "map":
        tests = {name: annotated_rows(part) for name, part in data.tests.items()}
        sets = {"val": val, **{name: part for name, part in tests.items() if part is not None}}
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
    order = np.random.default_rng(recipe.data.seed).permutation(len(train))
    held = len(train) // 5
    say(f"no validation image has a map: {held} of the {len(train)} annotated training images are held out instead")
    return train.take(np.sort(order[held:])), train.take(np.sort(order[:held]))


def start_from(recipe: Recipe, run: Path | str) -> Recipe:
    """MENTOR's second step: the recipe of a classifier that starts from the encoder of a net trained on human maps.

    Raises:
        SalignError: no finished run of `fit_saliency` there, or one of another backbone.
    """
    folder = RunFolder.open(run).path
    encoder = folder / ENCODER
    described = read_config(folder / CONFIG, ("backbone",), "salign saliency train")
    if described["backbone"] != recipe.model.backbone:
        raise SalignError(
            f"{folder} was trained with {described['backbone']}, and the recipe asks for {recipe.model.backbone}; "
            f"set model.backbone to {described['backbone']}, or train a net with the other."
        )
    return recipe.with_values({"model": {"weights": str(encoder.resolve())}})


def annotated_rows(dataset: SaliencyDataset) -> SaliencyDataset | None:
    """The images with a map, blank or not; None if there is none."""
    rows = np.flatnonzero(dataset.annotated.numpy())
    return dataset.take(rows) if len(rows) else None


def predict_maps(
    net: SaliencyNet, dataset: SaliencyDataset, *, batch_size: int = 16, workers: int | str = "auto"
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of a dataset with the predicted maps `(B, H, W)`, on the CPU, at constant memory."""
    device = next(net.parameters()).device
    net.eval()
    for batch in predict_loader(dataset, batch_size, workers):
        yield batch, net.predict(batch.images.to(device, memory_format=torch.channels_last)).cpu()


def evaluate_saliency(
    run: RunFolder,
    net: SaliencyNet,
    train: SaliencyDataset,
    sets: dict[str, SaliencyDataset],
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """Compare predicted with human maps, beside two predictors that see no image; write `agreement.csv`.

    Images whose map is blank or constant have no place to agree on and do not count.

    Args:
        run: where the table goes.
        net: on the device to use.
        train: its maps make the mean map.
        sets: annotated images by the name of their set.
        progress: show a bar.

    Returns:
        Columns set, id, predictor (`net`, `centre`, `mean_map`) and one per metric of `salign.evaluate.agreement`.
    """
    priors = {CENTRE: centre_prior(net.image_size), MEAN: mean_training_map(train)}
    rows: list[pd.DataFrame] = []
    for name, dataset in sets.items():
        batches = predict_maps(net, dataset)
        shown = track(batches, f"measuring {name}", transient=True, disable=not progress, total=-(-len(dataset) // 16))
        for batch, predicted in shown:
            marked = batch.marked
            people = batch.saliency[marked, 0]
            if not len(people):
                continue
            ids = [dataset.manifest.image_id(int(k)) for k in batch.index[marked]]
            found = {NET: predicted[marked], **{key: prior.expand_as(people) for key, prior in priors.items()}}
            for predictor, maps in found.items():
                table = pd.DataFrame({key: value.numpy() for key, value in agreement(maps, people).items()})
                rows.append(table.assign(set=name, id=ids, predictor=predictor))
    if not rows:
        raise SalignError(f"{run.path}: no held-out image has a map with something marked; nothing to measure.")
    columns = ["set", "id", "predictor", *METRICS]
    whole = pd.concat(rows, ignore_index=True)[columns]
    replace_text(run.path / "agreement.csv", whole.to_csv(index=False))
    return whole


def summarise_agreement(table: pd.DataFrame, metric: str, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How much better the net is than what sees no image: means, and paired bootstrap intervals over images.

    Args:
        table: from `evaluate_saliency`.
        metric: a column of it.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        A row per set and prior: set, images, net, prior, value, difference (net - prior), low, high (95 %).
    """
    rows = []
    for name, part in table.groupby("set", sort=False):
        values = part.pivot(index="id", columns="predictor", values=metric)
        for prior in (CENTRE, MEAN):
            pair = values[[NET, prior]].dropna()
            if pair.empty:
                continue
            difference = (pair[NET] - pair[prior]).to_numpy()
            counts = np.concatenate(list(bootstrap_counts(np.zeros(len(pair)), resamples, np.random.default_rng(seed))))
            low, high = percentile_interval(counts @ difference / len(pair))
            rows.append(
                {
                    "set": name,
                    "images": len(pair),
                    "net": pair[NET].mean(),
                    "prior": prior,
                    "value": pair[prior].mean(),
                    "difference": difference.mean(),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def centre_prior(size: tuple[int, int]) -> Tensor:
    """`(H, W)`: a Gaussian in the middle of the image, which scores well wherever photographers aim."""
    sides = [torch.linspace(-0.5, 0.5, side, dtype=torch.float32) / CENTRE_SPREAD for side in size]
    return torch.exp(-(sides[0][:, None] ** 2 + sides[1][None] ** 2) / 2)


def mean_training_map(train: SaliencyDataset) -> Tensor:
    """`(H, W)`: mean of the training maps, each scaled to [0, 1]."""
    total, count = torch.zeros(()), 0
    for batch in predict_loader(train, 32, 0):
        total = total + min_max(batch.saliency[:, 0]).sum(0)
        count += len(batch.labels)
    return total / count


def predict_folder_maps(
    run: Path | str,
    images: Path,
    out: Path,
    *,
    batch_size: int = 16,
    workers: int | str = "auto",
    progress: bool = False,
) -> int:
    """Predict the map of every image below a folder (or of one image), each at the size the net was trained on.

    Args:
        run: a run folder of `fit_saliency`.
        images: folder, searched to the bottom, or a file.
        out: folder for 16-bit PNG files with the paths of the images; outside of `images`.
        batch_size: images at a time.
        workers: processes that read images.
        progress: show a bar.

    Returns:
        How many maps were written.

    Raises:
        SalignError: no image there, or one that cannot be read.
    """
    net = SaliencyNet.load(run)
    done = 0
    for manifest in folder_manifests(images, out):
        dataset = SaliencyDataset(manifest, ["unknown"], build_transform(net.image_size))
        batches = predict_maps(net, dataset, batch_size=batch_size, workers=workers if len(manifest) > 64 else 0)
        total = -(-len(manifest) // batch_size)
        for batch, maps in track(batches, "predicting maps", transient=True, disable=not progress, total=total):
            for position, values in zip(batch.index.tolist(), maps, strict=True):
                write_map(out / Path(str(manifest.table["path"].iat[position])).with_suffix(".png"), values)
                done += 1
    return done
