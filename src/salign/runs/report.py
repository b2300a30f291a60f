"""What a finished run says: predictions, figures and pictures, written into its folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from salign.data.manifest import PROVENANCE
from salign.data.reading.datamodule import collate
from salign.errors import SalignError
from salign.evaluate import choose_threshold, evaluate_multi_label, evaluate_predictions
from salign.explain import EXPLAINERS
from salign.files import check_output, replace_text
from salign.losses.labels import predicted_class, true_class
from salign.models import Classifier, Threshold, load
from salign.pages.gallery import Item, write_gallery
from salign.runs.folder import RunFolder
from salign.runs.predict import predict_batches
from salign.train.prepare import Prepared, prepare
from salign.train.recipe import Recipe


def report(
    run: RunFolder, classifier: Classifier, data: Prepared, recipe: Recipe, *, progress: bool = False
) -> dict[str, int]:
    """Predict validation and test images; write `predictions/` and `evaluation.csv`; give the rows of each set."""
    rows = {}
    for name, dataset in {"val": data.val, **data.tests}.items():
        chunks = predict_batches(
            classifier, dataset, workers=recipe.data.workers, progress=f"predicting {name}" if progress else None
        )
        table = pd.concat(list(chunks)).assign(split=name)
        run.predictions(name).parent.mkdir(exist_ok=True)
        replace_text(run.predictions(name), table.to_csv(index=False))
        rows[name] = len(table)
    evaluate_run(run, seed=recipe.seed, progress=progress)
    return rows


def evaluate_run(
    run: RunFolder,
    *,
    rule: str = "eer",
    species: str | None = None,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Compute every figure from the saved predictions and write `evaluation.csv`.

    With two classes the threshold is fixed on validation by `rule`; test images never choose anything. It is kept in
    `model.json`, see `salign.models.Threshold`. Where images may have several labels there is no such threshold: a
    class is predicted above a probability of one half.

    Args:
        run: its `predictions/` are read.
        rule: see `salign.evaluate.choose_threshold`.
        species: column with the kind of attack; None = the recipe's.
        groups: columns to report on by value; None = the recipe's.
        resamples: number of resamples of the bootstrap.
        confidence: level of the intervals, in (0, 1).
        seed: decides the bootstrap.
        progress: show a bar.

    Returns:
        The table written.

    Raises:
        SalignError: a rule or a kind of attack, where images may have several labels.
    """
    check_output(run.evaluation)
    recipe = Recipe.read(run.recipe)
    classes = Classifier.describe(run.path)["classes"]
    species = species or recipe.data.species
    groups = recipe.data.groups if groups is None else groups
    several = recipe.data.multi_label
    if several and (species or rule != "eer"):
        raise SalignError(
            f"{run.path}: images may have several labels (data.multi_label), so that there is no positive class: leave "
            "threshold and species out."
        )
    positive = (recipe.data.positive or classes[-1]) if len(classes) == 2 and not several else None
    tables = {name: run.read_predictions(name, classes, multi_label=several) for name in set_names(recipe)}
    chosen = None
    if positive is not None:
        probability = choose_threshold(tables["val"], classes, positive, rule, species_column=species)
        chosen = Threshold(positive=positive, probability=probability, rule=rule)
    figures_of: Callable[..., pd.DataFrame] = evaluate_multi_label
    if not several:
        figures_of = functools.partial(
            evaluate_predictions,
            positive=positive,
            threshold=chosen.probability if chosen else None,
            species_column=species,
        )
    parts = [
        figures_of(
            table,
            classes,
            group_columns=groups,
            resamples=resamples,
            confidence=confidence,
            generator=np.random.default_rng(seed),
            progress=progress,
        )
        for table in tables.values()
    ]
    figures = pd.concat(parts, ignore_index=True)
    replace_text(run.evaluation, figures.to_csv(index=False))
    if chosen is not None:
        Classifier.keep_threshold(run.path, chosen)
    return figures


def set_names(recipe: Recipe) -> list[str]:
    """`val`, then the test sets in the order of the recipe."""
    return ["val", *recipe.data.test]


def explain_run(
    run: RunFolder,
    *,
    split: str | None = None,
    method: str = "cam",
    images: int = 48,
    of: str = "predicted",
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Write a page with image, human map and model map of some images, drawn at random.

    Args:
        run: a finished run.
        split: `val` or a test set; None = the first test set.
        method: a name of `EXPLAINERS`.
        images: at most so many.
        of: whose evidence, "predicted" or "true"; where images may have several labels, the mean over those.
        seed: decides the draw and of random masks.
        progress: show a bar.

    Raises:
        SalignError: unknown set, method or class; `rise`, where images may have several labels.
    """
    recipe = Recipe.read(run.recipe)
    names = set_names(recipe)
    split = split or names[1 if len(names) > 1 else 0]
    for option, value, known in (
        ("set", split, names),
        ("method", method, EXPLAINERS),
        ("of", of, ("predicted", "true")),
    ):
        if value not in known:
            raise SalignError(f"unknown {option} {value!r}; there are {', '.join(known)}.")
    if recipe.data.multi_label and method == "rise":
        raise SalignError("rise explains one class, and images may have several here: take cam or grad_cam.")
    page = run.path / "explain" / f"{split}_{method}.html"
    check_output(page)
    classifier, data = load(run.path), prepare(recipe.data)
    dataset = {"val": data.val, **data.tests}[split]
    explainer = cast("Callable[..., torch.Tensor]", EXPLAINERS[method])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:images])
    items, machines = [], dataset.manifest.machine_made
    for position in track(chosen.tolist(), f"explaining {split}", disable=not progress, transient=True):
        batch = collate([dataset[position]])
        with torch.inference_mode():
            logits = classifier(batch.images).logits
        asked = predicted_class(logits, multi_label=classifier.multi_label)
        asked = (true_class(batch.labels) if of == "true" else asked).clone()
        options = {"generator": torch.Generator().manual_seed(seed)} if method == "rise" else {}
        items.append(
            Item(
                id=str(dataset.manifest.table["id"].iat[position]),
                image=batch.images[0],
                human_map=batch.saliency[0, 0] if bool(batch.annotated[0]) else None,
                made_by=str(dataset.manifest.table[PROVENANCE].iat[position]) if machines[position] else None,
                model_map=explainer(classifier, batch.images, asked, **options)[0],
                label=_named(dataset.manifest.table["label"].iat[position]),
                predicted=_named(classifier.answers(logits)[0]),
                probability=_sureness(classifier, logits),
            )
        )
    return write_gallery(
        page,
        items,
        title=f"{recipe.name}: {split}, {method}",
        intro=f"{len(items)} of {len(dataset)} images, drawn at random. Evidence for the {of} class.",
    )


def _named(answer: object) -> str:
    return str(answer) if isinstance(answer, str) and answer else "none"


def _sureness(classifier: Classifier, logits: torch.Tensor) -> float:
    """Probability of the answer to one image; where it may be several classes, of the least sure yes or no."""
    probabilities = classifier.probabilities(logits)[0]
    if classifier.multi_label:
        return float(torch.maximum(probabilities, 1 - probabilities).min())
    return float(probabilities.max())
