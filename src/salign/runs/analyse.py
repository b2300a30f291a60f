"""Where a finished run looks and what it uses: its maps against people's, and its answers without the human region."""

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
from salign.runs.compare import FOLDER, Maps
from salign.runs.run import Run
from salign.types import Batch

NAMED = ("set", "id", "label", "predicted")
"""Text columns of `agreement.csv`; one per metric follows."""


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

    Maps that a machine made (column `provenance`) are nobody's: an image that has only such a map counts as without.
    The images drawn are a function of the seed and the set alone, so that all runs of a study show the same. Asked
    again for the same, it reads what is there. Memory does not grow with the size of the images.

    Args:
        run: a finished run.
        sets: `val` and test sets; None = all.
        images: at most so many per set, drawn at random.
        of: whose map, that of the "predicted" or of the "true" class. Where images may have several labels, it is the
            mean over those; an image with none has no map to compare.
        seed: decides which images are drawn, and what replaces their parts.
        draws: how often what replaces a part is drawn; see `salign.evaluate.reliance.reliance`.
        progress: show a bar.

    Returns:
        `agreement`: a row per annotated image that is not blank, with the columns `NAMED` and one per metric of
        `salign.evaluate.agreement`; `reliance`: the rows of `salign.evaluate.reliance.reliance` with a column set in
        front. The maps are read by `salign.runs.compare.read_maps`.

    Raises:
        SalignError: an unknown set or class, or the manifest is no longer that of the run.
    """
    names = choose_sets(run, sets, images)
    one_of(of, ("predicted", "true"), "of")
    folder = run.path / FOLDER
    repeated = {} if draws == 1 else {"draws": draws}  # so that what earlier versions measured is not measured again
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
    """Where a finished run is analysed: on CUDA where there is any, unless it was trained on the CPU on purpose."""
    return "cuda" if run.recipe.train.device != "cpu" and torch.cuda.is_available() else "cpu"


def choose_sets(run: Run, sets: Sequence[str] | None, images: int) -> list[str]:
    """The sets to analyse, each once; None = all of the run.

    Raises:
        SalignError: an unknown set, or fewer than one set or image.
    """
    known = run.sets
    names = list(dict.fromkeys(known if sets is None else sets))
    for name in names:
        one_of(name, known, "set")
    if images < 1 or not names:
        raise SalignError(f"expected at least one image and one set to analyse; got images={images}, sets={names}")
    return names


def unmarked_classes(dataset: SaliencyDataset) -> list[int]:
    """The number of the class on whose images nothing is marked, if there are two and the other has marks; else none.

    Raises:
        SalignError: a map cannot be read.
    """
    if dataset.manifest.multi_label or len(dataset.classes) != 2:
        return []
    borrowing = borrowing_classes(marked_classes(dataset.manifest), dataset.classes)
    return [dataset.classes.index(name) for name in borrowing]


class _Seen(NamedTuple):
    """What is kept of one batch."""

    ids: NDArray[Any]
    maps: Tensor
    """`(B, h, w)` in [0, 1]."""
    human: Tensor
    """`(n, h, w)`: of the n annotated images that are not blank."""
    annotated: Tensor
    predicted: NDArray[Any]
    """`(B,)` as `Maps` has it."""
    rows: pd.DataFrame
    """`n` rows of agreement, without the set."""


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
    """Agreement, reliance and maps of one set; every image is read once."""
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
    """Compare the `(B, h, w)` raw maps of a batch with people's, where the model has one."""
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
    """Draw at most so many of the images of a set that the run answered, in random order, with people's maps alone.

    Raises:
        SalignError: the manifest no longer has an image that the run answered.
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
    """What was written, as it was computed; where it was drawn once, no standard deviation was written."""
    texts = {"agreement": NAMED, "reliance": ("set", "kept", "fill", "metric", "note")}
    tables = {kind: read_figures(folder / f"{kind}.csv", text) for kind, text in texts.items()}
    tables["reliance"] = tables["reliance"].reindex(columns=["set", *COLUMNS])
    return tables
