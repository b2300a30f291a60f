"""Compare a finished run's maps with people's, and measure how its answers depend on the human region."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.marked import borrowing_classes, marked_classes
from salign.errors import SalignError, one_of
from salign.evaluate.agreement import METRICS, agreement
from salign.evaluate.consistency import mean_map
from salign.evaluate.reliance import COLUMNS, GROUP, reliance
from salign.evaluate.tables import read_figures
from salign.files import check_output, replace_csv, replace_text, replacing
from salign.losses.labels import has_class, predicted_class, true_class
from salign.maps import min_max, resize
from salign.models import Model
from salign.progress import track
from salign.readers import read_text
from salign.runs.compare import ANALYSIS, Maps
from salign.runs.run import Run
from salign.types import Batch

NAMED = ("set", "id", "label", "predicted")
"""The text columns of `agreement.csv`. A column per metric follows them."""


def analyse_run(
    run: Run,
    *,
    sets: Sequence[str] | None = None,
    images: int = 200,
    of: str = "predicted",
    seed: int = 0,
    draws: int = 1,
    progress: bool = False,
) -> dict[str, pd.DataFrame]:
    """Compare a run's maps with people's, and measure what its answers rely on; write it all to `run.path/analysis`.

    Maps that a machine made (column `provenance`) do not count: an image that has only a machine's map is treated as an
    image without a map. Which images are drawn depends on the seed and the set alone, so that all runs of a study are
    analysed on the same images. If the folder holds an analysis with the same arguments, that analysis is read and
    nothing is computed. Memory does not grow with the size of the images.

    Args:
        run: a finished run.
        sets: `val` or names of test sets; None = all sets of the run.
        images: the largest number of images per set; they are drawn at random.
        of: "predicted" or "true": the class whose class activation map is compared. Where images may have several
            labels, the map is the mean over the predicted or true classes of the image; an image without any such class
            has no map to compare.
        seed: decides which images are drawn, and what replaces their parts.
        draws: how often the replacement of a part is drawn; see `salign.evaluate.reliance.reliance`.
        progress: show a progress bar.

    Returns:
        Two tables. `agreement` has a row per annotated image whose human map is not blank, with the columns `NAMED` and
        a column per metric of `salign.evaluate.agreement`. `reliance` has the rows of
        `salign.evaluate.reliance.reliance`, with a column `set` in front. The maps themselves are read by
        `salign.runs.compare.read_maps`.

    Raises:
        SalignError: a set or the value of `of` is unknown, or the manifest has changed since the run was made.
    """
    names = choose_sets(run, sets, images)
    one_of(of, ("predicted", "true"), "of")
    folder = run.path / ANALYSIS
    repeated = {} if draws == 1 else {"draws": draws}  # left out if 1: an analysis by an earlier version stays valid
    settings = json.dumps({"sets": names, "images": images, "of": of, "seed": seed} | repeated)
    done = folder / "done"
    if done.is_file() and read_text(done) == settings:
        return _read(folder)
    check_output(folder, folder=True)
    done.unlink(missing_ok=True)

    classifier = run.model().to(analysis_device(run))
    positive = None if run.positive is None else run.classes.index(run.positive)
    tables: dict[str, list[pd.DataFrame]] = {"agreement": [], "reliance": []}
    arrays: dict[str, NDArray[Any]] = {}
    images_of = {name: draw_images(run, name, images, seed) for name in names}
    for name in names:
        agreed, relied, maps = _analyse_set(
            classifier,
            images_of[name],
            positive=positive,
            of=of,
            workers=run.recipe.data.workers,
            seed=seed,
            draws=draws,
            progress=f"analysing {name}" if progress else None,
        )
        tables["agreement"].append(agreed.assign(set=name))
        tables["reliance"].append(relied.assign(set=name))
        arrays |= {f"{name}/{field}": values for field, values in maps._asdict().items()}
    measured = [name for name in ("set", *COLUMNS) if draws > 1 or name != "sd"]
    for kind, columns in (("agreement", [*NAMED, *METRICS]), ("reliance", measured)):
        filled = [table for table in tables[kind] if len(table)] or tables[kind][:1]
        replace_csv(folder / f"{kind}.csv", pd.concat(filled)[columns])
    with replacing(folder / "maps.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy types its one keyword as if it were all
    replace_text(done, settings)
    return _read(folder)


def analysis_device(run: Run) -> str:
    """Return the device on which a finished run is analysed.

    It is "cuda" if CUDA is available and the recipe does not ask for the CPU, else "cpu".
    """
    return "cuda" if run.recipe.train.device != "cpu" and torch.cuda.is_available() else "cpu"


def choose_sets(run: Run, sets: Sequence[str] | None, images: int) -> list[str]:
    """Return the sets to analyse, each once; None stands for all sets of the run.

    Raises:
        SalignError: a set is unknown, no set is given, or `images` is less than 1.
    """
    known = run.sets
    names = list(dict.fromkeys(known if sets is None else sets))
    for name in names:
        one_of(name, known, "set")
    if images < 1 or not names:
        raise SalignError(f"expected at least one image and one set to analyse; got images={images}, sets={names}")
    return names


def unmarked_classes(dataset: SaliencyDataset) -> list[int]:
    """Return the number of the class that has no marked image, if there are two classes and the other has marks.

    The list has this one number, or is empty.

    Raises:
        SalignError: a map cannot be read.
    """
    if dataset.manifest.multi_label or len(dataset.classes) != 2:
        return []
    borrowing = borrowing_classes(marked_classes(dataset.manifest), dataset.classes)
    return [dataset.classes.index(name) for name in borrowing]


class _Seen(NamedTuple):
    """The part of a batch's results that is kept."""

    ids: NDArray[Any]
    maps: Tensor
    """`(B, h, w)` in [0, 1]."""
    human: Tensor
    """`(n, h, w)`: the maps of the n annotated images that are not blank."""
    annotated: Tensor
    predicted: NDArray[Any]
    """`(B,)`, in the form of `Maps.predicted`."""
    rows: pd.DataFrame
    """Rows of the agreement table, without the column `set`: those of the n images for which the model has a map."""


