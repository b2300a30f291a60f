"""Make a new run from a finished run without training the whole network again: fuse its epochs, or refit its head."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salign.config import merge
from salign.errors import SalignError
from salign.files import replace_text
from salign.models import Model
from salign.runs.card import write_cards
from salign.runs.dfr import dfr_model
from salign.runs.evaluate import evaluate_run, predict_sets
from salign.runs.folder import POSTHOC
from salign.runs.fuse import fused_model
from salign.runs.rebalance import rebalanced_model
from salign.runs.run import Run
from salign.train.recipe import ClassifyRecipe
from salign.train.trainer import choose_device

_REPORTED = ("test", "groups", "species", "task")
"""Keys of `data` that the new run takes from its own recipe: they decide what is reported. All other keys are those
of the source."""


def make_run(
    source: Path | str,
    options: Mapping[str, object],
    out: Path | str | None = None,
    *,
    groups: Sequence[str] | None = None,
    device: str = "auto",
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Run:
    """Make a new run from a finished one; it is predicted and evaluated as any other run.

    Args:
        source: the finished run of a classifier.
        options: the options of the section `posthoc` of a recipe without `run`, for example `{"name": "fuse", "method":
            "jumps"}`.
        out: the folder that the new run folder goes into; None = the folder that holds the source's run folder.
        groups: columns of the manifest that the new run balances and reports on; None = those of the source.
        device: device that computes.
        progress: show progress bars.
        say: receives lines for the user.

    Returns:
        The new run. If it exists already, it is not made again.

    Raises:
        SalignError: the source is not a finished run of a classifier of whole images (without `model.region`), or lacks
            what the new run is made from.
    """
    run = Run.open(source)
    posthoc = {**options, "run": str(run.path.resolve())}
    _refuse_nets(run)
    values: dict[str, Any] = {"posthoc": posthoc} | ({} if groups is None else {"data": {"groups": list(groups)}})
    recipe = ClassifyRecipe.build(merge(run.recipe.model_dump(), values), str(run.path))
    assert recipe.posthoc is not None
    kind = getattr(recipe.posthoc, "method", recipe.posthoc.name)
    recipe = recipe.model_copy(update={"name": f"{recipe.name}-{kind}"})
    new = Run.of(recipe, out or run.path.parent)
    with new.locked(say):
        if new.done:
            say(f"{new.path} is already done; nothing to make.")
        else:
            make_posthoc(recipe, new, device=choose_device(device), progress=progress, say=say)
    return new


def make_posthoc(recipe: ClassifyRecipe, new: Run, *, device: str, progress: bool, say: Callable[[str], None]) -> None:
    """Make the run that the section `posthoc` of a recipe describes, and write all its files.

    Raises:
        SalignError: the run that the section names is not a finished run of a classifier of whole images (without
            `model.region`), or lacks what the new run is made from.
    """
    options = recipe.posthoc
    assert options is not None
    source = Run.open(options.run)
    _refuse_nets(source)
    model, notes = MAKERS[options.name](
        source, options, say, groups=recipe.data.groups, device=device, progress=progress
    )
    reported = {key: getattr(recipe.data, key) for key in _REPORTED}
    changes = {"name": recipe.name, "posthoc": options, "data": source.recipe.data.model_copy(update=reported)}
    new.start(source.recipe.model_copy(update=changes))
    replace_text(new.path / POSTHOC, json.dumps(options.model_dump(mode="json") | notes, indent=2))
    if (source.path / "left_out.csv").exists():
        shutil.copy(source.path / "left_out.csv", new.path)
    model.save(new.path)
    rows = predict_sets(new, model.to(device), progress=progress)
    evaluate_run(new, seed=source.recipe.seed, progress=progress)
    write_cards(new)
    new.finish(rows)


def _refuse_nets(run: Run) -> None:
    if not isinstance(run.recipe, ClassifyRecipe):
        raise SalignError(f"{run.path} is {run.recipe.network}; expected a classifier.")
    if run.recipe.model.region is not None:
        raise SalignError(
            f"{run.path} sees regions alone (model.region), and posthoc changes classifiers of whole images."
        )


MAKERS: dict[str, Callable[..., tuple[Model, dict[str, Any]]]] = {
    "fuse": fused_model,
    "rebalance": rebalanced_model,
    "dfr": dfr_model,
}
"""Name of the method -> the function that makes the model and returns it with notes on what was chosen."""
