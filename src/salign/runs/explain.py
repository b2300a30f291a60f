"""Pictures of a finished run: image, human map and model map side by side, on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch

from salign.data.manifest import PROVENANCE
from salign.data.reading.datamodule import collate
from salign.errors import SalignError, one_of
from salign.explain import EXPLAINERS
from salign.files import check_output
from salign.losses.labels import predicted_class, true_class
from salign.models import Classifier
from salign.pages.gallery import Item, write_gallery
from salign.progress import track
from salign.runs.run import Run


def explain_run(
    run: Run,
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
        seed: decides the draw, and random masks.
        progress: show a bar.

    Raises:
        SalignError: unknown set, method or class; `rise`, where images may have several labels.
    """
    names = run.sets
    split = split or names[1 if len(names) > 1 else 0]
    for option, value, known in (
        ("set", split, names),
        ("method", method, EXPLAINERS),
        ("of", of, ("predicted", "true")),
    ):
        one_of(value, known, option)
    if run.multi_label and method == "rise":
        raise SalignError("rise explains one class, and images may have several here: take cam or grad_cam.")
    page = run.path / "explain" / f"{split}_{method}.html"
    check_output(page)
    classifier, dataset = run.model(), run.data(split)
    explainer = cast("Callable[..., torch.Tensor]", EXPLAINERS[method])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:images])
    items, machines = [], dataset.manifest.machine_made
    for position in track(chosen.tolist(), f"explaining {split}", show=progress):
        batch = collate([dataset[position]])
        with torch.inference_mode():
            logits = classifier(batch.images).logits
        classes = predicted_class(logits, multi_label=classifier.multi_label)
        classes = (true_class(batch.labels) if of == "true" else classes).clone()
        options = {"generator": torch.Generator().manual_seed(seed)} if method == "rise" else {}
        items.append(
            Item(
                id=str(dataset.manifest.table["id"].iat[position]),
                image=batch.images[0],
                human_map=batch.saliency[0, 0] if bool(batch.annotated[0]) else None,
                made_by=str(dataset.manifest.table[PROVENANCE].iat[position]) if machines[position] else None,
                model_map=explainer(classifier, batch.images, classes, **options)[0],
                label=_named(dataset.manifest.table["label"].iat[position]),
                predicted=_named(classifier.answers(logits)[0]),
                probability=_sureness(classifier, logits),
            )
        )
    return write_gallery(
        page,
        items,
        title=f"{run.recipe.name}: {split}, {method}",
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
