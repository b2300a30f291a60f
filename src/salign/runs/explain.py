"""The HTML page of a finished run: doubts, figures, curves, and a gallery of images with human and model maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch

from salign.data.manifest import PROVENANCE
from salign.data.manifest.derive import free_columns
from salign.data.manifest.provenance import map_columns
from salign.data.reading.datamodule import predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import read_image, read_saliency
from salign.errors import SalignError, one_of
from salign.evaluate.agreement import agreement
from salign.evaluate.predictions import text_of
from salign.explain import EXPLAINERS
from salign.files import check_output
from salign.location import quote
from salign.losses.labels import has_class, predicted_class, true_class
from salign.maps.tensor_ops import varies
from salign.models import Model
from salign.pages.gallery import Answer, Gallery, Item, encode_map, write_human_map, write_picture
from salign.pages.sheet import Section, write_sheet
from salign.progress import track
from salign.runs.page import run_sections
from salign.runs.run import Run
from salign.train.recipe import ClassifyRecipe

FOLDER = "page"
"""The folder of the page and its pictures in the run folder."""
MOST_GROUPS = 30
"""Columns with more different values are not offered as filters."""
_BATCH = 16


def explain_run(
    run: Run,
    *,
    beside: Run | None = None,
    sets: Sequence[str] | None = None,
    method: str = "cam",
    images: int = 300,
    of: str = "predicted",
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Write the page of a run, `page/index.html`. It opens without a network and can be moved with its folder.

    Args:
        run: a finished run of a classifier.
        beside: another run that answered the same images; the page is then `page/beside-NAME.html` and shows both runs.
        sets: `val` or test sets whose images are shown; None = all.
        method: a name of `EXPLAINERS`.
        images: the largest number of images of each set; they are drawn at random.
        of: "predicted" or "true": the class whose evidence is shown. Where images may have several labels, the map is
            the mean over the predicted or true classes.
        seed: decides which images are drawn, and random masks.
        progress: show progress bars.

    Returns:
        The path of the page.

    Raises:
        SalignError: a set, the method or the value of `of` is unknown; the run is no classifier; the two runs have
            different classes or images; or the method is `rise` and images may have several labels.
    """
    runs = {each.path.name: each for each in (run, beside) if each is not None}
    names = list(dict.fromkeys(run.sets if sets is None else sets))
    for option, values, known in (
        ("set", names, run.sets),
        ("method", [method], EXPLAINERS),
        ("of", [of], ("predicted", "true")),
    ):
        for value in values:
            one_of(value, known, option)
    _check(run, beside, method)
    folder = run.path / FOLDER
    page = folder / ("index.html" if beside is None else f"beside-{beside.path.name}.html")
    check_output(page)
    items = []
    for name in names:
        positions = np.sort(np.random.default_rng(seed).permutation(len(run.data(name)))[:images])
        label = f"explaining {name}" if progress else None
        items += _items(list(runs.values()), name, positions, folder, method=method, of=of, seed=seed, progress=label)
    every = len(items) == sum(len(run.data(name)) for name in names)
    caption = (
        f"{len(items)} images, {'all' if every else 'drawn at random'} from {', '.join(names)}. Maps: {method}, "
        f"evidence for the {of} class. Agreement: correlation of the model's map with people's; inside: the share of "
        "the model's map that lies where people marked. Choose an image to see it at its own size."
    )
    gallery = Section("Images", [Gallery(caption, items, list(runs))])
    report = run.path.parent.parent / "report.html"
    links = [("Report of the study", "../../../report.html")] if report.exists() else []
    return write_sheet(page, " beside ".join(runs), [*run_sections(runs), gallery], intro=_intro(runs), links=links)


def _check(run: Run, beside: Run | None, method: str) -> None:
    for each in (run, beside):
        if each is not None and not isinstance(each.recipe, ClassifyRecipe):
            measure = f": salign saliency evaluate {quote(each.path)} measures it" if each.recipe.task == "maps" else ""
            raise SalignError(f"{each.path} is {each.recipe.network}, and this page is about classifiers{measure}.")
    if run.multi_label and method == "rise":
        raise SalignError("rise explains one class, and images may have several here: take cam or grad_cam.")
    if beside is not None and beside.path.name == run.path.name:
        raise SalignError(
            f"{beside.path} cannot stand beside {run.path}: both folders are called {run.path.name}, and the page "
            "tells runs apart by the names of their folders. Rename one."
        )
    if beside is not None and beside.classes != run.classes:
        raise SalignError(
            f"{beside.path} cannot stand beside {run.path}: expected another run of the classes "
            f"{', '.join(run.classes)}, got {', '.join(beside.classes)}."
        )


