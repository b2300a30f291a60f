"""Refit the head of a run on features in which the rare classes have as many samples as the largest class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.feature_gap import feature_gap
from salign.models import Classifier
from salign.runs.predict import predict_batches
from salign.runs.run import Run
from salign.train.rebalance import oversample, retrain_head
from salign.train.recipe import RebalanceRecipe


def rebalanced_model(
    run: Run, options: RebalanceRecipe, say: Callable[[str], None], *, device: str, progress: bool, **_: Any
) -> tuple[Classifier, dict[str, Any]]:
    """Return the classifier of a finished run with a newly trained head; its other layers do not change.

    Args:
        run: a finished run of a classifier whose images have one label each.
        options: how features are added, and how the head is trained; see `salign.train.rebalance`.
        say: receives lines for the user.
        device: device that computes the features.
        progress: show progress bars.

    Returns:
        The classifier, and notes about it: `images`, the number of training images of each class, and `gap`, the
        `feature_gap` of each set and class before and after features were added.

    Raises:
        SalignError: the run was fused, its images may have several labels, it learned from soft targets, or its head is
            not linear.
    """
    model = linear_classifier(run, "class")
    if run.recipe.data.targets is not None:
        raise SalignError(f"{run.path} learned from soft targets (data.targets); a head learns anew from labels alone.")
    trained = run.data("train")
    plain = SaliencyDataset(trained.manifest, run.classes, build_transform(run.recipe.data.image_size))
    known = {"train": plain, **{name: run.data(name) for name in run.sets}}
    features_of = {name: pooled(model.to(device), part, name, progress) for name, part in known.items()}
    features, labels = features_of["train"]
    seed = run.recipe.seed if options.seed is None else options.seed
    generator = np.random.default_rng(seed)
    added, owners, repeated = oversample(
        features, labels, options.method, generator, neighbours=options.neighbours, reach=options.reach
    )
    counts = np.bincount(labels, minlength=len(run.classes))
    now = np.bincount(owners, minlength=len(run.classes))
    for name, before, after in zip(run.classes, counts, now, strict=True):
        say(f"{name}: {before} training images" + f", {after - before} features added" * bool(after > before))
    for k, why in repeated.items():
        say(f"  {run.classes[k]}: {why}; its features are repeated")
    retrain_head(
        model.cpu(),
        added,
        owners,
        epochs=options.epochs,
        lr=options.lr,
        momentum=options.momentum,
        batch_size=run.recipe.train.batch_size,
        seed=seed,
    )
    gap = {}
    for name, (seen, truth) in features_of.items():
        if name != "train":
            gaps = [
                feature_gap(*trained_on, seen, truth, len(run.classes))
                for trained_on in ((features, labels), (added, owners))
            ]
            gap[name] = {
                label: {"before": float(a), "after": float(b)} for label, a, b in zip(run.classes, *gaps, strict=True)
            }
    return model, {"images": dict(zip(run.classes, counts.tolist(), strict=True)), "gap": gap}


def linear_classifier(run: Run, rare: str) -> Classifier:
    """Return the network of a finished run whose head can be refitted.

    Args:
        run: a finished run of a classifier.
        rare: "class" or "group": what the new head balances; the word is used in the error message.

    Raises:
        SalignError: the run was fused, or its images may have several labels.
    """
    model = run.model()
    if not isinstance(model, Classifier):
        raise SalignError(f"{run.path} was fused, and each of its members has a head of its own; take its source.")
    if run.multi_label:
        raise SalignError(f"{run.path}: its images may have several labels, so that no {rare} is the rare one.")
    return model


def pooled(
    model: Classifier, dataset: SaliencyDataset, name: str, progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the spatial means `(N, C)` of the feature maps, and the labels `(N,)`; unlabelled images are left out."""
    parts: list[Tensor] = []
    title = f"features of {name}" if progress else None
    for _ in predict_batches(
        model,
        dataset,
        workers=0 if len(dataset) < 200 else "auto",
        visit=lambda _, output: parts.append(output.features.mean((2, 3)).float().cpu()),
        progress=title,
    ):
        pass
    labels = dataset.labels.numpy()
    features = np.concatenate([part.numpy() for part in parts])
    return features[labels >= 0], labels[labels >= 0]
