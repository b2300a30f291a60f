"""Deep feature reweighting (DFR): refit a run's linear head on equally many validation images of every group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from salign.data.groups import number_groups
from salign.errors import SalignError
from salign.models import Classifier
from salign.runs.rebalance import linear_classifier, pooled
from salign.runs.run import Run
from salign.train.dfr import reweight, set_last_layer
from salign.train.recipe import DfrRecipe


def dfr_model(
    run: Run, options: DfrRecipe, say: Callable[[str], None], *, groups: Sequence[str], device: str, progress: bool
) -> tuple[Classifier, dict[str, Any]]:
    """Return the classifier of a finished run with a newly fitted last layer; its other layers do not change.

    Args:
        run: a finished run of a classifier whose images have one label each.
        options: how the layer is fitted; see `salign.train.dfr.reweight`.
        say: receives lines for the user.
        groups: columns of the manifest whose values, crossed with the class, make the groups.
        device: device that computes the features.
        progress: show progress bars.

    Returns:
        The classifier, and notes about it: the number of validation images of each of the `groups`, the chosen
        `strength`, and the accuracy of the `worst` group at each strength.

    Raises:
        SalignError: the run was fused, its images may have several labels, its head is not linear, or a group has fewer
            than two validation images.
    """
    model = linear_classifier(run, "group")
    held_out = run.data("val")
    names, numbers = number_groups(held_out.manifest, groups)
    counts = np.bincount(numbers)
    if counts.min() < 2:
        raise SalignError(
            f"{run.path}: there is one validation image of the group {names[int(counts.argmin())]}; dfr needs two of "
            "each group at least. Name columns with fewer values in data.groups, or bring more images."
        )
    features, labels = pooled(model.to(device), held_out, "val", progress)
    seed = run.recipe.seed if options.seed is None else options.seed
    layer = reweight(
        features, labels, numbers, np.random.default_rng(seed), draws=options.draws, strengths=options.strengths
    )
    set_last_layer(model.cpu(), layer.weight, layer.bias)
    say(
        f"{len(names)} groups among {len(numbers)} validation images; the smallest, {names[int(counts.argmin())]}, has "
        f"{counts.min()}, and each of {options.draws} draws as many of every group"
    )
    say(
        f"strength {layer.strength:g}: {layer.worst[layer.strength]:.1%} of the worst group are right in the half that "
        "did not learn"
    )
    say("the head learned from the validation images, so that figures on them say nothing about others")
    return model, {
        "groups": dict(zip(names, counts.tolist(), strict=True)),
        "strength": layer.strength,
        "worst": {f"{strength:g}": share for strength, share in layer.worst.items()},
    }