def _intro(runs: Mapping[str, Run]) -> str:
    lines = []
    for name, run in runs.items():
        recipe = run.recipe
        assert isinstance(recipe, ClassifyRecipe)
        of = f"{name}: " if len(runs) > 1 else ""
        lines.append(
            f"{of}{recipe.model.backbone}, loss {recipe.loss.name}, {recipe.train.epochs} epochs, classes "
            f"{', '.join(run.classes)}, seed {recipe.seed}."
        )
    return "\n".join(lines)


def _items(
    runs: Sequence[Run],
    name: str,
    positions: np.ndarray,
    folder: Path,
    *,
    method: str,
    of: str,
    seed: int,
    progress: str | None,
) -> list[Item]:
    """Return the images of one set with the answers of every run; write pictures and human maps into the folder."""
    manifest = runs[0].data(name).manifest.take(positions)
    ids = [manifest.image_id(k) for k in range(len(manifest))]
    answers = [list(_answers(run, name, ids, method=method, of=of, seed=seed, progress=progress)) for run in runs]
    table, machines = manifest.table, manifest.machine_made
    maps = map_columns(table.columns)
    columns = [name for name in free_columns(manifest) if name not in maps and table[name].nunique() <= MOST_GROUPS]
    groups = {column: text_of(table, column) for column in columns}
    items = []
    for k in track(range(len(ids)), f"pictures of {name}", show=progress is not None):
        path = manifest.saliency_path(k)
        file = f"{name}-{positions[k]}".replace("/", "_")
        human, note = None, "nobody looked"
        if path is not None:
            values = read_saliency(path, where=manifest.where(k, "saliency"))
            human = write_human_map(folder, file, values)
            note = "" if bool(values.any()) else "a person looked and marked nothing"
            if machines[k]:
                note = f"made by {table[PROVENANCE].iat[k]}, not by a person"
        image = read_image(manifest.image_path(k), where=manifest.where(k))
        items.append(
            Item(
                id=ids[k],
                set=name,
                label=_named(table["label"].iat[k]) or ("none" if runs[0].multi_label else None),
                image=write_picture(folder, file, image),
                aspect=round(image.shape[2] / image.shape[1], 4),
                human=human,
                answers=[of_run[k] for of_run in answers],
                note=note,
                groups={column: cell for column, cells in groups.items() if (cell := str(cells.iat[k]))},
            )
        )
    return items


def _answers(
    run: Run, name: str, ids: Sequence[str], *, method: str, of: str, seed: int, progress: str | None
) -> Iterator[Answer]:
    """Yield a run's answer to each image, with its map.

    Raises:
        SalignError: an image is not in the set of this run.
    """
    classifier, whole = run.model(), run.data(name)
    positions = pd.Index(whole.manifest.table["id"].astype(str)).get_indexer(pd.Index(ids))
    if (positions < 0).any():
        raise SalignError(f"{run.path} has no image {ids[int((positions < 0).argmax())]!r} in its set {name}.")
    manifest = whole.manifest.take(positions)
    dataset = SaliencyDataset(manifest, whole.classes, whole.transform)
    explainer = cast("Callable[..., torch.Tensor]", EXPLAINERS[method])
    options = {"generator": torch.Generator().manual_seed(seed)} if method == "rise" else {}
    people = ~manifest.machine_made
    loader = predict_loader(dataset, _BATCH, run.recipe.data.workers if len(dataset) > 8 * _BATCH else 0)
    for batch in track(loader, progress or "", show=progress is not None):
        with torch.inference_mode():
            logits = classifier(batch.images).logits
        classes = predicted_class(logits, multi_label=classifier.multi_label)
        classes = (true_class(batch.labels) if of == "true" else classes).clone()
        maps = explainer(classifier, batch.images, classes, **options)
        compared = batch.marked & has_class(classes) & torch.from_numpy(people[batch.index.numpy()])
        figures = agreement(maps.float(), batch.saliency[:, 0], ("cc", "energy"))
        answers = classifier.answers(logits)
        for k in range(len(maps)):
            yield Answer(
                predicted=_named(answers[k]) or "none",
                probability=_sureness(classifier, logits[k : k + 1]),
                map=encode_map(maps[k]),
                agreement=_number(figures["cc"][k], bool(compared[k])),
                energy=_number(figures["energy"][k], bool(compared[k])),
                note="" if bool(varies(maps[k].float())) else "the same everywhere",
            )


def _number(value: torch.Tensor, known: bool) -> float | None:
    return round(float(value), 4) if known and bool(value.isfinite()) else None


def _named(answer: object) -> str | None:
    """Return the text of a cell, or None if the cell is empty or missing."""
    return str(answer) if isinstance(answer, str) and answer else None


def _sureness(classifier: Model, logits: torch.Tensor) -> float:
    """Return the probability of the answer to one image.

    Where images may have several labels, each class is a yes or no with a probability of at least one half; the
    smallest of these probabilities is returned.
    """
    probabilities = classifier.probabilities(logits)[0]
    if classifier.multi_label:
        return round(float(torch.maximum(probabilities, 1 - probabilities).min()), 4)
    return round(float(probabilities.max()), 4)
