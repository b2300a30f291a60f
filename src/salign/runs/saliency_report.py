"""Evaluate nets that predict human maps on held-out images, and draw their maps for folders of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from salign.data.manifest import Manifest
from salign.data.manifest.derive import MAP_FILE
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.agreement import METRICS, agreement
from salign.evaluate.annotators import against_annotators, ceiling, normalise
from salign.evaluate.statistics import bootstrap_counts, percentile_interval
from salign.files import check_output, replace_csv
from salign.maps import min_max
from salign.maps.files import write_map
from salign.models import SaliencyNet
from salign.progress import track
from salign.runs.predict import folder_manifests
from salign.runs.run import Run
from salign.types import Batch

NET, CENTRE, MEAN = "net", "centre", "mean_map"
"""The predictors that are measured: the net, a Gaussian in the middle of the image, and the mean of the training
maps."""
TEXT = ("set", "id", "predictor")
"""The text columns of `agreement.csv`. A column per metric follows them."""
CENTRE_SPREAD = 0.25
"""Standard deviation of the Gaussian in the middle of the image, as a share of each side."""


def predict_maps(
    net: SaliencyNet, dataset: SaliencyDataset, *, batch_size: int = 16, workers: int | str = "auto"
) -> Iterator[tuple[Batch, Tensor]]:
    """Yield the batches of a dataset with the predicted maps `(B, H, W)`, on the CPU, at constant memory."""
    device = next(net.parameters()).device
    net.eval()
    for batch in predict_loader(dataset, batch_size, workers):
        yield batch, net.predict(batch.images.to(device, memory_format=torch.channels_last)).cpu()


def evaluate_saliency(run: Run, net: SaliencyNet, *, progress: bool = False) -> pd.DataFrame:
    """Compare predicted with human maps, next to two predictors that see no image; write `agreement.csv`.

    Images whose human map is blank or constant are left out, because there is no place to agree on.

    Args:
        run: the run whose test sets are measured, and whose training maps make the mean map.
        net: its net, on the device to use.
        progress: show a progress bar.

    Returns:
        A table with the columns set, id, predictor (`net`, `centre` or `mean_map`), and one per metric of
        `salign.evaluate.agreement`.

    Raises:
        SalignError: no held-out image has a map with something marked.
    """
    priors = {CENTRE: centre_prior(net.image_size), MEAN: mean_training_map(run.data("train"), net.image_size)}
    rows: list[pd.DataFrame] = []
    for name, dataset in run.prepared.tests.items():
        batches = predict_maps(net, dataset)
        bar = track(batches, f"measuring {name}", show=progress, total=-(-len(dataset) // 16))
        for batch, predicted in bar:
            marked = batch.marked
            people = batch.saliency[marked, 0]
            if not len(people):
                continue
            ids = [dataset.manifest.image_id(int(k)) for k in batch.index[marked]]
            maps_of = {NET: predicted[marked], **{key: prior.expand_as(people) for key, prior in priors.items()}}
            for predictor, maps in maps_of.items():
                table = pd.DataFrame({key: value.numpy() for key, value in agreement(maps, people).items()})
                rows.append(table.assign(set=name, id=ids, predictor=predictor))
    if not rows:
        raise SalignError(f"{run.path}: no held-out image has a map with something marked; nothing to measure.")
    columns = ["set", "id", "predictor", *METRICS]
    whole = pd.concat(rows, ignore_index=True)[columns]
    replace_csv(run.path / "agreement.csv", whole)
    return whole


def summarise_agreement(table: pd.DataFrame, metric: str, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare the net with the predictors that see no image: means, and paired bootstrap intervals over images.

    Args:
        table: the table of `evaluate_saliency`.
        metric: name of a metric column.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    Returns:
        A row per set and prior, with the columns: set, images, net and value (means of the net and the prior), prior,
        difference (net - prior), low and high (its 95 % interval).
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


def share_of_ceiling(table: pd.DataFrame, people: Manifest, run: Path | str, metric: str = "cc") -> pd.DataFrame:
    """Compare a net's agreement with people to the agreement of people with each other.

    Each held-out image that several people marked gives three figures: the mean agreement of the net's map with each
    person's map, the same for a Gaussian in the middle of the image, and the ceiling, which is how well each person's
    map is predicted by the mean of the others' maps.

    Args:
        table: the table of `evaluate_saliency`, which says which images are held out.
        people: a manifest with a row per image and person, as `salign maps import ... --annotators each` writes it.
        run: the net's run folder.
        metric: a name of `salign.evaluate.agreement.METRICS`.

    Returns:
        A row per set, with the columns: set, images, people (mean number per image), net, centre, ceiling, share (net /
        ceiling).

    Raises:
        SalignError: no held-out image was marked by two or more people.
    """
    net = SaliencyNet.load(run)
    by_image = people.table[people.table["saliency"].notna()].groupby("path").indices
    held = table.drop_duplicates(["set", "id"]).groupby("id")["set"].agg(list)  # two sets may share images
    rows: list[dict[str, object]] = []
    for path, found_at in by_image.items():
        positions = np.asarray(found_at)
        names = next((held[key] for key in (str(path), Path(str(path)).stem) if key in held.index), [])
        if not names or len(positions) < 2:
            continue
        dataset = SaliencyDataset(people.take(positions), people.classes, build_transform(net.image_size))
        samples = [dataset[k] for k in range(len(dataset))]
        humans = torch.stack([min_max(sample.saliency[0]) for sample in samples])
        predicted = net.predict(samples[0].images[None])[0]
        figures = {
            "people": len(humans),
            NET: against_annotators(predicted, humans, metric),
            CENTRE: against_annotators(centre_prior(net.image_size), humans, metric),
            "ceiling": ceiling(humans, metric),
        }
        rows += [{"set": name, **figures} for name in names]
    if not rows:
        raise SalignError(f"{people.source}: no held-out image of {run} was marked by two or more people there.")
    results = []
    for name, part in pd.DataFrame(rows).groupby("set", sort=False):
        means = part[["people", NET, CENTRE, "ceiling"]].mean().to_dict()
        share = normalise(part[NET], part["ceiling"])
        results.append({"set": name, "images": len(part), **means, "share": share})
    return pd.DataFrame(results)


def centre_prior(size: tuple[int, int]) -> Tensor:
    """Return a Gaussian in the middle of the image, `(H, W)`.

    It scores well, because photographers tend to put their subject in the middle.
    """
    sides = [torch.linspace(-0.5, 0.5, side, dtype=torch.float32) / CENTRE_SPREAD for side in size]
    return torch.exp(-(sides[0][:, None] ** 2 + sides[1][None] ** 2) / 2)


def mean_training_map(train: SaliencyDataset, image_size: tuple[int, int]) -> Tensor:
    """Return the mean `(H, W)` of the training maps, not augmented, each min-max scaled to [0, 1]."""
    total, count = torch.zeros(()), 0
    for batch in predict_loader(train.with_transform(build_transform(image_size)), 32, 0):
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
    """Predict the map of every image below a folder (or of one image), at the size that the net was trained on.

    Args:
        run: the run folder of a net that draws maps.
        images: folder, searched with all its subfolders, or a file.
        out: folder for 16-bit PNG files, named by the column `MAP_FILE` of `folder_manifests`; it must lie outside of
            `images`.
        batch_size: images at a time.
        workers: number of processes that read images.
        progress: show a progress bar.

    Returns:
        The number of maps that were written.

    Raises:
        SalignError: there is no image, or an image cannot be read.
    """
    check_output(out, folder=True)
    net = SaliencyNet.load(run)
    done = 0
    for manifest in folder_manifests(images, out):
        dataset = SaliencyDataset(manifest, ["unknown"], build_transform(net.image_size))
        batches = predict_maps(net, dataset, batch_size=batch_size, workers=workers if len(manifest) > 64 else 0)
        total = -(-len(manifest) // batch_size)
        for batch, maps in track(batches, "predicting maps", show=progress, total=total):
            for position, values in zip(batch.index.tolist(), maps, strict=True):
                write_map(out / str(manifest.table[MAP_FILE].iat[position]), values)
                done += 1
    return done