def _analyse_set(
    classifier: Model,
    dataset: SaliencyDataset,
    *,
    positive: int | None,
    of: str,
    workers: int | str,
    seed: int,
    draws: int,
    progress: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame, Maps]:
    """Compute agreement, reliance and maps of one set, reading every image once."""
    device = next(classifier.parameters()).device
    seen: list[_Seen] = []

    def batches() -> Iterator[Batch]:
        loader = predict_loader(dataset, GROUP, workers if len(dataset) > 8 * GROUP else 0)
        for batch in track(loader, progress or "", show=progress is not None):
            with torch.inference_mode():
                output = classifier(batch.images.to(device))
                predicted = predicted_class(output.logits, multi_label=batch.multi_label)
                classes = predicted if of == "predicted" else true_class(batch.labels.to(device))
                raw = output.cam(classes)
            answers = np.array(classifier.answers(output.logits), dtype=str)
            codes = answers if batch.multi_label else predicted.cpu().numpy()
            seen.append(_see(batch, raw.cpu(), has_class(classes).cpu(), codes, answers, dataset))
            yield batch

    relied = reliance(
        lambda images: classifier(images.to(device)).logits.float(),
        batches(),
        positive=positive,
        generator=torch.Generator().manual_seed(seed),
        classes=classifier.classes,
        unmarked=unmarked_classes(dataset),
        draws=draws,
    )
    maps, human, annotated = (
        torch.cat([getattr(part, field) for part in seen]) for field in ("maps", "human", "annotated")
    )
    people = mean_map(human) if len(human) else torch.full(maps.shape[1:], torch.nan)
    all_maps = Maps(
        np.concatenate([part.ids for part in seen]),
        maps.numpy().astype(np.float16),
        people.numpy().astype(np.float32),
        annotated.numpy(),
        np.concatenate([part.predicted for part in seen]),
    )
    return pd.concat([part.rows for part in seen]), relied, all_maps


def _see(
    batch: Batch, raw: Tensor, has_map: Tensor, codes: NDArray[Any], answers: NDArray[Any], dataset: SaliencyDataset
) -> _Seen:
    """Compare the raw maps `(B, h, w)` of a batch with people's, for the images for which the model has a map."""
    annotated = batch.marked
    compared = annotated & has_map
    people = batch.saliency[annotated, 0]
    rows = dataset.manifest.table.iloc[batch.index.numpy()]
    named = rows[["id", "label"]].assign(predicted=answers)[compared.numpy()]
    figures = agreement(raw[compared], batch.saliency[compared, 0])
    return _Seen(
        rows["id"].to_numpy(dtype=str),
        min_max(raw),
        resize(people, (raw.shape[1], raw.shape[2])),
        annotated,
        codes,
        named.assign(**{name: values.numpy() for name, values in figures.items()}),
    )


def draw_images(run: Run, name: str, images: int, seed: int) -> SaliencyDataset:
    """Draw at most `images` of the images of a set that the run predicted, in random order.

    Only the maps of people are kept; an image that a machine marked has no map here.

    Raises:
        SalignError: an image that the run predicted is no longer in the manifest.
    """
    dataset, ids = run.data(name), run.predictions(name)["id"]
    chosen = ids.iloc[np.random.default_rng(seed).permutation(len(ids))[:images]]
    manifest = dataset.manifest
    positions = pd.Index(manifest.table["id"].astype(str)).get_indexer(pd.Index(chosen))
    if (positions < 0).any():
        gone = chosen.iloc[int((positions < 0).argmax())]
        raise SalignError(
            f"{manifest.source} has no image {gone!r}, which {run.predictions_file(name)} was made from: it is no "
            "longer the manifest of this run. Bring it back, or train again."
        )
    return SaliencyDataset(manifest.take(positions).of_people(), dataset.classes, dataset.transform)


def _read(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the two tables as they were computed; the column `sd`, not written for a single draw, is NaN then."""
    texts = {"agreement": NAMED, "reliance": ("set", "kept", "fill", "metric", "note")}
    tables = {kind: read_figures(folder / f"{kind}.csv", text) for kind, text in texts.items()}
    tables["reliance"] = tables["reliance"].reindex(columns=["set", *COLUMNS])
    return tables
